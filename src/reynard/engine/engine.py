"""The gateway's use cases. `http` translates to and from these calls; another protocol would need nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from reynard.core import ids
from reynard.core.chat import encode
from reynard.core.errors import (
    GenerationError,
    InvalidParam,
    Overloaded,
    PermissionDenied,
    StreamExpired,
    StreamNotAvailable,
    TaskAlreadyFinished,
    TaskNotFound,
)
from reynard.core.forms import Form, Submission
from reynard.core.generation import Generation
from reynard.core.keys import Key
from reynard.core.task import (
    Cancelled,
    Claimed,
    Completed,
    Event,
    Failed,
    RunPolicy,
    Status,
    Task,
    TaskError,
    transition,
)
from reynard.engine.access import Access
from reynard.engine.failover import Failover
from reynard.engine.files import Files
from reynard.engine.jobs import Jobs
from reynard.engine.routes import Routes
from reynard.engine.webhooks import Webhooks
from reynard.engine.work import Sink
from reynard.engine.worker import Capacity, Run, Worker, until_kept
from reynard.ports.chunks import Batch, ChunkLog, StreamEnd
from reynard.ports.clock import Chance, Clock
from reynard.ports.store import Store, TaskFilter, TaskPage

Keep = Callable[[Task, bytes | None], Awaitable[object]]
"""How a sync call's task is kept at its end."""

Found = tuple[Task, bytes | None]
"""A task, and its result (JSON) once it is completed."""

POLL_S = 1.0


class CallCancelled(TaskAlreadyFinished):
    """A sync call whose task was cancelled by another call."""

    code = "task_cancelled"


