"""A connection to an upstream: one request after the other, answers parsed by httptools."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final

import httptools

from reynard.providers.upstream.answer import Answer

MOST_DRY: Final = 262_144
"""Bytes in a row in which there is nothing of a body: a head, the framing of chunks, trailers."""
JOINED: Final = 65_536
"""A body up to this size is copied behind its head: cheaper than a second piece."""
INTERIM: Final = range(100, 200)
AS_IT_IS: Final = frozenset({b"", b"identity", b"chunked"})
"""Codings of a body that nothing is to be unpacked of."""
CODINGS: Final = (b"content-encoding", b"transfer-encoding")
FRAMED: Final = (b"content-length", b"transfer-encoding")
NO_HTTP: Final = "the answer is not HTTP"
NO_ANSWER: Final = "the provider closed the connection without an answer"


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
        "_wire",
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

    async def secure(self, context: ssl.SSLContext, name: str) -> None:
        """Speaks TLS from here on. The wire below is what is held and cut: uvloop's TLS drops what it holds when the
        other side closes, counts nothing as unsent once it is packed, and would wait half a minute for a farewell."""
        loop, secured = asyncio.get_running_loop(), None
        try:
            if not self._wire.is_closing():
                secured = await loop.start_tls(self._wire, self, context, server_hostname=name)
        except BaseException:
            self._wire.abort()
            raise
        if secured is None:  # also if it spoke first: uvloop would shake hands with nobody, for ever
            raise ConnectionResetError("lost before a request")
        self._transport = secured

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
        """Whether a request may be sent: the other side may have closed, and the event loop not have come to tell, and
        what is sent then is lost; or have said what nobody asked for, which would be the answer."""
        if self._wire.is_closing():
            return False
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except OSError as error:
            return isinstance(error, BlockingIOError)
        return False

    def close(self) -> None:
        """Between two requests."""
        self._wire.abort()

    # What an answer asks for.

    def hold(self) -> None:
        """See `Source`."""
        if not self._is_held and not self._wire.is_closing():
            self._is_held = True
            self._wire.pause_reading()

    def go_on(self) -> None:
        """See `Source`."""
        if self._is_held and not self._wire.is_closing():
            self._is_held = False
            self._wire.resume_reading()

    def leave(self) -> None:
        """See `Source`. A connection is kept if both have said all: the request is written, and the answer read."""
        answer, self._answer = self._answer, None
        if answer is None:
            return
        is_kept = answer.is_complete and self._reusable and not self._wire.is_closing()
        if is_kept and not self._wire.get_write_buffer_size():
            self.go_on()
            self._on_idle(self)
        else:
            self._wire.abort()

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._wire: asyncio.Transport = transport  # type: ignore[assignment]
        self._transport = self._wire
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
                self._wire.abort()
            else:
                answer.break_off(NO_HTTP)
        if answer is not None:
            if self._dry > MOST_DRY:
                answer.break_off("the answer's head does not end")
            answer.tell()

    def eof_received(self) -> None:
        """See `asyncio.Protocol`. Under TLS, a farewell was said: what ends without one may have been cut (RFC 9112
        9.8)."""
        answer = self._answer
        if answer is not None and answer.status and answer.headers.keys().isdisjoint(FRAMED):
            answer.end()
            answer.tell()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        if self._answer is not None:
            self._answer.break_off("the answer was cut" if self._answer.status else NO_ANSWER)
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
            self._answer.headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        """The head is whole. One that only says that an answer will follow is not told (RFC 9110 15.2)."""
        answer, status = self._answer, self._parser.get_status_code()
        if answer is None or status in INTERIM:
            return
        answer.status = status
        if status < INTERIM.start:
            answer.break_off(NO_HTTP)
        if not AS_IT_IS.issuperset(answer.headers.get(name, b"").lower() for name in CODINGS):
            answer.break_off("the answer is packed, and was not asked to be")

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
            answer.headers.clear()
