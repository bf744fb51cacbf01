import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from reynard.core.errors import GenerationError, StoreUnavailable
from reynard.core.task import Status
from reynard.ports.chunks import Batch, StreamEnd
from reynard.ports.store import ChunkRow
from reynard.storage import chunks_written
from reynard.storage.chunks_memory import STREAM_OVERHEAD, MemoryChunkLog
from reynard.storage.chunks_written import WriteFirstChunkLog, WrittenChunkLog
from reynard.storage.sqlite import SQLiteStore
from reynard.testing.clock import FakeClock
from reynard.testing.conformance.chunks import (
    ERROR,
    DurableChunkLogConformance,
    ended_task,
    kept,
    whole,
)


class Rows:
    """The rows of a store, of which each write is noted, and may fail."""

    def __init__(self, store: SQLiteStore) -> None:
        self.store = store
        self.written: list[list[tuple[str, int, int]]] = []
        self.logged: list[list[tuple[str, int, int]]] = []
        self.full = False
        self.gate: asyncio.Event | None = None

    async def write_chunks(self, rows: Sequence[ChunkRow], now: float) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.full:
            raise StoreUnavailable("full")
        await self.store.write_chunks(rows, now)
        self.written.append([(row.task_id, row.first, len(row.chunks)) for row in rows])

    async def log_chunks(self, rows: Sequence[ChunkRow], oldest: int) -> int:
        if self.gate is not None:
            await self.gate.wait()
        if self.full:
            raise StoreUnavailable("full")
        number = await self.store.log_chunks(rows, oldest)
        self.logged.append([(row.task_id, row.first, len(row.chunks)) for row in rows])
        return number

    async def file_logged(self, now: float) -> None:
        await self.store.file_logged(now)

    async def has_chunks(self, task_id: str) -> bool:
        return await self.store.has_chunks(task_id)

    async def read_chunks(self, task_id: str, first: int, most_bytes: int = 1_000_000) -> list[bytes]:
        return await self.store.read_chunks(task_id, first, most_bytes)

    async def drop_chunks(self, task_id: str) -> None:
        if self.full:
            raise StoreUnavailable("full")
        await self.store.drop_chunks(task_id)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    opened = SQLiteStore(tmp_path / "reynard.db")
    yield opened
    await opened.close()


@pytest.fixture
def rows(store: SQLiteStore) -> Rows:
    return Rows(store)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def now(clock: FakeClock) -> Callable[[], float]:
    return clock.now


