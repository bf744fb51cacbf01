"""The gateway's use cases. `http` translates to and from these calls; another protocol would need nothing else."""

import asyncio
from collections.abc import Callable, Sequence

from reynard.core.errors import InvalidParam, StreamExpired, StreamNotAvailable, TaskAlreadyFinished, TaskNotFound
from reynard.core.forms import Submission
from reynard.core.idempotency import Repeat, Repeated
from reynard.core.keys import Key
from reynard.core.task import Attempt, Bill, Cancelled, Claimed, Event, RunPolicy, Status, Task, transition
from reynard.engine.access import Access
from reynard.engine.account import Accounts
from reynard.engine.admission import Admission, Admitted
from reynard.engine.calls import Calls, Ticket
from reynard.engine.endings import Endings
from reynard.engine.files import Files
from reynard.engine.load import Load
from reynard.engine.recovery import Recovery
from reynard.engine.repeats import First, Repeats
from reynard.engine.routes import Routes
from reynard.engine.run import Run
from reynard.engine.webhooks import Webhooks
from reynard.engine.work import Journal
from reynard.engine.worker import Worker
from reynard.ports.chunks import Batch, ChunkLog, StreamEnd
from reynard.ports.clock import Clock
from reynard.ports.store import Store, TaskFilter, TaskPage

Found = tuple[Task, bytes | None]
"""A task, and its result (JSON) once it is completed."""

POLL_S = 1.0


