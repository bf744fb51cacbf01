"""Where media comes from, and where it may be put for a provider to read."""

from typing import Protocol

from msgspec import Struct


class Fetched(Struct, frozen=True):
    """A body, and the content type that came with it."""

    data: bytes
    type: str


class Fetcher(Protocol):
    """Reads what a client's URL leads to, and nothing that it must not."""

    async def fetch(self, url: str, limit: int) -> Fetched:
        """At most `limit` bytes. Raises `GenerationError` (`media_fetch_failed`, `media_too_large`); no message of it
        names the address."""
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
