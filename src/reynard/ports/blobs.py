"""Where the bytes of files are kept, each under a name of its own. What a file is, the store knows."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct


class BlobMissing(Exception):
    """There is no blob of the name."""


class Blob(Struct, frozen=True):
    """What a listing shows: whole blobs, and what is left of one that never became whole. `modified`: Unix seconds."""

    name: str
    modified: float


class BlobWriter(Protocol):
    """A blob under way. Exactly one of `commit` and `drop` ends it. Raises `StoreUnavailable` where nothing can be
    kept; a caller that is cancelled leaves nothing running behind."""

    async def write(self, data: bytes) -> None:
        """More of it; returns when there is room for more."""
        ...

    async def commit(self) -> None:
        """From here on it is there, whole, and stays through a loss of power."""
        ...

    async def drop(self) -> None:
        """It never was."""
        ...


class Blobs(Protocol):
    """Every method raises `StoreUnavailable` when the place cannot be reached."""

    settle_s: float
    """How old a blob without a row must be to belong to nobody: others may write here, whose row is yet to come."""

    async def create(self, name: str) -> BlobWriter:
        """A new blob; nobody sees it before its commit."""
        ...

    def open(self, name: str, start: int, end: int) -> AbstractAsyncContextManager[AsyncGenerator[bytes, None]]:
        """The bytes from `start` up to, and without, `end`, piece by piece. Raises `BlobMissing` before the first."""
        ...

    async def delete(self, name: str) -> None:
        """It is gone, if it was there; by any name that a listing showed."""
        ...

    def list(self) -> AsyncGenerator[Sequence[Blob], None]:
        """All that is there, a batch at a time."""
        ...

    async def close(self) -> None:
        """Lets go of threads and connections."""
        ...