class Engine:
    """Submit, answer, find, cancel, subscribe."""

    def __init__(
        self,
        *,
        store: Store,
        chunks: ChunkLog,
        worker: Worker,
        calls: Calls,
        admission: Admission,
        endings: Endings,
        repeats: Repeats,
        recovery: Recovery,
        access: Access,
        files: Files,
        accounts: Accounts,
        webhooks: Webhooks,
        routes: Callable[[], Routes],
        clock: Clock,
        policy: RunPolicy,
    ) -> None:
        self.access = access
        self.calls = calls
        self.files = files
        self.accounts = accounts
        self.webhooks = webhooks
        self._store = store
        self._chunks = chunks
        self._worker = worker
        self._admission = admission
        self._endings = endings
        self._repeats = repeats
        self._recovery = recovery
        self._routes = routes
        self._clock = clock
        self._policy = policy
        self._stopping = False

    @property
    def routes(self) -> Routes:
        """The catalogue and channels in force."""
        return self._routes()

    @property
    def load(self) -> Load:
        """How much is under way here."""
        streams, stream_bytes = self._chunks.held
        tasks = {
            "pending": self._worker.pending.total(),
            "running": len(self._worker.runs),
            "sync": len(self.calls.runs),
        }
        return Load(tasks, streams, stream_bytes, self.webhooks.held)

    async def start(self) -> None:
        """Begins to work on what is pending, and to take up what a dead worker left."""
        await self._admission.start()
        await self._worker.start()
        self.files.start()
        self.webhooks.start()

    async def drain(self, grace_s: float) -> None:
        """Takes nothing new, and lets what runs come to its end for `grace_s`."""
        self.calls.close_door()
        self._worker.close_door()
        running = [run.ended for run in (*self.calls.runs.values(), *self._worker.runs.values())]
        if running:
            await asyncio.wait(running, timeout=grace_s)

    async def stop(self) -> None:
        """Cuts the sync calls, and gives the tasks back. Once."""
        if self._stopping:
            return
        self._stopping = True
        await self.calls.stop()
        await self._worker.stop()

    async def check_ready(self) -> None:
        """Raises `StoreUnavailable` unless the store takes writes."""
        await self._worker.beat()

    async def submit(self, submission: Submission, caller: Key, repeat: Repeat | None = None) -> Ticket:
        """A durable task: on disk when this returns, already claimed if this node has room."""
        async with self._repeats.turn(caller, repeat):
            return await self._submit(submission, caller, repeat)

    async def _submit(self, submission: Submission, caller: Key, repeat: Repeat | None) -> Ticket:
        while True:
            if repeat is not None:
                known = await self._repeats.first(caller, repeat)
                if isinstance(known, First):
                    return Ticket(known.task)
                repeat = known
            admitted = await self._admission.admit(submission, caller)
            try:
                task = await self._accept(admitted, repeat)
            except Repeated:
                await self._admission.withdraw(admitted)
                continue  # the same request came in between: its task is there now
            except BaseException:
                await self._admission.withdraw(admitted)
                raise
            return Ticket(task, admitted.allowance, Journal())

    async def _accept(self, admitted: Admitted, repeat: Repeat | None) -> Task:
        """The task, stored."""
        task, generation = admitted.task, admitted.generation
        if not self._worker.has_room:
            self._worker.check_queue(task.key_id)
            await self._insert(task, admitted, repeat)
            self._worker.wake(task.key_id)
            return task
        run = self._worker.reserve(self._after(task, Claimed(self._worker.id)), generation)
        try:
            await self._insert(run.task, admitted, repeat)
        except BaseException:
            self._worker.drop(run)
            raise
        self._worker.begin(run)
        return run.task

    async def _insert(self, task: Task, admitted: Admitted, repeat: Repeat | None) -> None:
        limited = admitted.caller.limited
        await self._admission.store(
            admitted,
            lambda spared: self._store.insert(task, admitted.generation, limited=limited, spared=spared, repeat=repeat),
        )

    async def find(self, task_id: str, caller: Key, wait_s: float = 0.0) -> Found:
        """The freshest state there is, or that at the end if it comes within `wait_s`. Raises `TaskNotFound`."""
        deadline = asyncio.get_running_loop().time() + wait_s
        while True:
            run = self._live(task_id)
            task, result = (run.task, None) if run is not None else await self._stored(task_id)
            if task.key_id != caller.id:
                raise _unknown(task_id)
            left = deadline - asyncio.get_running_loop().time()
            if (run is None and task.is_ended) or left <= 0:
                return task, result
            if run is not None:
                await asyncio.wait((run.ended,), timeout=left)
            else:  # it waits in the store, for this node or another
                await self._endings.seen(task_id, min(left, POLL_S))

    async def attempts(self, task: Task) -> Sequence[Attempt]:
        """The upstream calls of a task so far, oldest first."""
        run = self._live(task.id)
        return await self._store.attempts(task.id) if run is None else run.work.journal.attempts

    async def tasks(self, wanted: TaskFilter) -> TaskPage:
        """A page of the caller's tasks. Raises `InvalidParam` if `after` is none of them."""
        if wanted.after is not None:
            last = await self._store.find(wanted.after)
            if last is None or last[0].key_id != wanted.key_id:
                raise InvalidParam(
                    f"`after`: there is no task `{wanted.after[:80]}`; start anew without it.", param="after"
                )
        page = await self._store.list_tasks(wanted)
        return TaskPage([(self._fresh(task), result) for task, result in page.tasks], page.has_more)

    async def cancel(self, task_id: str, caller: Key) -> Task:
        """The task, cancelled, with its upstream call cut. Raises `TaskNotFound`, `TaskAlreadyFinished`."""
        while True:
            run = self._live(task_id)
            task = run.task if run is not None else (await self._stored(task_id))[0]
            if task.key_id != caller.id:
                raise _unknown(task_id)
            if run is not None:
                run.cancel()
                await asyncio.wait((run.ended,))
                task = run.task
            elif not task.is_ended:
                bill, produced = await self._left(task)
                cancelled = self._after(task, Cancelled(bill))
                if not await self._store.save(cancelled, produced):
                    continue  # it was claimed, or ended, just now
                await self._endings.follow(cancelled)
                return cancelled
            if task.status is Status.CANCELLED and run is not None:
                return task
            raise TaskAlreadyFinished(f"The task `{task_id}` is {task.status} already; it cannot be cancelled.")

    async def _left(self, task: Task) -> tuple[Bill | None, bytes | None]:
        """What there is of a task that does not run here, and its price: of a dead worker's, if anybody read of it."""
        if task.status is Status.PROCESSING and task.read:
            return await self._recovery.left(task)
        return None, None

    async def stream(self, task_id: str, caller: Key) -> Task:
        """The task whose stream is wanted. Raises `TaskNotFound`, `StreamNotAvailable`."""
        task, _ = await self.find(task_id, caller)
        if not task.stream or task.sync:
            raise StreamNotAvailable(f"The task `{task_id}` was not submitted with `stream: true`; it has no stream.")
        return task

    async def read(self, task_id: str, offset: int, wait_s: float) -> Batch:
        """The chunks from `offset` on, waited for up to `wait_s`; an empty batch if none came.

        Before the first chunk is handed to anybody, the store knows that it was.
        Raises `OffsetOutOfRange`, `StreamExpired`, `StoreUnavailable`.
        """
        batch = await self._chunks.read(task_id, offset, wait_s)
        if batch is None:
            return await self._without_log(task_id, offset, wait_s)
        run = self._worker.runs.get(task_id)
        if batch.chunks and run is not None and not run.is_marked:
            await self._worker.mark_read(run)
        return batch

    async def _without_log(self, task_id: str, offset: int, wait_s: float) -> Batch:
        """What to tell of a stream whose chunks are not in memory: what was written of it and its end, that it is past,
        or that it has yet to begin."""
        task, _ = await self._stored(task_id)
        if task.is_ended:
            return await self._ended_stream(task, offset)
        if task.read:  # its worker is gone, and nobody has found out yet: what was read of it must not begin anew
            await asyncio.sleep(min(wait_s, POLL_S))
        else:
            await self._chunks.open(task_id)
        return Batch(())

    async def _ended_stream(self, task: Task, offset: int) -> Batch:
        batch = await self._chunks.read(task.id, offset, 0.0) if await self._chunks.restore(task) else None
        if batch is not None:
            return batch
        if task.status is Status.COMPLETED:
            raise StreamExpired(
                f"The stream of `{task.id}` is no longer kept. `GET /v1/tasks/{task.id}` has the result."
            )
        return Batch((), StreamEnd(0, task.error, task.status is Status.CANCELLED))

    def _live(self, task_id: str) -> Run | None:
        """The run of a task that is under way here; once it has ended, the store knows more."""
        run = self._worker.runs.get(task_id) or self.calls.runs.get(task_id)
        return None if run is None or run.task.is_ended else run

    async def _stored(self, task_id: str) -> Found:
        found = await self._store.find(task_id)
        if found is None:
            raise _unknown(task_id)
        return found

    def _fresh(self, task: Task) -> Task:
        run = self._live(task.id)
        return task if run is None else run.task

    def _after(self, task: Task, event: Event) -> Task:
        return transition(task, event, self._clock.now(), self._policy)


def _unknown(task_id: str) -> TaskNotFound:
    return TaskNotFound(f"There is no task `{task_id[:80]}`.", param="task_id")
