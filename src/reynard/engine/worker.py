"""A worker runs tasks: claims them, holds a lease while it lives, and takes up what a dead one left behind."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from reynard.core.chat import Completion, encode
from reynard.core.errors import GenerationError, Overloaded, StoreUnavailable
from reynard.core.generation import Generation
from reynard.core.task import (
    Attempt,
    Cancelled,
    Completed,
    Event,
    Failed,
    Read,
    Released,
    RunPolicy,
    Task,
    TaskError,
    transition,
)
from reynard.engine.billing import Billing
from reynard.engine.capacity import Capacity
from reynard.engine.endings import Endings
from reynard.engine.failover import Failover
from reynard.engine.jobs import Jobs
from reynard.engine.recovery import Recovery
from reynard.engine.run import STORE_RETRY_S, Run, in_time, until_kept
from reynard.ports.chunks import ChunkLog
from reynard.ports.clock import Clock
from reynard.ports.store import Store

log = logging.getLogger(__name__)

LEASE_S: Final = 30.0
BEAT_S: Final = 10.0
GIVE_BACK_S: Final = 5.0
LATE_S: Final = 1.0
"""How much later than its deadline a waiting task may end."""
WRITE_PATIENCE_S: Final = 30.0  # for a store that a stream is to be written to before it is delivered
MARK_PATIENCE_S: Final = 5.0  # for the end of a task whose first reader comes while it is written down


async def opened(chunks: ChunkLog, task_id: str) -> None:
    """An empty log; nothing is appended before the store has let go of what another run wrote."""
    while True:
        try:
            return await chunks.open(task_id)
        except StoreUnavailable:
            log.error("the stream of task %s cannot begin yet", task_id)
            await asyncio.sleep(STORE_RETRY_S)


class LogSink:
    """The chunks of a durable stream, into the chunk log. While that cannot keep them, the provider waits."""

    __slots__ = ("_chunks", "_run", "_written")

    def __init__(self, run: Run, chunks: ChunkLog) -> None:
        self._run = run
        self._chunks = chunks
        self._written = False

    async def put(self, chunks: Sequence[bytes]) -> None:
        """See `Sink`."""
        self._written = True
        loop = asyncio.get_running_loop()
        patience = loop.time() + WRITE_PATIENCE_S
        while True:
            try:
                return await self._chunks.append(self._run.task.id, chunks)
            except StoreUnavailable as error:
                if loop.time() > patience:
                    raise GenerationError(
                        "upstream_error", "The gateway could not keep the stream. Send it again later."
                    ) from error
                await asyncio.sleep(STORE_RETRY_S)

    async def restart(self) -> bool:
        """See `Sink`."""
        if self._run.task.read:
            return False
        if self._written:
            await opened(self._chunks, self._run.task.id)
            self._written = False
        return True


class Worker:
    """The tasks of this node, by id, and the loops that keep them going."""

    def __init__(
        self,
        worker_id: str,
        *,
        store: Store,
        chunks: ChunkLog,
        failover: Failover,
        endings: Endings,
        recovery: Recovery,
        billing: Billing,
        clock: Clock,
        jobs: Jobs,
        capacity: Capacity,
        policy: RunPolicy,
    ) -> None:
        self.id = worker_id
        self.runs: dict[str, Run] = {}
        self.held_bytes = 0  # of the requests of `runs`
        self.pending: Counter[str] = Counter()  # tasks of each key that wait in the store, as far as this node knows
        self._store = store
        self._chunks = chunks
        self._failover = failover
        self._endings = endings
        self._recovery = recovery
        self._billing = billing
        self._clock = clock
        self._jobs = jobs
        self._capacity = capacity
        self._policy = policy
        self._behind = asyncio.Event()  # there may be pending tasks in the store
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False  # takes up nothing new
        self._stopping = False  # gives back what it has

    async def start(self) -> None:
        """Takes the lease, and from then on claims."""
        await self.beat()
        self._behind.set()
        self._jobs.start(self._keep_lease())
        self._jobs.start(self._keep_recovering())
        self._jobs.start(self._keep_deadlines())
        self._jobs.start(self._keep_claiming())

    def close_door(self) -> None:
        """Takes up nothing new."""
        self._closed = True

    async def stop(self) -> None:
        """Gives every task back, unharmed, and lets the lease go."""
        self._closed = self._stopping = True
        for run in self.runs.values():
            if run.job is not None:
                run.job.cancel()
        if self.runs:
            await asyncio.wait([run.ended for run in self.runs.values()], timeout=GIVE_BACK_S)
        await self._store.retire(self.id)

    @property
    def has_room(self) -> bool:
        """Whether a new task may start at once: there is a place, and nobody waits for it longer."""
        return self._places > 0 and not self._behind.is_set() and not self._closed

    def check_queue(self, key_id: str) -> None:
        """Raises `Overloaded` if as many tasks wait as the gateway keeps."""
        most = self._capacity.max_pending
        if self.pending.total() >= most or self.pending[key_id] >= self._capacity.share_of(most):
            raise Overloaded("As many tasks are waiting as the gateway keeps. Try again later.", retry_after_s=5)

    def reserve(self, task: Task, generation: Generation) -> Run:
        """A place for a task that is about to be stored as this worker's."""
        run = self.runs[task.id] = Run(task, generation)
        self.held_bytes += run.weight
        if self._places <= 0:
            self._room.clear()
        return run

    @property
    def _places(self) -> int:
        """For how many more tasks there is room."""
        if self.held_bytes >= self._capacity.max_running_bytes:
            return 0
        return self._capacity.max_running - len(self.runs)

    def begin(self, run: Run) -> None:
        """Runs a stored task in the background."""
        self._jobs.start(self._execute(run))

    def drop(self, run: Run) -> None:
        """The task has ended, or was never stored."""
        if self.runs.pop(run.task.id, None) is not None:
            self.held_bytes -= run.weight
        if not run.ended.done():
            run.ended.set_result(None)
        self._room.set()

    def wake(self, key_id: str) -> None:
        """A pending task of that key was stored."""
        self.pending[key_id] += 1
        self._behind.set()

    async def mark_read(self, run: Run) -> None:
        """On disk, before any subscriber gets its first chunk, so that a restart knows. Raises `StoreUnavailable`."""
        if run.settling:
            await asyncio.wait((run.ended,), timeout=MARK_PATIENCE_S)
            if not run.task.is_ended:
                raise StoreUnavailable("The stream's end cannot be kept yet. Read it again in a moment.")
            return
        if run.marking is None and not run.task.read and not run.task.is_ended:
            before = run.task
            run.task = transition(before, Read(), self._clock.now(), self._policy)  # at once: no restart from here on
            run.marking = self._jobs.start(self._keep_mark(run, before))
        if run.marking is not None and not await asyncio.shield(run.marking):  # one for all readers, whoever goes away
            raise StoreUnavailable("The store cannot note yet that the stream is read. Read it again in a moment.")

    async def _keep_mark(self, run: Run, before: Task) -> bool:
        """Whether the store has it."""
        marked = run.task
        kept = False
        try:
            kept = await self._store.save(marked)
        except StoreUnavailable:
            log.error("the store cannot note yet that the stream of task %s is read", marked.id)
        finally:
            run.marking = None
            if not kept and run.task is marked:
                run.task = before  # the next reader tries again
        return kept

    async def _execute(self, run: Run) -> None:
        """The task to its end."""
        run.job = asyncio.current_task()
        event, result = await self._outcome(run)
        run.job = None
        run.settling = True
        try:
            await self._settle(run, event, result)
        finally:
            self.drop(run)

    async def _outcome(self, run: Run) -> tuple[Event, bytes | None]:
        """How it ended, and what there is of an answer."""
        try:
            if run.cancelling or self._stopping:
                return (Cancelled() if run.cancelling else Released()), None
            return await self._generated(run)
        except GenerationError as error:
            return self._broken(run, TaskError.of(error))
        except asyncio.CancelledError:
            bill, produced = self._billing.partial(run.work)
            return (Cancelled(bill) if run.cancelling else Released(bill)), produced
        except Exception:
            log.exception("task %s failed inside the gateway", run.task.id)
            return self._broken(run, TaskError("upstream_error", "The gateway failed to handle the answer. Try again."))

    async def _generated(self, run: Run) -> tuple[Event, bytes]:
        completion = await in_time(self._answer(run), run.task, self._clock)
        bill = self._billing.whole(run.work, completion)
        return Completed(bill), encode(completion)

    async def _answer(self, run: Run) -> Completion:
        return await self._failover.generate(run.work, await self._sink(run))

    async def _sink(self, run: Run) -> LogSink | None:
        if not run.task.stream:
            return None
        await opened(self._chunks, run.task.id)
        return LogSink(run, self._chunks)

    def _broken(self, run: Run, error: TaskError) -> tuple[Event, bytes | None]:
        bill, produced = self._billing.partial(run.work)
        return Failed(error, bill), produced

    async def _settle(self, run: Run, event: Event, result: bytes | None) -> None:
        """Writes the end down, however long the store needs for it; nobody is told of it before."""
        task = transition(run.task, event, self._clock.now(), self._policy)
        if task.stream and task.is_ended:  # an end that is on disk has all its chunks there
            await until_kept(partial(self._chunks.flush, task.id), task.id)
        while not await self._kept(task, result, run.work.journal.attempts):
            found = await until_kept(partial(self._store.find, task.id), task.id)
            if found is not None and found[0] == task:
                break  # it was kept, and the news of it lost
            if found is None or found[0].owner != self.id:
                log.warning("task %s was changed by another worker; this run of it is dropped", task.id)
                return
            task = transition(found[0], event, self._clock.now(), self._policy)
        run.task = task
        await self._endings.follow(task)

    async def _kept(self, task: Task, result: bytes | None = None, attempts: Sequence[Attempt] = ()) -> bool:
        """Whether the store has `task` now."""
        return await until_kept(lambda: self._store.save(task, result, attempts), task.id)

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            await self._tried(self.beat, "keep the lease")

    async def _keep_recovering(self) -> None:
        while True:
            good = await self._tried(self._recover, "recover tasks") and await self._tried(self._chunks.sweep, "sweep")
            await asyncio.sleep(BEAT_S if good else STORE_RETRY_S)

    async def _keep_deadlines(self) -> None:
        """Of what waits; with nothing overdue it is one look into an index."""
        while True:
            await asyncio.sleep(LATE_S)
            await self._tried(self._recovery.expire, "end tasks at their deadline")

    async def _tried(self, work: Callable[[], Awaitable[object]], what: str) -> bool:
        """Whether `work` was done; a failure is logged, and the loop that asked goes on."""
        try:
            await work()
        except StoreUnavailable:
            log.error("the store is not to be reached to %s; trying again", what)
            return False
        except Exception:
            log.exception("failed to %s; trying again", what)
            return False
        return True

    async def beat(self) -> None:
        """Renews the lease. Raises `StoreUnavailable`."""
        await self._store.beat(self.id, self._clock.now() + LEASE_S)
        self.pending = Counter(await self._store.pending())

    async def _recover(self) -> None:
        if await self._recovery.take_up():
            self._behind.set()

    async def _keep_claiming(self) -> None:
        while True:
            await self._behind.wait()
            await self._room.wait()
            room = self._places
            if room <= 0 or self._closed:
                self._room.clear()
                continue
            self._behind.clear()
            if not await self._tried(partial(self._claim, room), "claim tasks"):
                self._behind.set()
                await asyncio.sleep(STORE_RETRY_S)

    async def _claim(self, room: int) -> None:
        free = self._capacity.max_running_bytes - self.held_bytes
        claimed = await self._store.claim(self.id, room, free, self._clock.now())
        self.pending -= Counter(task.key_id for task, _ in claimed)
        if len(claimed) == room or (claimed and self.pending):  # it may have stopped at the bytes
            self._behind.set()
        for task, generation in claimed:
            if generation is None:
                self._jobs.start(self._give_up(task))
            else:
                self.begin(self.reserve(task, generation))

    async def _give_up(self, task: Task) -> None:
        """For a task that another version of this program wrote, and this one cannot read."""
        error = TaskError(
            "server_restarted", "The gateway was changed since, and cannot read the task. Submit it again."
        )
        failed = transition(task, Failed(error), self._clock.now(), self._policy)
        if await self._kept(failed):
            await self._endings.follow(failed)
