"""The promises of `ports.chunks.ChunkLog`."""

import asyncio
from collections.abc import Callable

import pytest

from reynard.core.errors import OffsetOutOfRange
from reynard.core.task import Status, Task, TaskError
from reynard.ports.chunks import Batch, ChunkLog, StreamEnd

ERROR = TaskError("stream_interrupted", "it broke")


async def whole(log: ChunkLog, task_id: str, offset: int = 0) -> tuple[list[bytes], StreamEnd]:
    """All chunks from `offset` to the end."""
    chunks: list[bytes] = []
    while True:
        batch = await log.read(task_id, offset + len(chunks), 5.0)
        assert batch is not None
        chunks += batch.chunks
        if batch.end is not None:
            return chunks, batch.end


async def kept(log: ChunkLog, task_id: str) -> list[bytes]:
    """All that there is of a stream."""
    return [chunk async for page in log.kept(task_id) for chunk in page]


def ended_task(task_id: str, status: Status, ended: float, error: TaskError | None = None) -> Task:
    """The task of a stream."""
    return Task(
        id=task_id,
        key_id="key-a",
        model="m",
        form="custom",
        stream=True,
        created=ended - 5,
        status=status,
        ended=ended,
        error=error,
    )


class ChunkLogConformance:
    """Subclass it with a `log` fixture."""

    async def test_a_log_that_was_never_opened_is_none(self, log: ChunkLog) -> None:
        assert await log.read("t", 0, 0.0) is None

    async def test_an_open_log_has_nothing_yet(self, log: ChunkLog) -> None:
        await log.open("t")
        assert await log.read("t", 0, 0.01) == Batch([])

    async def test_every_offset_reads_the_same_chunks(self, log: ChunkLog) -> None:
        chunks = [b"%d" % number for number in range(1_300)]
        await log.open("t")
        for start in range(0, len(chunks), 7):
            await log.append("t", chunks[start : start + 7])
        await log.close_stream("t")
        for offset in (0, 1, 511, 512, 513, 1_299, 1_300):
            assert await whole(log, "t", offset) == (chunks[offset:], StreamEnd(1_300))

    async def test_an_offset_past_the_end_is_refused(self, log: ChunkLog) -> None:
        await log.open("t")
        await log.append("t", [b"0"])
        with pytest.raises(OffsetOutOfRange):
            await log.read("t", 2, 0.0)
        await log.close_stream("t")
        with pytest.raises(OffsetOutOfRange):
            await log.read("t", 2, 0.0)

    async def test_many_readers_wait_and_get_all_of_it(self, log: ChunkLog) -> None:
        await log.open("t")
        readers = [asyncio.create_task(whole(log, "t")) for _ in range(20)]  # noqa: TID251
        chunks = [b"%d" % number for number in range(100)]
        for chunk in chunks:
            await log.append("t", [chunk])
            await asyncio.sleep(0)
        await log.close_stream("t", error=ERROR)
        assert await asyncio.gather(*readers) == [(chunks, StreamEnd(100, ERROR))] * 20

    async def test_opening_again_begins_from_nothing_and_keeps_its_readers(self, log: ChunkLog) -> None:
        await log.open("t")
        reader = asyncio.create_task(log.read("t", 0, 5.0))  # noqa: TID251
        await asyncio.sleep(0)
        await log.open("t")
        await log.append("t", [b"new"])
        assert await reader == Batch([b"new"])

    async def test_a_log_closed_without_being_opened_has_just_its_end(self, log: ChunkLog) -> None:
        await log.close_stream("t", error=ERROR)
        assert await whole(log, "t") == ([], StreamEnd(0, ERROR))

    async def test_beyond_what_survived_a_failed_stream_has_its_end(self, log: ChunkLog) -> None:
        await log.close_stream("t", error=ERROR)
        assert await log.read("t", 40, 0.0) == Batch((), StreamEnd(0, ERROR))

    async def test_beyond_what_survived_a_cancelled_stream_has_its_end(self, log: ChunkLog) -> None:
        await log.close_stream("t", cancelled=True)
        assert await log.read("t", 40, 0.0) == Batch((), StreamEnd(0, None, cancelled=True))

    async def test_a_cancelled_stream_says_so(self, log: ChunkLog) -> None:
        await log.open("t")
        await log.close_stream("t", cancelled=True)
        assert await whole(log, "t") == ([], StreamEnd(0, None, cancelled=True))

    async def test_what_is_kept_is_what_was_appended(self, log: ChunkLog) -> None:
        await log.open("t")
        await log.append("t", [b"0", b"1"])
        await log.append("t", [b"2"])
        await log.flush("t")
        await log.flush("none")
        assert await kept(log, "t") == [b"0", b"1", b"2"]
        assert await kept(log, "none") == []

    async def test_of_what_was_never_here_nothing_is_restored(self, log: ChunkLog) -> None:
        assert not await log.restore(ended_task("t", Status.COMPLETED, 1.0))
        assert await log.read("t", 0, 0.0) is None


