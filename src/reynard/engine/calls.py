"""Sync calls: answered in place, and cut when their client leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import msgspec
from msgspec import Struct

from reynard.core.chat import Completion, encode
from reynard.core.errors import GenerationError, Overloaded, StoreUnavailable
from reynard.core.forms import Submission
from reynard.core.idempotency import Repeat, Repeated
from reynard.core.keys import Key
from reynard.core.limits import Allowance
from reynard.core.replay import replayed
from reynard.core.task import (
    Attempt,
    Cancelled,
    Claimed,
    Completed,
    Event,
    Failed,
    RunPolicy,
    Task,
    TaskError,
    transition,
)
from reynard.engine.admission import Admission, Admitted
from reynard.engine.billing import Billing
from reynard.engine.capacity import Capacity
from reynard.engine.endings import Endings
from reynard.engine.failover import Failover
from reynard.engine.jobs import Jobs
from reynard.engine.repeats import CallCancelled, First, Repeats, answer_of
from reynard.engine.run import Run, in_time, until_kept
from reynard.engine.shares import Shares
from reynard.engine.work import Journal, Sink
from reynard.ports.clock import Clock
from reynard.ports.store import Store

KEEP_S: Final = 5.0
"""How long a client waits for its answer to be kept, once it is there."""

Keep = Callable[[Task, bytes | None, list[Attempt]], Awaitable[object]]
"""How a call's task is kept at its end."""

_completions = msgspec.json.Decoder(Completion)


class Ticket(Struct, frozen=True):
    """What a caller is told of its request beside the answer. `journal` fills while it runs; None for a repetition."""

    task: Task
    allowance: Allowance | None = None
    journal: Journal | None = None

    @property
    def is_repetition(self) -> bool:
        """Whether the request was sent before, under the same Idempotency-Key."""
        return self.journal is None

    @property
    def served_by(self) -> str:
        """The channel that answers; empty while none does."""
        if self.journal is not None:
            return self.journal.channel
        return "" if self.task.bill is None else self.task.bill.channel


Announce = Callable[[Ticket], None]
"""Told of the task before anything is sent."""


