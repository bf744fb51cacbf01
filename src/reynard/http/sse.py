"""Server-sent events, written: the durable stream of a task, and the bare OpenAI stream of a sync call."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from reynard.core.errors import ReynardError
from reynard.engine.calls import Ticket
from reynard.http.answers import Answer, raw
from reynard.http.asgi import Send
from reynard.http.errors import ErrorEnvelope, body_of, response_of
from reynard.http.request import Request
from reynard.http.requests import headers_of
from reynard.ports.chunks import Batch, StreamEnd

HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx, and others that follow it, would hold events back
]
PING: Final = b": ping\n\n"
DONE: Final = b"data: [DONE]\n\n"


class ErrorEvent(msgspec.Struct):
    """`data:` of `event: error` (spec section 2.5)."""

    message: str
    code: str
    type: str


def events(offset: int, batch: Batch) -> bytes:
    """`chunk` events numbered from `offset`, and the end."""
    parts = [
        b"event: chunk\nid: %d\ndata: %b\n\n" % (number, chunk) for number, chunk in enumerate(batch.chunks, offset)
    ]
    if batch.end is not None:
        parts.append(_end(batch.end))
    return b"".join(parts)


def _end(end: StreamEnd) -> bytes:
    if end.cancelled:
        return error_event(ErrorEvent("The task was cancelled.", "task_cancelled", "task_error"))
    if end.error is not None:
        return error_event(ErrorEvent(end.error.message, end.error.code, "task_error"))
    return b'event: done\ndata: {"total_chunks": %d}\n\n' % end.total


def error_event(error: ErrorEvent) -> bytes:
    """The other end of a stream."""
    return b"event: error\ndata: %b\n\n" % msgspec.json.encode(error)


def failure(error: ReynardError) -> bytes:
    """The end of a subscription that cannot go on, though the stream may."""
    body = body_of(error)
    return error_event(ErrorEvent(body.message, body.code, body.type))


class ResponseSink:
    """A client's own connection as the sink of a sync stream: bare `data:` lines, so that an OpenAI client reads it.

    The response starts with the first chunk; a failure before it is still a plain JSON error. Writing waits for the
    client, and with it the upstream: there is no buffer to bound.
    """

    def __init__(self, request: Request, send: Send) -> None:
        self._request = request
        self._send = send
        self._more_headers: dict[str, str] = {}
        self.ticket: Ticket | None = None
        self.started = False

    def announce(self, ticket: Ticket) -> None:
        """What the headers tell of the task."""
        self.ticket = ticket

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """More of them, for when the response starts."""
        self._more_headers.update(headers)

    @property
    def headers(self) -> dict[str, str]:
        """As they are now: whoever serves the call is known with the first chunk."""
        return self._more_headers if self.ticket is None else {**self._more_headers, **headers_of(self.ticket)}

    async def put(self, chunks: Sequence[bytes]) -> None:
        """See `Sink`."""
        data = b"data: %b\n\n" % b"\n\ndata: ".join(chunks)
        await self.write(data)

    async def restart(self) -> bool:
        """See `Sink`."""
        return not self.started

    async def write(self, data: bytes, *, more: bool = True) -> None:
        """Bytes as they are."""
        if not self.started:
            self.started = True
            await self._send(self._request.start(200, HEADERS + raw(self.headers)))
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    def refusal(self, error: ReynardError) -> Answer:
        """The answer to a call that failed before its first chunk."""
        response = response_of(error)
        response.headers.update(self.headers)
        return response

    async def end(self, error: ReynardError | None = None) -> None:
        """`[DONE]`, or the error in its place."""
        last = DONE if error is None else b"data: %b\n\n" % msgspec.json.encode(ErrorEnvelope(body_of(error)))
        await self.write(last, more=False)