class DurableChunkLogConformance(ChunkLogConformance):
    """Subclass it with a `log` fixture, a `following` one that gives the log as the next process finds it, and a `now`
    one, which tells the time."""

    async def test_a_completed_stream_is_whole_for_the_next_process(
        self, log: ChunkLog, following: Callable[[], ChunkLog], now: Callable[[], float]
    ) -> None:
        chunks = [b'{"n":%d,"text":"\xc3\xbc \\n \xe2\x80\xa8"}' % number for number in range(1_500)]
        await log.open("t")
        for start in range(0, len(chunks), 100):
            await log.append("t", chunks[start : start + 100])
            if start % 500 == 0:
                await log.flush("t")
        await log.flush("t")
        await log.close_stream("t")
        again = following()
        assert await again.read("t", 0, 0.0) is None
        assert await again.restore(ended_task("t", Status.COMPLETED, now()))
        assert await whole(again, "t") == (chunks, StreamEnd(1_500))
        assert await whole(again, "t", 1_400) == (chunks[1_400:], StreamEnd(1_500))
        with pytest.raises(OffsetOutOfRange):
            await again.read("t", 1_501, 0.0)

    async def test_a_broken_stream_is_what_was_written_and_then_its_end(
        self, log: ChunkLog, following: Callable[[], ChunkLog], now: Callable[[], float]
    ) -> None:
        await log.open("t")
        await log.append("t", [b"0", b"1"])
        await log.flush("t")
        again = following()
        await again.close_stream("t", error=ERROR)  # as recovery does
        assert await kept(again, "t") == [b"0", b"1"]
        assert await again.restore(ended_task("t", Status.FAILED, now(), ERROR))
        assert await whole(again, "t") == ([b"0", b"1"], StreamEnd(2, ERROR))
        assert await again.read("t", 7, 0.0) == Batch((), StreamEnd(2, ERROR))

    async def test_a_stream_that_begins_anew_has_nothing_of_before(
        self, log: ChunkLog, following: Callable[[], ChunkLog], now: Callable[[], float]
    ) -> None:
        await log.open("t")
        await log.append("t", [b"old"] * 9)
        await log.flush("t")
        second = following()
        await second.open("t")
        assert await kept(following(), "t") == []
        await second.append("t", [b"new"])
        await second.flush("t")
        await second.open("t")
        await second.append("t", [b"newer"])
        await second.flush("t")
        third = following()
        assert await third.restore(ended_task("t", Status.COMPLETED, now()))
        assert await whole(third, "t") == ([b"newer"], StreamEnd(1))

    async def test_past_its_time_nothing_is_restored(
        self, log: ChunkLog, following: Callable[[], ChunkLog], now: Callable[[], float]
    ) -> None:
        await log.open("t")
        await log.append("t", [b"0"])
        await log.flush("t")
        again = following()
        assert not await again.restore(ended_task("t", Status.COMPLETED, now() - 100_000))
        assert await again.read("t", 0, 0.0) is None

    async def test_many_readers_restore_a_stream_once(
        self, log: ChunkLog, following: Callable[[], ChunkLog], now: Callable[[], float]
    ) -> None:
        await log.open("t")
        await log.append("t", [b"0"])
        await log.flush("t")
        again = following()
        task = ended_task("t", Status.COMPLETED, now())
        assert await asyncio.gather(*(again.restore(task) for _ in range(20))) == [True] * 20
        assert await whole(again, "t") == ([b"0"], StreamEnd(1))
