"""A call to an upstream: bytes there, bytes back. Cancelling it closes the connection."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Protocol

from msgspec import Struct


class WireRequest(Struct, frozen=True, kw_only=True):
    """One POST, relative to the channel's base URL.

    `headers`: what the dialect wants beside the key and the content type. `key`: the number of the channel's key to
    show; which secret that is, the transport knows.
    """

    path: str
    body: bytes
    stream: bool
    headers: Mapping[str, str] = MappingProxyType({})
    key: int = 0


class WireResponse(Protocol):
    """An answer whose headers are there and whose body is not yet."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def retry_after_s(self) -> float | None:
        """`Retry-After`, in seconds, if the provider sent one."""
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises `ConnectionBroken` if it does not end as it said, or is longer than `limit`."""
        ...

    def parts(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises `ConnectionBroken` when it is cut."""
        ...


class Transport(Protocol):
    """The way to one channel."""

    def send(self, request: WireRequest) -> AbstractAsyncContextManager[WireResponse]:
        """The answer's headers. Leaving the context lets go of the connection, and cuts it if the body is not read.

        Raises `ConnectFailed` (nothing was sent), `ConnectionBroken` (sent, and no answer came).
        """
        ...

    async def close(self) -> None:
        """Ends what it holds."""
        ...


class TransportError(Exception):
    """The wire failed, not the provider. The message never names an address."""


class ConnectFailed(TransportError):
    """Refused, unknown host, TLS failure, connect timeout: the request was never sent."""


class ConnectionBroken(TransportError):
    """Reset, cut, or a body that lies about its length."""
