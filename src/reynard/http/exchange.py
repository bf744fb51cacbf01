"""One request and its answer, as ASGI has them."""

import asyncio
import http
import logging
import math
from collections.abc import Callable
from typing import Final

from reynard.http.asgi import ASGIApp, Message, RawHeaders, Scope
from reynard.http.line import Line

log = logging.getLogger(__name__)

NOT_IN_HEADERS: Final = bytes([*range(9), *range(10, 32), 127])  # RFC 9110 5.5; the line ends are counted
GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECTS: Final = (b"expect", b"100-continue")
MOST_WAITING: Final = 65_536  # bytes of a body that wait for the application before the client has to
OLD: Final = "1.0"
BODILESS: Final = (204, 304)


PHRASES: Final = {status.value: status.phrase for status in http.HTTPStatus}
STATUS_LINES: Final = {
    status: f"HTTP/1.1 {status} {PHRASES.get(status, '')}\r\n".encode() for status in range(200, 600)
}


class Exchange:
    """Keeps the body until the application asks for it, frames the answer, and is the `Presence` of its client.

    The head of an answer is written with the first piece of its body. `refuse` answers in place of an application that
    failed; `over` is told when the answer is whole.
    """

    __slots__ = (
        "_body", "_chunked", "_common", "_expects", "_fresh", "_head", "_headers", "_leave", "_left", "_line",
        "_method", "_more", "_news", "_over", "_refuse", "_version", "_waiting", "is_complete", "is_lost", "is_started",
        "keep_alive",
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        headers: RawHeaders,
        line: Line,
        common: RawHeaders,
        *,
        version: str,
        keep_alive: bool,
        over: Callable[[], None],
        refuse: Callable[[], None],
    ) -> None:
        self.keep_alive = keep_alive
        self.is_started = False
        self.is_complete = False
        self.is_lost = False
        self._line = line
        self._common = common
        self._over = over
        self._refuse = refuse
        self._method = method
        self._version = version
        self._headers = headers
        self._body: list[bytes] = []
        self._waiting = 0  # bytes of it
        self._more = True  # of it is to come
        self._fresh = False  # something of it is here that the application has not been told of
        self._expects = version != OLD  # perhaps: whether the client waits for leave to send it
        self._news: asyncio.Event | None = None
        self._leave: Callable[[], object] | None = None
        self._head = b""  # of the answer, as long as it is not written
        self._chunked = False
        self._left = 0.0  # bytes of the answer that are to come, where it is not in chunks

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Has `app` answer. Whatever becomes of that, the client is told, or let go.

        The scope is not kept here: it knows the exchange, and the two would be left for the collector.
        """
        try:
            await app(scope, self.receive, self.send)
        except BaseException:
            log.exception("the application failed")
        else:
            if self._is_over:
                return
            if not self._line.is_ended:
                log.error("the application has not finished its answer")
        if self._is_over:
            return
        if self._line.is_ended or (self.is_started and not self._head):
            self._line.close()
        else:
            self._refuse()

    def feed(self, data: bytes) -> None:
        """A piece of the body."""
        if not self.is_complete:
            self._body.append(data)
            self._waiting += len(data)
            if self._waiting > MOST_WAITING:
                self._line.hold()
            self._tell()

    def end(self) -> None:
        """The body is whole."""
        self._more = False
        self._tell()

    def lose(self) -> None:
        """The connection is gone."""
        if not self._is_over:
            self.is_lost = True
            self._tell()
            if self._leave is not None:
                self._leave()

    @property
    def is_whole(self) -> bool:
        """Whether the request has come to its end."""
        return not self._more

    @property
    def is_watched(self) -> bool:
        """Whether the answer ends with its client."""
        return self._leave is not None

    @property
    def is_gone(self) -> bool:
        """See `Presence`. One that sends no more has mostly closed: there is no telling before it is written to."""
        return self._is_over or self._line.is_ended

    def watch(self, leave: Callable[[], object]) -> None:
        """See `Presence`."""
        self._leave = leave
        self._line.go_on()  # else nobody would see that it goes

    def unwatch(self) -> None:
        """See `Presence`."""
        self._leave = None

    async def receive(self) -> Message:
        """What has come of the body since, or that the client is gone."""
        self._line.go_on()
        while not self._fresh and not self._is_over:
            await self._told()
        if self._is_over:
            return {"type": "http.disconnect"}
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self._waiting = 0
        self._fresh = False
        return {"type": "http.request", "body": body, "more_body": self._more}

    async def send(self, message: Message) -> None:
        """The head of the answer, or a piece of its body. Raises `RuntimeError` for what is no HTTP."""
        if self._line.is_full and not self.is_lost:
            await self._line.drained()
        if self.is_lost:
            return
        if message["type"] == "http.response.start":
            self._start(message["status"], message.get("headers", []))
        else:
            self._write(message.get("body", b""), message.get("more_body", False))

    @property
    def _is_over(self) -> bool:
        return self.is_lost or self.is_complete

    async def _told(self) -> None:
        if self._more and not self.is_started and self._waits_for_leave():
            self._expects = False
            self._line.transport.write(GO_ON)
        if self._news is None:
            self._news = asyncio.Event()
        self._news.clear()
        await self._news.wait()

    def _waits_for_leave(self) -> bool:
        return self._expects and any((name, value.lower()) == EXPECTS for name, value in self._headers)

    def _tell(self) -> None:
        self._fresh = True
        if self._news is not None:
            self._news.set()

    def _start(self, status: int, headers: RawHeaders) -> None:
        if self.is_started:
            raise RuntimeError("an answer has one head")
        if self._more and self._waits_for_leave():
            self.keep_alive = False  # whether the client will send the body is not known, nor what its next bytes are
        lines = [STATUS_LINES[status]]
        for name, value in self._common:
            lines += name, b": ", value, b"\r\n"
        for name, value in headers:
            lines += name, b": ", value, b"\r\n"
        count = len(self._common) + len(headers) + 2
        named = dict(headers)
        if b"connection" in named:
            self.keep_alive = self.keep_alive and named[b"connection"] != b"close"
        elif not self.keep_alive:
            lines.append(b"connection: close\r\n")
            count += 1
        if self._frame(status, named.get(b"content-length")):
            lines.append(b"transfer-encoding: chunked\r\n")
            count += 1
        lines.append(b"\r\n")
        head = b"".join(lines)
        if len(head) - len(head.translate(None, NOT_IN_HEADERS)) != 2 * count:
            raise RuntimeError("a header holds a control character")
        self._head = head
        self.is_started = True

    def _frame(self, status: int, length: bytes | None) -> bool:
        """Settles how the body ends. Whether that has to be said."""
        if length is not None:
            self._left = 0 if self._method == "HEAD" else int(length)
        elif self._method == "HEAD" or status in BODILESS:
            pass
        elif self._version == OLD:  # which has no chunks: the body ends with the connection
            self._left = math.inf
        else:
            self._chunked = True
        return self._chunked

    def _write(self, data: bytes, more: bool) -> None:
        if not self.is_started or self.is_complete:
            raise RuntimeError("a body stands between its head and its end")
        if self._method == "HEAD":
            data = b""
        elif self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            if not more:
                data += b"0\r\n\r\n"
        else:
            self._left -= len(data)
            if self._left < 0 or (self._left and not more and self._left != math.inf):
                raise RuntimeError("the body is not as long as its head says")
        if self._head:
            data = self._head + data
            self._head = b""
        if data:
            self._line.transport.write(data)
        if not more:
            self._end()

    def _end(self) -> None:
        self.is_complete = True
        self._leave = None
        self._tell()
        if not self.keep_alive:
            if self._more:
                self._line.leave()
            else:
                self._line.close()
        self._over()
