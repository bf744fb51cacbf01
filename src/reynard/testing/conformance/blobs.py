"""The promises of `ports.blobs.Blobs`."""

import asyncio
from collections.abc import Sequence

from reynard.ports.blobs import BlobMissing, Blobs

SMALL = b"small \x00\xff"
LARGE = bytes(range(256)) * 48_000  # 12 MB: several parts of whatever a back-end writes in
CUT = 100_003


async def keep(blobs: Blobs, name: str, data: bytes) -> None:
    """A whole blob, written in uneven pieces."""
    writer = await blobs.create(name)
    for start in range(0, len(data), CUT):
        await writer.write(data[start : start + CUT])
    await writer.commit()


async def read(blobs: Blobs, name: str, start: int, end: int) -> bytes:
    """A range of a blob."""
    async with blobs.open(name, start, end) as pieces:
        return b"".join([piece async for piece in pieces])


async def names(blobs: Blobs) -> Sequence[str]:
    """All that a listing shows."""
    return sorted([blob.name async for batch in blobs.list() for blob in batch])


class BlobsConformance:
    """Subclass it with a `blobs` fixture: an empty place."""

    async def test_what_was_kept_is_read_as_it_was_whole_and_in_part(self, blobs: Blobs) -> None:
        for name, data in (("a.blob", SMALL), ("b.blob", LARGE)):
            await keep(blobs, name, data)
            assert await read(blobs, name, 0, len(data)) == data
            assert await read(blobs, name, 3, 5) == data[3:5]
            assert await read(blobs, name, len(data) - 1, len(data)) == data[-1:]
        assert await read(blobs, "b.blob", 1_000_001, 9_000_009) == LARGE[1_000_001:9_000_009]
        assert await names(blobs) == ["a.blob", "b.blob"]

    async def test_a_reader_may_leave_early(self, blobs: Blobs) -> None:
        await keep(blobs, "a.blob", LARGE)
        async with blobs.open("a.blob", 0, len(LARGE)) as pieces:
            first = await anext(pieces)
            await pieces.aclose()
        assert LARGE.startswith(first)
        assert len(first) < len(LARGE)
        await blobs.delete("a.blob")

    async def test_nobody_sees_a_blob_before_its_commit(self, blobs: Blobs) -> None:
        for data in (SMALL, LARGE):
            writer = await blobs.create("a.blob")
            await writer.write(data)
            assert await _is_missing(blobs, "a.blob")
            await writer.commit()
            assert await read(blobs, "a.blob", 0, len(data)) == data
            await blobs.delete("a.blob")

    async def test_what_is_dropped_never_was(self, blobs: Blobs) -> None:
        for data in (b"", SMALL, LARGE):
            writer = await blobs.create("a.blob")
            await writer.write(data)
            await writer.drop()
            assert await _is_missing(blobs, "a.blob")
            assert await names(blobs) == []

    async def test_what_is_dropped_in_the_middle_of_a_write_never_was(self, blobs: Blobs) -> None:
        for turns in range(6):
            writer = await blobs.create("a.blob")
            writing = asyncio.gather(writer.write(LARGE))
            for _ in range(turns):
                await asyncio.sleep(0)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await writer.drop()
            assert await names(blobs) == []

    async def test_a_deleted_blob_is_gone_and_may_be_deleted_again(self, blobs: Blobs) -> None:
        await keep(blobs, "a.blob", SMALL)
        for _ in range(2):
            await blobs.delete("a.blob")
            assert await _is_missing(blobs, "a.blob")

    async def test_a_listing_shows_when_a_blob_was_kept(self, blobs: Blobs) -> None:
        await keep(blobs, "a.blob", SMALL)
        await keep(blobs, "b.blob", SMALL)
        [(first, second)] = [[blob.modified for blob in batch] async for batch in blobs.list()]
        assert abs(first - second) < 60
        assert first > 1_700_000_000


async def _is_missing(blobs: Blobs, name: str) -> bool:
    try:
        await read(blobs, name, 0, 1)
    except BlobMissing:
        return True
    return False
