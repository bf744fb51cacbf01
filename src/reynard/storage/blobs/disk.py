"""Blobs as files of one directory; all that touches the disk runs on a few threads beside the event loop."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from reynard.core.errors import StoreUnavailable
from reynard.ports.blobs import Blob, BlobMissing
from reynard.storage.blobs.waiting import whole

T = TypeVar("T")

THREADS: Final = 4
PIECE_BYTES: Final = 262_144
PARTIAL: Final = ".part"
LISTED_AT_ONCE: Final = 500


class DiskBlobs:
    """`ports.blobs.Blobs`. A blob is written beside its name, synced, and renamed, so that a name is always whole."""

    settle_s = 0.0  # the directory is locked: nobody else writes here

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="reynard-files")

    async def create(self, name: str) -> "DiskWriter":
        """See the port. Nothing is on the disk before there is a piece to write."""
        return DiskWriter(self, self._folder / f"{name}{PARTIAL}")

    @asynccontextmanager
    async def open(self, name: str, start: int, end: int) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """See the port."""
        file = await self.run(partial(_open, self._folder / name, start))
        try:
            yield self._pieces(file, end - start)
        finally:
            await self.run(file.close)

    async def _pieces(self, file: BinaryIO, left: int) -> AsyncGenerator[bytes, None]:
        while left > 0:
            piece = await self.run(partial(file.read, min(PIECE_BYTES, left)))
            if not piece:
                raise _unavailable()
            left -= len(piece)
            yield piece

    async def delete(self, name: str) -> None:
        """See the port."""
        await self.run(partial((self._folder / name).unlink, missing_ok=True))

    async def list(self) -> AsyncGenerator[Sequence[Blob], None]:
        """See the port."""
        entries = await self.run(partial(os.scandir, self._folder))
        try:
            while batch := await self.run(partial(_listed, entries)):
                yield batch
        finally:
            entries.close()

    async def close(self) -> None:
        """See the port."""
        self._threads.shutdown()

    async def run(self, work: Callable[[], T]) -> T:
        """`work` on a thread, to its end. Raises `StoreUnavailable` where the disk fails, `BlobMissing`."""
        try:
            return await whole(asyncio.get_running_loop().run_in_executor(self._threads, work))
        except FileNotFoundError as error:
            raise BlobMissing from error
        except OSError as error:
            raise _unavailable() from error


class DiskWriter:
    """See the port. What comes is gathered into pieces, so that a thread is asked now and then only."""

    def __init__(self, blobs: DiskBlobs, path: Path) -> None:
        self._blobs = blobs
        self._path = path
        self._file: BinaryIO | None = None
        self._parts: list[bytes] = []
        self._size = 0

    async def write(self, data: bytes) -> None:
        """See the port."""
        self._parts.append(data)
        self._size += len(data)
        if self._size >= PIECE_BYTES:
            await self._blobs.run(self._flush)

    async def commit(self) -> None:
        """See the port."""
        await self._blobs.run(self._keep)

    async def drop(self) -> None:
        """See the port."""
        await self._blobs.run(self._remove)

    def _flush(self) -> BinaryIO:
        if self._file is None:
            self._file = self._path.open("xb", buffering=0)
        parts, self._parts, self._size = self._parts, [], 0
        for part in parts:
            _write(self._file, part)
        return self._file

    def _keep(self) -> None:
        file = self._flush()
        os.fsync(file.fileno())
        file.close()
        self._path.rename(self._path.with_suffix(""))
        _sync(self._path.parent)

    def _remove(self) -> None:
        """By either name: it may have failed between the rename and the folder's sync."""
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)
            self._path.with_suffix("").unlink(missing_ok=True)


def _write(file: BinaryIO, data: bytes) -> None:
    """All of it: an unbuffered file may take less at a time."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _sync(folder: Path) -> None:
    """The rename, too, stays through a loss of power."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _open(path: Path, start: int) -> BinaryIO:
    file = path.open("rb", buffering=0)
    file.seek(start)
    return file


def _listed(entries: Iterator[os.DirEntry[str]]) -> list[Blob]:
    found: list[Blob] = []
    for entry in islice(entries, LISTED_AT_ONCE):
        try:
            found.append(Blob(entry.name, entry.stat().st_mtime))
        except FileNotFoundError:
            continue  # deleted just now
    return found


def _unavailable() -> StoreUnavailable:
    return StoreUnavailable("The gateway cannot read or keep files now. Try again in a moment.")