def made(kind: type[WrittenChunkLog], rows: Rows, clock: FakeClock, *, max_bytes: int = 1_000_000) -> WrittenChunkLog:
    memory = MemoryChunkLog(clock, retention_s=900, max_bytes=max_bytes, max_stream_bytes=max_bytes // 2)
    return kind(memory, rows, clock, write_delay_s=0.0, retention_s=900)


@contextmanager
def writing(log: WrittenChunkLog) -> Iterator[None]:
    job = asyncio.create_task(log.keep_writing())
    try:
        yield
    finally:
        job.cancel()


class TestWrittenChunkLog(DurableChunkLogConformance):
    @pytest.fixture
    def log(self, rows: Rows, clock: FakeClock) -> WrittenChunkLog:
        return made(WrittenChunkLog, rows, clock)

    @pytest.fixture
    def following(self, rows: Rows, clock: FakeClock) -> Callable[[], WrittenChunkLog]:
        return lambda: made(WrittenChunkLog, rows, clock)

    async def test_a_batch_is_one_row_a_stream_and_one_transaction(self, log: WrittenChunkLog, rows: Rows) -> None:
        for name in ("a", "b"):
            await log.open(name)
        for number in range(50):
            await log.append("a", [b"%d" % number])
            await log.append("b", [b"%d" % number])
        assert await log.read("a", 49, 0.0) == Batch([b"49"])  # delivered before it is written
        assert rows.written == []
        await log.write()
        await log.append("b", [b"50"])
        await log.write()
        await log.write()
        assert rows.written == [[("a", 0, 50), ("b", 0, 50)], [("b", 50, 1)]]

    async def test_what_comes_while_a_batch_is_written_waits_for_the_next(
        self, log: WrittenChunkLog, rows: Rows
    ) -> None:
        rows.gate = asyncio.Event()
        await log.open("t")
        await log.append("t", [b"0"])
        first = asyncio.create_task(log.write())
        await asyncio.sleep(0)
        await log.append("t", [b"1", b"2"])
        rows.gate.set()
        await first
        assert rows.written == [[("t", 0, 1)]]
        await log.write()
        assert rows.written == [[("t", 0, 1)], [("t", 1, 2)]]

    async def test_what_is_being_written_is_not_written_twice(self, log: WrittenChunkLog, rows: Rows) -> None:
        rows.gate = asyncio.Event()
        await log.open("t")
        await log.append("t", [b"0"])
        flushed = asyncio.create_task(log.flush("t"))
        await asyncio.sleep(0)
        others = [asyncio.create_task(work) for work in (log.write(), log.flush("t"))]
        await asyncio.sleep(0)
        rows.gate.set()
        await asyncio.gather(flushed, *others)
        assert rows.written == [[("t", 0, 1)]]

    async def test_the_loop_writes_by_itself_and_again_when_it_can(
        self, log: WrittenChunkLog, rows: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(chunks_written, "RETRY_S", 0.0)
        rows.full = True
        with writing(log):
            await log.open("t")
            await log.append("t", [b"0"])
            for _ in range(20):
                await asyncio.sleep(0)
            await log.append("t", [b"1"])
            assert (await log.read("t", 0, 0.0)) == Batch([b"0", b"1"])
            with pytest.raises(StoreUnavailable):
                await log.flush("t")
            rows.full = False
            while await kept(made(WrittenChunkLog, rows, FakeClock()), "t") != [b"0", b"1"]:
                await asyncio.sleep(0.001)

    async def test_a_stream_begins_only_when_what_was_there_is_gone(
        self, log: WrittenChunkLog, rows: Rows, clock: FakeClock
    ) -> None:
        await log.open("t")
        await log.append("t", [b"old", b"text"])
        await log.flush("t")
        for beginning in (log, made(WrittenChunkLog, rows, clock)):
            rows.full = True
            with pytest.raises(StoreUnavailable):
                await beginning.open("t")
            rows.full = False
            await beginning.open("t")
            await beginning.append("t", [b"new"])
            await beginning.flush("t")
            assert await kept(made(WrittenChunkLog, rows, clock), "t") == [b"new"]

    async def test_a_write_under_way_when_a_stream_begins_anew_leaves_nothing(
        self, log: WrittenChunkLog, rows: Rows, clock: FakeClock
    ) -> None:
        await log.open("t")
        await log.append("t", [b"old"])
        await log.write()
        rows.gate = asyncio.Event()
        await log.append("t", [b"text"])
        first = asyncio.create_task(log.write())
        await asyncio.sleep(0)
        begun = asyncio.create_task(log.open("t"))
        await asyncio.sleep(0)
        rows.gate.set()
        await asyncio.gather(first, begun)
        await log.append("t", [b"new"])
        await log.flush("t")
        assert await kept(made(WrittenChunkLog, rows, clock), "t") == [b"new"]

    async def test_a_write_of_which_nobody_knows_is_done_again_without_harm(
        self, log: WrittenChunkLog, rows: Rows, clock: FakeClock
    ) -> None:
        await log.open("t")
        await log.append("t", [b"0"])
        await rows.store.write_chunks([ChunkRow("t", 0, [b"0"])], 1.0)  # it was kept, and the news of it lost
        await log.append("t", [b"1"])
        await log.flush("t")
        assert await kept(made(WrittenChunkLog, rows, clock), "t") == [b"0", b"1"]

    async def test_a_long_batch_is_cut(
        self, log: WrittenChunkLog, rows: Rows, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
    ) -> None:
        monkeypatch.setattr(chunks_written, "MOST_IN_ROW", 30)
        monkeypatch.setattr(chunks_written, "MOST_AT_ONCE", 60)
        chunks = [b"x" * size for size in (10, 10, 50, 1, 1, 10, 10, 10, 29, 1)]
        await log.open("t")
        await log.append("t", chunks)
        await log.write()
        assert [row for batch in rows.written for row in batch] == [
            *(("t", 0, 2), ("t", 2, 1), ("t", 3, 4), ("t", 7, 1), ("t", 8, 1), ("t", 9, 1))
        ]
        assert len(rows.written) > 1
        assert await kept(made(WrittenChunkLog, rows, clock), "t") == chunks

    async def test_nothing_is_watched_when_all_is_written_and_ended(self, log: WrittenChunkLog) -> None:
        for name in ("flushed", "closed"):
            await log.open(name)
            await log.append(name, [b"0"])
        await log.flush("flushed")
        await log.close_stream("flushed")
        await log.close_stream("closed")
        await log.write()
        assert log._dirty == log._streams == {}

    async def test_what_makes_room_in_memory_can_still_be_read(self, log: WrittenChunkLog, clock: FakeClock) -> None:
        for name in ("a", "b", "c"):
            await log.open(name)
            await log.append(name, [b"x" * 400_000])
            await log.flush(name)
            await log.close_stream(name)
        assert await log.read("a", 0, 0.0) is None
        assert await log.restore(ended_task("a", Status.COMPLETED, clock.now()))
        assert await whole(log, "a") == ([b"x" * 400_000], StreamEnd(1))

    async def test_a_restored_stream_is_not_shown_past_its_time(
        self, log: WrittenChunkLog, rows: Rows, clock: FakeClock
    ) -> None:
        await log.open("t")
        await log.append("t", [b"0"])
        await log.flush("t")
        again = made(WrittenChunkLog, rows, clock)
        await again.close_stream("younger")
        assert await again.restore(ended_task("t", Status.COMPLETED, clock.now() - 500))
        clock.advance(401)
        assert await again.read("t", 0, 0.0) is None
        assert await again.read("younger", 0, 0.0) is not None

    async def test_what_is_restored_takes_no_room_in_memory(
        self, log: WrittenChunkLog, rows: Rows, clock: FakeClock
    ) -> None:
        chunks = [b"%d" % number * 5_000 for number in range(40)]
        await log.open("t")
        await log.append("t", chunks)
        await log.flush("t")
        small = made(WrittenChunkLog, rows, clock, max_bytes=100_000)
        assert await small.restore(ended_task("t", Status.COMPLETED, clock.now()))
        assert await whole(small, "t") == (chunks, StreamEnd(40))
        assert await whole(small, "t", 33) == (chunks[33:], StreamEnd(40))
        assert small.held == (1, STREAM_OVERHEAD)

    async def test_what_is_written_of_a_stream_under_way_makes_room_and_is_read_from_its_rows(
        self, log: WrittenChunkLog
    ) -> None:
        texts = {name: [b"%s%d" % (name.encode(), number) * 3_000 for number in range(50)] for name in "abcdef"}
        for name in texts:
            await log.open(name)
        for number in range(50):
            for name, chunks in texts.items():
                await log.append(name, chunks[number : number + 1])
            assert log.held[1] <= 1_000_000
        behind = {name: await log.read(name, 0, 0.0) for name in texts}
        assert any(log._memory.first(name) for name in texts)
        assert {name: batch.chunks[0] for name, batch in behind.items() if batch} == {
            name: chunks[0] for name, chunks in texts.items()
        }
        assert {name: await kept(log, name) for name in texts} == texts
        for name in texts:
            await log.flush(name)
            await log.close_stream(name)
        for name, chunks in texts.items():
            for offset in (0, 1, 17, 49, 50):
                if await log.read(name, offset, 0.0) is None:
                    assert await log.restore(ended_task(name, Status.COMPLETED, 1.0))
                assert await whole(log, name, offset) == (chunks[offset:], StreamEnd(50))
        assert log._spare == {}

    async def test_ended_streams_make_room_before_any_that_is_under_way(self, log: WrittenChunkLog) -> None:
        for name in ("a", "b"):
            await log.open(name)
            await log.append(name, [b"x" * 400_000])
            await log.flush(name)
        await log.close_stream("b")
        await log.open("c")
        await log.append("c", [b"y" * 400_000])
        assert await log.read("b", 0, 0.0) is None
        assert log._memory.first("a") == 0

    async def test_what_cannot_be_written_keeps_who_appends_waiting_and_fails_nobody(
        self, log: WrittenChunkLog, rows: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(chunks_written, "RETRY_S", 0.0)
        rows.full = True
        for name in ("a", "b", "c", "d"):
            await log.open(name)
        for name in ("a", "b"):
            await log.append(name, [b"x" * 400_000])
        waiting = [asyncio.create_task(log.append(name, [b"x" * 400_000])) for name in ("c", "d")]
        await asyncio.sleep(0.01)
        assert [job.done() for job in waiting] == [False, False]
        assert log.held[1] <= 1_000_000
        rows.full = False
        await asyncio.gather(*waiting)
        assert log.held[1] <= 1_000_000
        for name in ("a", "b", "c", "d"):
            assert await kept(log, name) == [b"x" * 400_000]
            assert await log.read(name, 0, 0.0) == Batch([b"x" * 400_000])

    async def test_a_reader_that_waits_gets_what_was_let_go_of_before_it_woke(self, log: WrittenChunkLog) -> None:
        await log.open("t")
        reader = asyncio.create_task(whole(log, "t"))
        await asyncio.sleep(0)
        await log.append("t", [b"0", b"1"])
        await log.flush("t")
        log._memory.let_go("t", 2)
        await log.close_stream("t")
        assert await reader == ([b"0", b"1"], StreamEnd(2))

    async def test_one_that_begins_anew_has_nothing_of_what_was_let_go_of(self, log: WrittenChunkLog) -> None:
        await log.open("t")
        await log.append("t", [b"old"] * 9)
        await log.flush("t")
        log._memory.let_go("t", 9)
        await log.open("t")
        await log.append("t", [b"new"])
        assert await log.read("t", 0, 0.0) == Batch([b"new"])
        assert log._spare == {}

    async def test_what_was_not_written_is_lost_and_nothing_else(
        self, log: WrittenChunkLog, rows: Rows, clock: FakeClock
    ) -> None:
        await log.open("t")
        await log.append("t", [b"0", b"1"])
        await log.write()
        await log.append("t", [b"2"])
        again = made(WrittenChunkLog, rows, clock)
        assert await again.restore(ended_task("t", Status.FAILED, clock.now(), ERROR))
        assert await whole(again, "t") == ([b"0", b"1"], StreamEnd(2, ERROR))
        assert await again.read("t", 3, 0.0) == Batch((), StreamEnd(2, ERROR))


class TestLogOfMany:
    """Where there are more streams than get rows in a round."""

    @pytest.fixture(autouse=True)
    def few_rows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(chunks_written, "ROWS_AT_ONCE", 1)
        monkeypatch.setattr(chunks_written, "KEPT_OF_EACH", 2)

    @pytest.fixture
    def log(self, rows: Rows, clock: FakeClock) -> WrittenChunkLog:
        return made(WrittenChunkLog, rows, clock)

    async def test_most_is_logged_together_and_each_gets_its_row_in_turn(
        self, log: WrittenChunkLog, rows: Rows, store: SQLiteStore
    ) -> None:
        for name in "abc":
            await log.open(name)
        for number in range(4):
            for name in "abc":
                await log.append(name, [b"%d" % number])
            await log.write()
        assert rows.written == [[("a", 0, 1)], [("b", 0, 2)], [("c", 0, 3)], [("a", 1, 3)]]
        assert rows.logged == [
            [("b", 0, 1), ("c", 0, 1)],
            [("c", 1, 1), ("a", 1, 1)],
            [("a", 2, 1), ("b", 2, 1)],
            [("b", 3, 1), ("c", 3, 1)],
        ]

    async def test_memory_holds_the_latest_of_what_is_in_rows(self, log: WrittenChunkLog) -> None:
        for name in "ab":
            await log.open(name)
            await log.append(name, [b"%d" % number for number in range(9)])
        await log.write()
        assert [log._memory.first(name) for name in "ab"] == [7, 0]
        assert await log.read("a", 3, 0.0) == Batch([b"%d" % number for number in range(3, 9)])
        await log.close_stream("a")
        assert await whole(log, "a") == ([b"%d" % number for number in range(9)], StreamEnd(9))

    async def test_what_has_a_row_is_logged_no_longer(
        self, log: WrittenChunkLog, rows: Rows, store: SQLiteStore
    ) -> None:
        for name in "abc":
            await log.open(name)
            await log.append(name, [b"0"])
        await log.write()
        for name in "bc":
            await log.flush(name)
        await log.append("a", [b"1"])
        await log.write()
        assert store._one("has_entries", ()) is None

    async def test_a_stream_that_begins_anew_has_nothing_of_what_was_logged(
        self, log: WrittenChunkLog, rows: Rows, clock: FakeClock
    ) -> None:
        for name in "abc":
            await log.open(name)
            await log.append(name, [b"old", b"text"])
        await log.write()
        assert rows.logged == [[("b", 0, 2), ("c", 0, 2)]]
        await log.open("b")
        await made(WrittenChunkLog, rows, clock).open("c")
        assert await kept(made(WrittenChunkLog, rows, clock), "b") == []
        assert await kept(made(WrittenChunkLog, rows, clock), "c") == []

    async def test_what_cannot_be_logged_is_logged_later(
        self, log: WrittenChunkLog, rows: Rows, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(chunks_written, "MOST_AT_ONCE", 1)  # an entry has one stream
        monkeypatch.setattr(chunks_written, "STREAMS_IN_ENTRY", 1)
        for name in "abc":
            await log.open(name)
            await log.append(name, [b"0", b"1"])
        rows.full = True
        with pytest.raises(StoreUnavailable):
            await log.write()
        rows.full = False
        await log.write()
        assert rows.logged == [[("b", 0, 2)], [("c", 0, 2)]]
        again = made(WrittenChunkLog, rows, clock)
        assert [await kept(again, name) for name in "abc"] == [[b"0", b"1"]] * 3

    @pytest.mark.parametrize("seed", range(20))
    async def test_whatever_happened_the_next_process_finds_what_was_written(
        self, log: WrittenChunkLog, rows: Rows, clock: FakeClock, seed: int
    ) -> None:
        chance, names = random.Random(seed), "abcdef"
        texts: dict[str, list[bytes]] = {name: [] for name in names}
        for name in names:
            await log.open(name)
        for step in range(60):
            for name in chance.sample(names, 3):
                text = [b"%d" % step] * chance.randint(1, 3)
                await log.append(name, text)
                texts[name] += text
            match chance.choice(("write", "write", "write", "flush", "open", "fail", "release")):
                case "write":
                    await log.write()
                case "flush":
                    await log.flush(chance.choice(names))
                case "open":
                    anew = chance.choice(names)
                    await log.open(anew)
                    texts[anew] = []
                case "fail":
                    rows.full = True
                    with pytest.raises(StoreUnavailable):
                        await log.write()
                    rows.full = False
                case "release":
                    for name, stream in log._spare.items():
                        log._memory.let_go(name, stream.written)
        await log.write()
        assert {name: await kept(log, name) for name in names} == texts
        again = made(WrittenChunkLog, rows, clock)
        assert {name: await kept(again, name) for name in names} == texts


class TestWriteFirstChunkLog(DurableChunkLogConformance):
    @pytest.fixture
    def log(self, rows: Rows, clock: FakeClock) -> WrittenChunkLog:
        return made(WriteFirstChunkLog, rows, clock)

    @pytest.fixture
    def following(self, rows: Rows, clock: FakeClock) -> Callable[[], WrittenChunkLog]:
        return lambda: made(WriteFirstChunkLog, rows, clock)

    async def test_nothing_is_delivered_before_it_is_written(self, log: WrittenChunkLog, rows: Rows) -> None:
        rows.gate = asyncio.Event()
        await log.open("t")
        appended = asyncio.create_task(log.append("t", [b"0"]))
        await asyncio.sleep(0)
        assert await log.read("t", 0, 0.0) == Batch([])
        rows.gate.set()
        await appended
        assert await log.read("t", 0, 0.0) == Batch([b"0"])
        assert await kept(made(WriteFirstChunkLog, rows, FakeClock()), "t") == [b"0"]

    async def test_what_cannot_be_written_is_not_delivered(self, log: WrittenChunkLog, rows: Rows) -> None:
        await log.open("t")
        rows.full = True
        with pytest.raises(StoreUnavailable):
            await log.append("t", [b"0"])
        assert await log.read("t", 0, 0.0) == Batch([])

    async def test_what_is_too_long_is_not_written(self, log: WrittenChunkLog, rows: Rows) -> None:
        await log.open("t")
        with pytest.raises(GenerationError):
            await log.append("t", [b"x" * 500_000])
        assert rows.written == []

    async def test_streams_under_way_make_room_for_each_other(self, log: WrittenChunkLog) -> None:
        chunks = [b"%d" % number * 40_000 for number in range(10)]
        for name in "abcdef":
            await log.open(name)
        for chunk in chunks:
            for name in "abcdef":
                await log.append(name, [chunk])
                assert log.held[1] <= 1_000_000
        for name in "abcdef":
            await log.close_stream(name, error=ERROR)
        assert await whole(log, "f") == (chunks, StreamEnd(10, ERROR))
