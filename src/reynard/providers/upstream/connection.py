"""A connection to an upstream: one request after the other, answers parsed by httptools."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

import httptools

from reynard.providers.upstream.answer import Answer

MOST_DRY: Final = 262_144
"""Bytes in a row in which there is nothing of a body: a head, the framing of chunks, trailers."""
JOINED: Final = 65_536
"""A body up to this size is copied behind its head: cheaper than a second piece."""
INTERIM: Final = range(100, 200)
SWITCHED: Final = 101


class _Unasked(Exception):
    """An answer to nothing. Ends the parsing."""


class Connection(asyncio.Protocol):
    """`on_idle` is told when the next request may be sent, `on_lost` when none may be any more."""

    __slots__ = (
        "_answer",
        "_dry",
        "_is_held",
        "_on_idle",
        "_on_lost",
        "_parser",
        "_reusable",
        "_socket",
        "_transport",
        "idle_since",
    )

    def __init__(
        self,
        bound: socket.socket,
        on_idle: Callable[["Connection"], None],
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self.idle_since = 0.0  # on the event loop's clock; the pool's
        self._socket = bound
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._answer: Answer | None = None
        self._dry = 0
        self._is_held = False
        self._reusable = True

    async def ask(self, head: bytes, body: bytes | None) -> Answer:
        """The answer to a request, as soon as its head is there. Raises `ConnectionBroken`."""
        answer = self._answer = Answer(self)
        self._dry = 0
        if body is None:
            self._transport.write(head + b"\r\n")
        elif len(body) <= JOINED:
            self._transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        else:
            self._transport.writelines((b"%bcontent-length: %d\r\n\r\n" % (head, len(body)), body))
        try:
            while not answer.status:
                await answer.more()
        except BaseException:
            self.leave()
            raise
        return answer

    @property
    def is_usable(self) -> bool:
        """Whether a request may be sent: it may have been closed by the other side, and the event loop not have come to
        tell, and what is sent then is lost."""
        if self._transport.is_closing():
            return False
        try:
            return self._socket.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def close(self) -> None:
        """Between two requests."""
        self._transport.close()

    # What an answer asks for.

    def hold(self) -> None:
        """See `Source`."""
        if not self._is_held and not self._transport.is_closing():
            self._is_held = True
            self._transport.pause_reading()

    def go_on(self) -> None:
        """See `Source`."""
        if self._is_held and not self._transport.is_closing():
            self._is_held = False
            self._transport.resume_reading()

    def leave(self) -> None:
        """See `Source`. A connection is kept if both have said all: the request is written, and the answer read."""
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if not answer.is_complete or self._transport.get_write_buffer_size():
            self._transport.abort()
        elif not self._reusable or self._transport.is_closing():
            self._transport.close()
        else:
            self.go_on()
            self._on_idle(self)

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        answer = self._answer
        self._dry += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._reusable = False
            if answer is None:
                self._transport.abort()
            else:
                answer.break_off("the answer is not HTTP")
        if answer is not None:
            if self._dry > MOST_DRY:
                answer.break_off("the answer's head does not end")
            answer.tell()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        answer = self._answer
        if answer is not None:
            if exc is None and answer.status and not _is_framed(answer):
                answer.end()
                answer.tell()
            else:
                answer.break_off("the answer was cut" if answer.status else NO_ANSWER)
        del self._parser  # which knows this connection
        self._on_lost(self)

    # What the parser tells.

    def on_message_begin(self) -> None:
        """An answer begins."""
        if self._answer is None or self._answer.is_complete:
            raise _Unasked

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of the head, or of the trailers, which nobody reads."""
        if self._answer is not None and not self._answer.status:
            self._answer.fields.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole. One that only says that an answer will follow is not told (RFC 9110 15.2)."""
        status = self._parser.get_status_code()
        if self._answer is not None and status not in INTERIM:
            self._answer.status = status

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self._dry = 0
        if self._answer is not None:
            self._answer.put(data)

    def on_message_complete(self) -> None:
        """The answer, or one before it, is whole."""
        answer = self._answer
        if answer is None:
            return
        if answer.status:
            self._reusable = self._parser.should_keep_alive()
            answer.end()
        else:
            answer.fields.clear()


NO_ANSWER: Final = "the provider closed the connection without an answer"


def _is_framed(answer: Answer) -> bool:
    return answer.header(b"content-length") is not None or answer.header(b"transfer-encoding") is not None
