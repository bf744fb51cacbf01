"""A task's end is written behind the last of its chunks, whatever happens in between."""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from reynard.core.catalogue import Catalogue
from reynard.core.chat import Completion
from reynard.core.errors import StoreUnavailable
from reynard.core.generation import Generation
from reynard.core.messages import UserMessage
from reynard.core.task import Bill, Failed, Lost, Read, RunPolicy, Status, Task, TaskError, transition
from reynard.engine import engine as engine_module
from reynard.engine import run
from reynard.engine.admission import Admission
from reynard.engine.billing import Billing
from reynard.engine.capacity import Capacity
from reynard.engine.endings import Endings
from reynard.engine.engine import Engine
from reynard.engine.failover import Failover
from reynard.engine.files import Files
from reynard.engine.jobs import Jobs
from reynard.engine.recovery import Recovery
from reynard.engine.routes import Routes
from reynard.engine.webhooks import Webhooks
from reynard.engine.work import Sink, Work
from reynard.engine.worker import Worker
from reynard.ports.chunks import Batch, StreamEnd
from reynard.ports.clock import Chance
from reynard.ports.store import ChunkRow
from reynard.storage.chunks_memory import MemoryChunkLog
from reynard.storage.chunks_written import WrittenChunkLog
from reynard.storage.limits_memory import MemoryLimiter
from reynard.storage.sqlite import SQLiteStore
from reynard.testing.clock import FakeClock
from reynard.testing.conformance.retention import all_chunks
from reynard.testing.conformance.store import claimed, new_task

GENERATION = Generation(model="gpt-5.5", messages=(UserMessage(content="Hi"),), max_tokens=16, stream=True)
ROUTES = Routes(Catalogue(()), ())
CHUNKS = [b'{"n":%d}' % number for number in range(30)]


class Provider:
    """Streams, and is done."""

    async def generate(self, work: Work, sink: Sink) -> Completion:
        for start in range(0, len(CHUNKS), 7):
            await sink.put(CHUNKS[start : start + 7])
        work.journal.model = work.generation.model
        return Completion(id="c", created=1, model=work.generation.model, choices=[])


