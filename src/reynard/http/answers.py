"""Answers, as routes give them."""

from collections.abc import Mapping
from typing import Final, Protocol

from reynard.core.errors import ReynardError
from reynard.http.asgi import RawHeaders, Send
from reynard.http.request import Request

JSON: Final = "application/json"


class Responder(Protocol):
    """Writes the answer to a request."""

    async def __call__(self, request: Request, send: Send) -> None:
        """From its head to its end."""
        ...


class Answer:
    """A whole answer. The observer is told of one that is an `error` when it is sent, whoever made it."""

    __slots__ = ("body", "error", "headers", "kind", "status")

    def __init__(
        self,
        body: bytes,
        kind: str = JSON,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        error: ReynardError | None = None,
    ) -> None:
        self.body = body
        self.kind = kind
        self.status = status
        self.headers = {} if headers is None else dict(headers)  # their names in lower case
        self.error = error

    async def __call__(self, request: Request, send: Send) -> None:
        """See `Responder`."""
        if self.error is not None:
            request.services.observer.refused(self.error)
        described = [(b"content-type", self.kind.encode()), (b"content-length", b"%d" % len(self.body))]
        await send(request.start(self.status, described + raw(self.headers)))
        await send({"type": "http.response.body", "body": self.body})


class Bodiless:
    """An answer that is all in its headers."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        self._status = status
        self._headers = headers

    async def __call__(self, request: Request, send: Send) -> None:
        """See `Responder`."""
        await send(request.start(self._status, raw(self._headers)))
        await send({"type": "http.response.body"})


def raw(headers: Mapping[str, str]) -> RawHeaders:
    """As they are sent."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