class Calls:
    """The sync calls of this node, by the id of their task."""

    def __init__(
        self,
        owner: str,
        *,
        store: Store,
        admission: Admission,
        endings: Endings,
        repeats: Repeats,
        failover: Failover,
        billing: Billing,
        clock: Clock,
        jobs: Jobs,
        capacity: Capacity,
        policy: RunPolicy,
    ) -> None:
        self.runs: dict[str, Run] = {}
        self._owner = owner
        self._store = store
        self._admission = admission
        self._endings = endings
        self._repeats = repeats
        self._failover = failover
        self._billing = billing
        self._clock = clock
        self._jobs = jobs
        self._places = Shares(capacity.max_sync, capacity.share_of(capacity.max_sync))
        self._bytes = Shares(capacity.max_running_bytes, capacity.share_of(capacity.max_running_bytes))
        self._policy = policy
        self._stopping = False

    async def complete(
        self, submission: Submission, caller: Key, announce: Announce, repeat: Repeat | None = None
    ) -> bytes:
        """The whole ChatCompletion (JSON), awaited in place; the task is stored once, with its end, but for one that
        may be repeated, which is stored first. Cancelling the call cuts the upstream's.

        Raises `GenerationError`, `CallCancelled`, and what `Admission.admit` and `Repeats.first` raise.
        """
        if repeat is None:
            admitted, run = await self._placed(self._admission.admit_in_place(submission, caller))
            announce(Ticket(run.task, admitted.allowance, run.work.journal))
            return await self._answer(run, None, self._insert_ended)
        begun = await self._begun(submission, caller, announce, repeat)
        if isinstance(begun, First):
            return answer_of(begun)
        return await self._answer(begun, None, self._store.save)

    async def relay(
        self, submission: Submission, caller: Key, sink: Sink, announce: Announce, repeat: Repeat | None = None
    ) -> None:
        """As `complete`, chunk by chunk into `sink`; stored first, for the client learns the id before the end."""
        begun = await self._begun(submission, caller, announce, repeat)
        if isinstance(begun, First):
            completion = _completions.decode(answer_of(begun))
            wants_usage = submission.generation.wants_usage
            await sink.put([encode(chunk) for chunk in replayed(completion, shows_usage=wants_usage)])
        else:
            await self._answer(begun, sink, self._store.save)

    async def stop(self) -> None:
        """Cuts what is still open."""
        self._stopping = True
        for run in list(self.runs.values()):
            if run.job is not None:
                run.job.cancel()

    def close_door(self) -> None:
        """Takes no call any more."""
        self._stopping = True

    async def _begun(
        self, submission: Submission, caller: Key, announce: Announce, repeat: Repeat | None
    ) -> Run | First:
        """A run whose start is kept, or what this call repeats."""
        async with self._repeats.turn(caller, repeat):
            return await self._begin(submission, caller, announce, repeat)

    async def _begin(
        self, submission: Submission, caller: Key, announce: Announce, repeat: Repeat | None
    ) -> Run | First:
        while True:
            if repeat is not None:
                known = await self._repeats.first(caller, repeat)
                if isinstance(known, First):
                    announce(Ticket(known.task))
                    return known
                repeat = known
            admitted, run = await self._placed(self._admission.admit(submission, caller))
            try:
                await self._keep_start(run, admitted, repeat)
            except Repeated:
                continue  # the same request came in between: its task is there now
            announce(Ticket(run.task, admitted.allowance, run.work.journal))
            return run

    async def _keep_start(self, run: Run, admitted: Admitted, repeat: Repeat | None) -> None:
        try:
            limited = admitted.caller.limited
            await self._admission.store(
                admitted,
                lambda spared: self._store.insert(run.task, None, limited=limited, spared=spared, repeat=repeat),
            )
        except asyncio.CancelledError:  # the row is on its way all the same, and its end follows it
            await self._cut(run, self._store.save)
            raise
        except BaseException:
            await self._admission.withdraw(admitted)
            self._forget(run)
            raise

    async def _placed(self, admission: Awaitable[Admitted]) -> tuple[Admitted, Run]:
        """With a run, this node's from the start, and visible to find and cancel while it lasts."""
        admitted = await admission
        try:
            return admitted, self._place(admitted)
        except Overloaded:
            await self._admission.withdraw(admitted)
            raise

    def _place(self, admitted: Admitted) -> Run:
        if self._stopping:
            raise Overloaded("The gateway is stopping. Send the call again in a moment.")
        run = Run(self._after(admitted.task, Claimed(self._owner)), admitted.generation)
        key_id = run.task.key_id
        if not self._places.has(1, key_id) or not self._bytes.take(run.weight, key_id):
            raise Overloaded("As many calls are open as the gateway takes. Try again in a moment.")
        self._places.take(1, key_id)
        run.job = asyncio.current_task()
        self.runs[run.task.id] = run
        return run

    async def _answer(self, run: Run, sink: Sink | None, keep: Keep) -> bytes:
        """Generates in the caller's own coroutine, and keeps the task with its end."""
        try:
            completion = await in_time(self._failover.generate(run.work, sink), run.task, self._clock)
            bill, body = self._billing.whole(run.work, completion), encode(completion)
        except GenerationError as error:
            await self._fail(run, TaskError.of(error), keep)
            raise
        except asyncio.CancelledError:
            await self._cut(run, keep)
            raise
        except BaseException:
            await self._fail(
                run, TaskError("upstream_error", "The gateway failed to handle the answer. Try again."), keep
            )
            raise
        await self._end(run, Completed(bill), body, keep)
        return body

    async def _cut(self, run: Run, keep: Keep) -> None:
        """The end of a call that was cancelled: by another call, by a stop, or because its client left.

        Raises what the client is to be told, if there is one to tell.
        """
        if self._stopping and not run.cancelling:
            stopped = GenerationError("server_restarted", "The gateway is stopping. Send the call again.")
            await self._fail(run, TaskError.of(stopped), keep)
            raise stopped from None
        bill, produced = self._billing.partial(run.work)
        await self._end(run, Cancelled(bill, left=not run.cancelling), produced, keep)
        if run.cancelling:
            raise CallCancelled(f"The task `{run.task.id}` was cancelled by another call.") from None

    async def _fail(self, run: Run, error: TaskError, keep: Keep) -> None:
        bill, produced = self._billing.partial(run.work)
        await self._end(run, Failed(error, bill), produced, keep)

    async def _end(self, run: Run, event: Event, result: bytes | None, keep: Keep) -> None:
        """The end, kept however long the store needs; how long the client waits is bounded.

        Raises `StoreUnavailable`.
        """
        run.job = None
        loop = run.ended.get_loop()
        kept: asyncio.Future[bool] = loop.create_future()
        patience = loop.call_later(KEEP_S, _answered, kept, False)
        keeping = self._jobs.start(self._keep_end(run, self._after(run.task, event), result, keep, kept))
        keeping.add_done_callback(lambda _: kept.cancel())  # one that is cut, before it has begun too
        try:
            if not await kept:
                raise StoreUnavailable(
                    f"The call is over, and its end cannot be kept now. `GET /v1/tasks/{run.task.id}` will tell it."
                )
        finally:
            patience.cancel()

    async def _keep_end(
        self, run: Run, task: Task, result: bytes | None, keep: Keep, kept: asyncio.Future[bool]
    ) -> None:
        """In a job of its own, which goes on when the client leaves; `kept` is told what came of it."""
        try:
            await until_kept(partial(keep, task, result, run.work.journal.attempts), task.id)
            run.task = task
            await self._endings.follow(task)
        except Exception as error:  # a fault of this program: what was taken is given back all the same
            if not kept.done():
                kept.set_exception(error)
            if run.task is not task:
                await self._admission.ended(task)
            raise
        else:
            _answered(kept, True)
        finally:
            self._forget(run)

    async def _insert_ended(self, task: Task, result: bytes | None, attempts: list[Attempt]) -> None:
        self._admission.ending(task)
        await self._store.insert(task, None, result, attempts)

    def _forget(self, run: Run) -> None:
        del self.runs[run.task.id]
        self._places.give_back(1, run.task.key_id)
        self._bytes.give_back(run.weight, run.task.key_id)
        run.ended.set_result(None)

    def _after(self, task: Task, event: Event) -> Task:
        return transition(task, event, self._clock.now(), self._policy)


def _answered(question: asyncio.Future[bool], answer: bool) -> None:
    if not question.done():
        question.set_result(answer)
