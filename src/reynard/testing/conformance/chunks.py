"""The promises of `ports.chunks.ChunkLog`."""

import asyncio

import pytest

from reynard.core.errors import OffsetOutOfRange
from reynard.core.task import TaskError
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

    async def test_a_cancelled_stream_says_so(self, log: ChunkLog) -> None:
        await log.open("t")
        await log.close_stream("t", cancelled=True)
        assert await whole(log, "t") == ([], StreamEnd(0, None, cancelled=True))
