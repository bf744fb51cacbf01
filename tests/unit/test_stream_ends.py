"""A task's end is written behind the last of its chunks, whatever happens in between."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from reynard.core.catalogue import Catalogue
from reynard.core.chat import Completion
from reynard.core.errors import StoreUnavailable
from reynard.core.generation import Generation
from reynard.core.messages import UserMessage
from reynard.core.task import Lost, Read, RunPolicy, Status, Task, transition
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


@pytest.mark.parametrize("failures", [0, 2])
async def test_an_end_on_disk_has_all_its_chunks_there(
    store: WatchedStore, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "STORE_RETRY_S", 0.0)
    store.failures = failures
    clock, jobs = FakeClock(), Jobs()
    memory = MemoryChunkLog(clock, retention_s=900, max_bytes=1_000_000, max_stream_bytes=500_000)
    chunks = WrittenChunkLog(memory, store, clock, write_delay_s=60, retention_s=900)
    admission = Admission(
        store=store,
        limiter=MemoryLimiter(clock),
        files=cast("Files", None),
        webhooks=cast("Webhooks", None),
        routes=lambda: ROUTES,
        clock=clock,
        chance=cast("Chance", None),
    )
    endings, billing, policy = Endings(admission, chunks, cast("Webhooks", None)), Billing(lambda: ROUTES), RunPolicy()
    worker = Worker(
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
    task = new_task(1, stream=True)
    await store.insert(task, GENERATION)
    await worker.start()
    while (found := await store.find(task.id)) is None or not found[0].is_ended:
        await asyncio.sleep(0)
    assert found[0].status is Status.COMPLETED
    assert store.seen == [CHUNKS]
    assert store.statuses == [Status.PROCESSING] * (failures + 1)
    await jobs.close()


async def test_a_stream_that_was_read_does_not_begin_anew_before_its_worker_is_missed(store: WatchedStore) -> None:
    clock = FakeClock()
    memory = MemoryChunkLog(clock, retention_s=900, max_bytes=1_000_000, max_stream_bytes=500_000)
    chunks = WrittenChunkLog(memory, store, clock, write_delay_s=60, retention_s=900)
    read, unread = (claimed(new_task(number, stream=True), "worker-dead") for number in (1, 2))
    for task in (read, unread):
        await store.insert(task, GENERATION)
        await store.write_chunks([ChunkRow(task.id, 0, CHUNKS)], clock.now())
    read = transition(read, Read(), clock.now(), RunPolicy())
    assert await store.save(read)
    engine = Engine(
        store=store,
        chunks=chunks,
        worker=cast("Worker", SimpleNamespace(runs={})),
        clock=clock,
        policy=RunPolicy(),
        **dict.fromkeys(
            ("calls", "admission", "endings", "repeats", "access", "files", "accounts", "webhooks", "routes"),
            cast("Any", None),
        ),
    )
    for task in (read, unread):
        assert await engine.read(task.id, 0, 0.0) == Batch(())
    assert await all_chunks(store, read.id) == CHUNKS
    assert await all_chunks(store, unread.id) == []

    lost = transition(read, Lost(), clock.now(), RunPolicy())
    assert await store.save(lost)
    await chunks.close_stream(lost.id, error=lost.error)
    assert await engine.read(read.id, 3, 0.0) == Batch(CHUNKS[3:], StreamEnd(len(CHUNKS), lost.error))
    assert await engine.read(read.id, 99, 0.0) == Batch((), StreamEnd(len(CHUNKS), lost.error))