class Engine:
    """Submit, answer, find, cancel, subscribe."""

    def __init__(
        self,
        *,
        store: Store,
        chunks: ChunkLog,
        worker: Worker,
        failover: Failover,
        access: Access,
        files: Files,
        webhooks: Webhooks,
        routes: Callable[[], Routes],
        clock: Clock,
        chance: Chance,
        capacity: Capacity,
        policy: RunPolicy,
        jobs: Jobs,
    ) -> None:
        self.access = access
        self.files = files
        self.webhooks = webhooks
        self._store = store
        self._chunks = chunks
        self._worker = worker
        self._failover = failover
        self._routes = routes
        self._clock = clock
        self._chance = chance
        self._capacity = capacity
        self._policy = policy
        self._jobs = jobs
        self._calls: dict[str, Run] = {}
        self._call_bytes = 0  # of their requests
        self._stopping = False

    @property
    def routes(self) -> Routes:
        """The catalogue and channels in force."""
        return self._routes()

    async def start(self) -> None:
        """Begins to work on what is pending, and to take up what a dead worker left."""
        await self._worker.start()

    async def stop(self, grace_s: float) -> None:
        """Lets what runs come to its end for `grace_s`; then cuts the sync calls, and gives the tasks back. Once."""
        if self._stopping:
            return
        self._stopping = True
        self._worker.close_door()
        running = [run.ended for run in (*self._calls.values(), *self._worker.runs.values())]
        if running:
            await asyncio.wait(running, timeout=grace_s)
        for run in list(self._calls.values()):
            if run.job is not None:
                run.job.cancel()
        await self._worker.stop()

    async def check_ready(self) -> None:
        """Raises `StoreUnavailable` unless the store takes writes."""
        await self._worker.beat()

    async def submit(self, submission: Submission, caller: Key) -> Task:
        """A durable task: on disk when this returns, already claimed if this node has room."""
        named = await self.files.addressed(submission.generation, caller)
        generation = self._checked(named, submission.form, caller)
        task = self._new(submission.form, generation, caller)
        if self._worker.has_room:
            run = self._worker.reserve(self._after(task, Claimed(self._worker.id)), generation)
            try:
                await self._store.insert(run.task, generation)
            except BaseException:
                self._worker.drop(run)
                raise
            self._worker.begin(run)
        else:
            await self._queue(task, generation)
        return task

    async def complete(self, submission: Submission, caller: Key, announce: Callable[[str], None]) -> bytes:
        """The whole ChatCompletion (JSON), awaited in place; the task is stored once, with its end.

        `announce` is told the task's id before anything is sent. Cancelling the call cuts the upstream's.
        Raises `GenerationError`, `CallCancelled`.
        """
        run = self._call(submission.form, await self.files.addressed(submission.generation, caller), caller)
        announce(run.task.id)
        return await self._answer(run, None, self._insert_ended)

    async def relay(self, submission: Submission, caller: Key, sink: Sink, announce: Callable[[str], None]) -> None:
        """As `complete`, chunk by chunk into `sink`; stored first, for the client learns the id before the end."""
        run = self._call(submission.form, await self.files.addressed(submission.generation, caller), caller)
        announce(run.task.id)
        try:
            await self._store.insert(run.task, None)
        except asyncio.CancelledError:  # the row is on its way all the same, and its end follows it
            await self._cut(run, self._store.save)
            raise
        except BaseException:
            self._forget(run)
            raise
        await self._answer(run, sink, self._store.save)

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
                await asyncio.sleep(min(left, POLL_S))

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
                cancelled = self._after(task, Cancelled())
                if not await self._store.save(cancelled):
                    continue  # it was claimed, or ended, just now
                await self._chunks.close_stream(task_id, cancelled=True)
                return cancelled
            if task.status is Status.CANCELLED and run is not None:
                return task
            raise TaskAlreadyFinished(f"The task `{task_id}` is {task.status} already; it cannot be cancelled.")

    async def stream(self, task_id: str, caller: Key) -> Task:
        """The task whose stream is wanted. Raises `TaskNotFound`, `StreamNotAvailable`."""
        task, _ = await self.find(task_id, caller)
        if not task.stream or task.sync:
            raise StreamNotAvailable(f"The task `{task_id}` was not submitted with `stream: true`; it has no stream.")
        return task

    async def read(self, task_id: str, offset: int, wait_s: float) -> Batch:
        """The chunks from `offset` on, waited for up to `wait_s`; an empty batch if none came.

        Before the first chunk is handed to anybody, the store knows that it was.
        Raises `OffsetOutOfRange`, `StreamExpired`.
        """
        batch = await self._chunks.read(task_id, offset, wait_s)
        if batch is None:
            return await self._without_log(task_id)
        run = self._worker.runs.get(task_id)
        if batch.chunks and run is not None:
            await self._worker.mark_read(run)
        return batch

    async def _without_log(self, task_id: str) -> Batch:
        """What to tell of a stream whose chunks are not here: that it has yet to begin, its end, or that it is past."""
        task, _ = await self._stored(task_id)
        match task.status:
            case Status.COMPLETED:
                raise StreamExpired(
                    f"The stream of `{task_id}` is no longer kept. `GET /v1/tasks/{task_id}` has the result."
                )
            case Status.FAILED | Status.CANCELLED:
                return Batch((), StreamEnd(0, task.error, task.status is Status.CANCELLED))
            case _:
                await self._chunks.open(task_id)
                return Batch(())

    def _checked(self, generation: Generation, form: Form, caller: Key) -> Generation:
        routes = self._routes()
        routes.catalogue.find(generation.model)
        if not caller.may_use(generation.model):
            raise PermissionDenied(f"This key may not use the model `{generation.model}`.", param="model")
        return routes.checked(generation, form)

    def _new(self, form: Form, generation: Generation, caller: Key, *, sync: bool = False) -> Task:
        now = self._clock.now()
        return Task(
            id=ids.task_id(form, now, self._chance.below),
            key_id=caller.id,
            model=generation.model,
            form=form,
            sync=sync,
            stream=generation.stream,
            created=now,
        )

    async def _queue(self, task: Task, generation: Generation) -> None:
        if self._worker.pending >= self._capacity.max_pending:
            raise Overloaded("As many tasks are waiting as the gateway keeps. Try again later.", retry_after_s=5)
        await self._store.insert(task, generation)
        self._worker.wake()

    def _call(self, form: Form, named: Generation, caller: Key) -> Run:
        """A sync call's run: this node's from the start, and visible to find and cancel while it lasts."""
        generation = self._checked(named, form, caller)
        if self._stopping:
            raise Overloaded("The gateway is stopping. Send the call again in a moment.")
        if len(self._calls) >= self._capacity.max_sync or self._call_bytes >= self._capacity.max_running_bytes:
            raise Overloaded("As many calls are open as the gateway takes. Try again in a moment.")
        task = self._new(form, generation, caller, sync=True)
        run = Run(self._after(task, Claimed(self._worker.id)), generation)
        run.job = asyncio.current_task()
        self._calls[task.id] = run
        self._call_bytes += run.weight
        return run

    async def _answer(self, run: Run, sink: Sink | None, keep: Keep) -> bytes:
        """Generates in the caller's own coroutine, and keeps the task with its end."""
        try:
            completion = encode(await self._failover.generate(run.work, sink))
        except GenerationError as error:
            await self._end(run, Failed(TaskError.of(error)), None, keep)
            raise
        except asyncio.CancelledError:
            await self._cut(run, keep)
            raise
        except BaseException:
            failure = TaskError("upstream_error", "The gateway failed to handle the answer. Try again.")
            await self._end(run, Failed(failure), None, keep)
            raise
        await self._end(run, Completed(), completion, keep)
        return completion

    async def _cut(self, run: Run, keep: Keep) -> None:
        """The end of a call that was cancelled: by another call, by a stop, or because its client left.

        Raises what the client is to be told, if there is one to tell.
        """
        if self._stopping and not run.cancelling:
            stopped = GenerationError("server_restarted", "The gateway is stopping. Send the call again.")
            await self._end(run, Failed(TaskError.of(stopped)), None, keep)
            raise stopped from None
        await self._end(run, Cancelled(), None, keep)
        if run.cancelling:
            raise CallCancelled(f"The task `{run.task.id}` was cancelled by another call.") from None

    async def _end(self, run: Run, event: Event, result: bytes | None, keep: Keep) -> None:
        """The end, kept however long the store needs, whether or not the client waits for it."""
        run.job = None
        await asyncio.shield(self._jobs.start(self._keep_end(run, self._after(run.task, event), result, keep)))

    async def _keep_end(self, run: Run, task: Task, result: bytes | None, keep: Keep) -> None:
        try:
            await until_kept(partial(keep, task, result), task.id)
            run.task = task
        finally:
            self._forget(run)

    async def _insert_ended(self, task: Task, result: bytes | None) -> None:
        await self._store.insert(task, None, result)

    def _forget(self, run: Run) -> None:
        del self._calls[run.task.id]
        self._call_bytes -= run.weight
        run.ended.set_result(None)

    def _live(self, task_id: str) -> Run | None:
        """The run of a task that is under way here; once it has ended, the store knows more."""
        run = self._worker.runs.get(task_id) or self._calls.get(task_id)
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
