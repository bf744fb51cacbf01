"""Where media comes from, and where it may be put for a provider to read."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct


class Opened(Protocol):
    """A body under way, and the content type that came with it."""

    @property
    def type(self) -> str:
        """As it was said; empty if nothing was."""
        ...

    @property
    def size(self) -> int | None:
        """In bytes, if it was said."""
        ...

    def parts(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises `GenerationError` (`media_fetch_failed`, `media_too_large`)."""
        ...


class Fetcher(Protocol):
    """Reads what a client's URL leads to, and nothing that it must not."""

    def open(self, url: str, limit: int) -> AbstractAsyncContextManager[Opened]:
        """A body of at most `limit` bytes. Raises `GenerationError` (`media_fetch_failed`, `media_too_large`); no
        message of it names the address."""
        ...


class Uploaded(Struct, frozen=True):
    """A provider's own name of bytes that it keeps, and until when (Unix seconds)."""

    uri: str
    expires: float


class Uploader(Protocol):
    """Puts media where one provider reads it."""

    async def upload(self, data: bytes, media_type: str) -> Uploaded:
        """Returns when the provider can use it. Raises `GenerationError`."""
        ...