class WatchedStore(SQLiteStore):
    """Notes which chunks are on disk when an end comes; the first writes of chunks fail."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.failures = 0
        self.seen: list[list[bytes]] = []
        self.statuses: list[Status] = []

    async def save(self, task: Task, *more: Any, **named: Any) -> bool:
        if task.is_ended:
            self.seen.append(await all_chunks(self, task.id))
        return await super().save(task, *more, **named)

    async def write_chunks(self, rows: Sequence[ChunkRow], now: float) -> None:
        found = await self.find(rows[0].task_id)
        assert found is not None
        self.statuses.append(found[0].status)
        if self.failures > 0:
            self.failures -= 1
            raise StoreUnavailable("full")
        await super().write_chunks(rows, now)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[WatchedStore]:
    opened = WatchedStore(tmp_path / "reynard.db")
    yield opened
    await opened.close()


def log_of(store: SQLiteStore, clock: FakeClock) -> WrittenChunkLog:
    memory = MemoryChunkLog(clock, retention_s=900, max_bytes=1_000_000, max_stream_bytes=500_000)
    return WrittenChunkLog(memory, store, clock, write_delay_s=60, retention_s=900)


def endings_of(store: SQLiteStore, chunks: WrittenChunkLog, clock: FakeClock) -> Endings:
    admission = Admission(
        store=store,
        limiter=MemoryLimiter(clock),
        files=cast("Files", None),
        webhooks=cast("Webhooks", None),
        routes=lambda: ROUTES,
        clock=clock,
        chance=cast("Chance", None),
    )
    return Endings(admission, chunks, cast("Webhooks", None))


def worker_of(store: SQLiteStore, chunks: WrittenChunkLog, clock: FakeClock, jobs: Jobs) -> Worker:
    endings, billing, policy = endings_of(store, chunks, clock), Billing(lambda: ROUTES), RunPolicy()
    return Worker(
        "worker-a",
        store=store,
        chunks=chunks,
        failover=cast("Failover", Provider()),
        endings=endings,
        recovery=Recovery(
            "worker-a", store=store, chunks=chunks, endings=endings, billing=billing, clock=clock, policy=policy
        ),
        billing=billing,
        clock=clock,
        jobs=jobs,
        capacity=Capacity(),
        policy=policy,
    )


def engine_of(store: SQLiteStore, chunks: WrittenChunkLog, clock: FakeClock, **parts: Any) -> Engine:
    """As a process that has just begun."""
    others = ("calls", "admission", "endings", "repeats", "recovery", "access", "files", "accounts", "webhooks")
    return Engine(
        store=store,
        chunks=chunks,
        clock=clock,
        policy=RunPolicy(),
        worker=cast("Worker", SimpleNamespace(runs={})),
        **{**dict.fromkeys((*others, "routes"), cast("Any", SimpleNamespace(runs={}))), **parts},
    )


async def at_end(store: SQLiteStore, task_id: str) -> Task:
    while (found := await store.find(task_id)) is None or not found[0].is_ended:
        await asyncio.sleep(0)
    return found[0]


@pytest.mark.parametrize("failures", [0, 2])
async def test_an_end_on_disk_has_all_its_chunks_there(
    store: WatchedStore, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "STORE_RETRY_S", 0.0)
    store.failures = failures
    clock, jobs = FakeClock(), Jobs()
    worker = worker_of(store, log_of(store, clock), clock, jobs)
    task = new_task(1, stream=True)
    await store.insert(task, GENERATION)
    await worker.start()
    assert (await at_end(store, task.id)).status is Status.COMPLETED
    assert store.seen == [CHUNKS]
    assert store.statuses == [Status.PROCESSING] * (failures + 1)
    await jobs.close()


async def test_a_deadline_is_kept_while_the_stream_cannot_begin(
    store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(task_id: str) -> bool:
        raise StoreUnavailable("away")

    clock, jobs = FakeClock(), Jobs()
    worker = worker_of(store, log_of(store, clock), clock, jobs)
    monkeypatch.setattr(store, "has_chunks", away)
    task = msgspec.structs.replace(new_task(1, stream=True), deadline=clock.now() + 0.05)
    await store.insert(task, GENERATION)
    await worker.start()
    async with asyncio.timeout(5):
        while not worker.runs:
            await asyncio.sleep(0)
        (held,) = worker.runs.values()
        while not held.settling:
            await asyncio.sleep(0.01)
    monkeypatch.undo()
    ended = await at_end(store, task.id)
    assert ended.error is not None
    assert ended.error.code == "generation_timeout"
    await jobs.close()


async def test_what_waits_in_the_store_is_told_of_when_it_ends_and_not_at_the_next_look(
    store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "POLL_S", 60.0)
    clock = FakeClock()
    chunks = log_of(store, clock)
    endings = endings_of(store, chunks, clock)
    engine = engine_of(store, chunks, clock, endings=endings)
    task = claimed(new_task(1), "worker-dead")
    await store.insert(task, GENERATION)
    caller = cast("Any", SimpleNamespace(id=task.key_id))
    async with asyncio.timeout(5):
        waiting = [asyncio.ensure_future(engine.find(task.id, caller, 60.0)) for _ in range(3)]
        await asyncio.sleep(0)
        ended = transition(task, Failed(TaskError("upstream_error", "it broke")), clock.now(), RunPolicy())
        assert await store.save(ended)
        await endings.follow(ended)
        assert await asyncio.gather(*waiting) == [(ended, None)] * 3
    del waiting
    gc.collect()
    assert dict(endings._awaited) == {}


async def test_a_dead_workers_task_that_was_read_is_paid_for_when_it_is_cancelled_before_it_is_missed(
    store: WatchedStore,
) -> None:
    clock = FakeClock()
    bill = Bill(cost=0, prompt_tokens=3, completion_tokens=5, model="gpt-5.5", channel="up")
    recovered: list[str] = []

    class Told:
        async def left(self, task: Task) -> tuple[Bill, bytes]:
            recovered.append(task.id)
            return bill, b'{"part":1}'

    chunks = log_of(store, clock)
    engine = engine_of(store, chunks, clock, endings=endings_of(store, chunks, clock), recovery=Told())
    read, unread = (claimed(new_task(number, stream=True), "worker-dead") for number in (1, 2))
    for task in (read, unread):
        await store.insert(task, GENERATION)
        await store.write_chunks([ChunkRow(task.id, 0, CHUNKS)], clock.now())
    read = transition(read, Read(), clock.now(), RunPolicy())
    assert await store.save(read)
    caller = cast("Any", SimpleNamespace(id=read.key_id))
    for task in (read, unread):
        assert (await engine.cancel(task.id, caller)).status is Status.CANCELLED
    assert recovered == [read.id]
    found = await store.find(read.id)
    assert found is not None
    assert (found[0].bill, found[1]) == (bill, b'{"part":1}')
    end = StreamEnd(len(CHUNKS), None, cancelled=True)
    assert await engine.read(read.id, 3, 0.0) == Batch(CHUNKS[3:], end)
    assert await engine.read(read.id, 5_000, 0.0) == Batch((), end)


async def test_a_stream_that_was_read_does_not_begin_anew_before_its_worker_is_missed(store: WatchedStore) -> None:
    clock = FakeClock()
    chunks = log_of(store, clock)
    read, unread = (claimed(new_task(number, stream=True), "worker-dead") for number in (1, 2))
    for task in (read, unread):
        await store.insert(task, GENERATION)
        await store.write_chunks([ChunkRow(task.id, 0, CHUNKS)], clock.now())
    read = transition(read, Read(), clock.now(), RunPolicy())
    assert await store.save(read)
    engine = engine_of(store, chunks, clock)
    for task in (read, unread):
        assert await engine.read(task.id, 0, 0.0) == Batch(())
    assert await all_chunks(store, read.id) == CHUNKS
    assert await all_chunks(store, unread.id) == []

    lost = transition(read, Lost(), clock.now(), RunPolicy())
    assert await store.save(lost)
    await chunks.close_stream(lost.id, error=lost.error)
    assert await engine.read(read.id, 3, 0.0) == Batch(CHUNKS[3:], StreamEnd(len(CHUNKS), lost.error))
    assert await engine.read(read.id, 99, 0.0) == Batch((), StreamEnd(len(CHUNKS), lost.error))
