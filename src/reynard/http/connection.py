"""A client's connection: requests one after the other, parsed by httptools."""

import asyncio
import logging
import math
from collections import deque
from typing import Final
from urllib.parse import unquote

import httptools

from reynard.http.asgi import PRESENCE, ASGIApp, RawHeaders, Scope
from reynard.http.door import Door
from reynard.http.exchange import Exchange
from reynard.http.line import Line
from reynard.http.read_on import ReadOn
from reynard.http.refusals import (
    BAD,
    DEFECT,
    FAILED,
    HEADERS_TOO_LARGE,
    MALFORMED,
    NO_BODY,
    TIMEOUT,
    TOO_LARGE,
    refusal,
)

log = logging.getLogger(__name__)

MAX_HEAD_BYTES: Final = 65_536
LINE_FRAMING: Final = 4  # `: ` and the line's end
CHUNK_FRAMING: Final = 8  # bytes of framing that the smallest chunk needs for each byte of body
MOST_AHEAD: Final = 16  # requests, sent before the one ahead of them is answered; in one packet may be more
HEAD_TIMEOUT_S: Final = 20
KEEP_ALIVE_S: Final = 75
NEVER: Final = math.inf
VERSIONS: Final = {"version": "3.0", "spec_version": "2.3"}


class HeadTooLarge(Exception):
    """Ends the parsing."""


class ServerState:
    """What the connections of a server have in common."""

    def __init__(self, app: ASGIApp, door: Door, shared: bytes) -> None:
        self.app = app
        self.door = door
        self.shared = shared  # of `sharing.raw_headers`
        self.headers: RawHeaders = []  # of every answer of the application
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()  # of the requests that are being answered


class Connection(asyncio.Protocol):
    """Bounds what is no body: headers, trailers, and the wait for them, for a body to begin and for the next request.

    Every error is JSON, on every path. Why it is not uvicorn's: docs/decisions/0021.
    """

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._loop = asyncio.get_running_loop()

    # What the event loop tells.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request must come soon."""
        if not self._state.door.lets_in(transport, len(self._state.connections)):
            self._state.door.refuse(transport)
            return
        self._state.connections.add(self)
        self._line = Line(transport)
        self._parser = _parser(self)
        self._current: Exchange | None = None  # the one that is answered
        self._latest: Exchange | None = None  # the one that is read
        self._queue: deque[tuple[Exchange, Scope]] = deque()  # those read ahead of their turn
        self._refusal: tuple[bytes, bytes] | None = None  # of what came behind requests that are answered before it
        self._url = b""
        self._headers: RawHeaders = []
        self._upgrades = False  # that is asked for, and there is none
        self._in_head = True
        self._awaits_body = False  # the head has come, and neither a byte of the body nor the end
        self._began = False  # in the packet at hand: a message began, or its head came to its end
        self._came = 0  # bytes since the packet in which the message began, and with that one
        self._framing = 0  # bytes of the message that are neither body nor in the packet it began in
        self._body_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._rings = NEVER
        self._wait(HEAD_TIMEOUT_S)

    def pause_writing(self) -> None:
        """See asyncio."""
        self._line.fill()

    def resume_writing(self) -> None:
        """See asyncio."""
        self._line.empty()

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever is answered is told; nothing of the connection stays."""
        self._state.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        self._queue.clear()
        for exchange in (self._latest, self._current):
            if exchange is not None:
                exchange.lose()
        self._line.lose()
        self._latest = self._current = None  # they hold on to this, as does the parser
        del self._parser

    def data_received(self, data: bytes) -> None:
        """Beyond its bound nothing more is kept."""
        if self._line.is_closing or self._refusal is not None:
            self._line.throw_away(len(data))
            return
        self._began = False
        body_before = self._body_bytes
        self._came += len(data)
        try:
            self._feed(data)
            if self._in_head and self._came > MAX_HEAD_BYTES:
                self._check_head()
        except (HeadTooLarge, httptools.HttpParserError) as error:
            self._refuse_parsing(error)
            return
        if not self._began:
            self._framing += len(data) - (self._body_bytes - body_before)
            if self._framing > MAX_HEAD_BYTES + CHUNK_FRAMING * self._body_bytes:
                self._refuse(TOO_LARGE, HEADERS_TOO_LARGE)
        if not self._in_head and (self._latest is None or self._latest.is_complete):
            self._wait(HEAD_TIMEOUT_S)  # a stray line end, or the rest of a body that nobody wants

    def eof_received(self) -> bool:
        """A client that sends no more may still read. Whether it does, or has closed, is the same to the eye: so calls
        that end with their client end here, and all others are answered."""
        latest, current = self._latest, self._current
        if self._line.is_closing or latest is None or latest.is_complete or not latest.is_whole:
            return False
        if current is None or current.is_watched:
            return False
        self._line.is_ended = True
        latest.keep_alive = False
        return True

    # What the parser tells.

    def on_message_begin(self) -> None:
        """A request."""
        self._url = b""
        self._headers = []
        self._in_head = True
        self._began = True
        self._framing = 0
        self._body_bytes = 0
        self._wait(HEAD_TIMEOUT_S)

    def on_url(self, url: bytes) -> None:
        """Or a part of it."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Trailers are none of the request's headers."""
        if self._in_head:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """From here on it can be answered."""
        if self._came > MAX_HEAD_BYTES:  # nothing of too large a head reaches the application
            self._check_head()
        self._came = 0
        self._in_head = False
        self._began = True
        self._framing = 0
        self._awaits_body = True
        self._upgrades = self._parser.should_upgrade()
        exchange, scope = self._exchange()
        self._latest = exchange
        if self._current is None or self._current.is_complete:
            self._begin(exchange, scope)
        else:
            self._queue.append((exchange, scope))
            if len(self._queue) >= MOST_AHEAD:
                self._line.hold()  # not sooner: of a client of whom nothing is read it is not seen that it goes

    def on_body(self, body: bytes) -> None:
        """A piece of it."""
        self._body_bytes += len(body)
        if self._awaits_body:
            self._has_come()
        if self._latest is not None:
            self._latest.feed(body)

    def on_message_complete(self) -> None:
        """The request is whole, unless the parser has left its body out."""
        if self._upgrades:
            return
        if self._awaits_body:
            self._has_come()
        if self._latest is not None:
            self._latest.end()

    # What the server tells.

    def shutdown(self) -> None:
        """Whoever is answered is the last."""
        if self._line.is_closing or self._latest is None or self._latest.is_complete:
            self._line.close()
        else:
            self._latest.keep_alive = False

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                self._stay()
            else:
                return

    def _stay(self) -> None:
        """What an upgrade was asked for is HTTP all the same, body and all (RFC 9110 7.8)."""
        self._upgrades = False
        again = ReadOn.head(self._parser.get_http_version(), self._headers)
        if again is None:
            self.on_message_complete()
        else:
            self._parser = _parser(ReadOn(self))
            self._parser.feed_data(again)

    def _exchange(self) -> tuple[Exchange, Scope]:
        parser = self._parser
        url = httptools.parse_url(self._url)
        raw_path = url.path or b"/"
        path = raw_path.decode("ascii")
        method = parser.get_method().decode("ascii")
        version = parser.get_http_version()
        exchange = Exchange(
            method,
            self._headers,
            self._line,
            self._state.headers,
            version=version,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            over=self._answered,
            refuse=self._fail,
        )
        return exchange, {
            "type": "http",
            "asgi": VERSIONS,
            "http_version": version,
            "method": method,
            "scheme": "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": url.query or b"",
            "root_path": "",
            "headers": self._headers,
            "extensions": {PRESENCE: exchange},
        }

    def _begin(self, exchange: Exchange, scope: Scope) -> None:
        self._current = exchange
        task = self._loop.create_task(exchange.run(self._state.app, scope))
        task.add_done_callback(self._state.tasks.discard)
        self._state.tasks.add(task)

    def _answered(self) -> None:
        line = self._line
        if line.is_closing:
            return
        line.go_on()
        if self._queue:
            self._begin(*self._queue.popleft())
        elif self._refusal is not None:
            self._say(*self._refusal)
        elif not self._in_head and not self._awaits_body:
            self._wait(KEEP_ALIVE_S)

    def _check_head(self) -> None:
        """Stops the parser at too large a head, also where it came at once."""
        size = len(self._url) + LINE_FRAMING
        size += sum(len(name) + len(value) + LINE_FRAMING for name, value in self._headers)
        if size > MAX_HEAD_BYTES:
            raise HeadTooLarge

    # The clock: one timer for all that a connection waits for, set anew only when it rings or would ring too late.

    def _wait(self, seconds: float) -> None:
        self._deadline = self._loop.time() + seconds
        if self._deadline < self._rings:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings = self._deadline
        self._timer = self._loop.call_at(self._deadline, self._ring)

    def _ring(self) -> None:
        self._timer, self._rings = None, NEVER
        if self._deadline > self._loop.time():
            if self._deadline < NEVER:
                self._set_timer()
        elif not self._line.is_closing:
            self._give_up()

    def _has_come(self) -> None:
        """From here on `http.bodies` watches: most bodies are here at once, and need no watch."""
        self._awaits_body = False
        self._deadline = NEVER

    def _give_up(self) -> None:
        if self._is_ahead():  # the request before it is answered first, and perhaps nothing is read until then
            self._wait(HEAD_TIMEOUT_S)
        elif self._awaits_body and self._latest is not None and not self._latest.is_started:
            self._refuse(TIMEOUT, NO_BODY)
        else:
            self._line.close()

    def _is_ahead(self) -> bool:
        """Whether what is read is another request than the one that is answered."""
        current = self._current
        return current is not None and not current.is_complete and (self._in_head or current is not self._latest)

    # Answers without the application.

    def _refuse_parsing(self, error: Exception) -> None:
        """What is not HTTP at all, and what the parser was stopped at."""
        if isinstance(error, HeadTooLarge) or isinstance(error.__context__, HeadTooLarge):
            self._refuse(TOO_LARGE, HEADERS_TOO_LARGE)
        else:
            log.warning("a request is not valid HTTP")
            self._refuse(BAD, MALFORMED)

    def _fail(self) -> None:
        self._say(DEFECT, FAILED)

    def _refuse(self, status: bytes, body: bytes) -> None:
        """In its turn; a request whose answer has begun gets no second one."""
        if self._is_ahead():
            if not self._in_head:
                self._queue.pop()  # the body is at fault
            self._refusal = status, body
        elif not self._in_head and self._latest is not None and self._latest.is_started:
            self._line.leave()
            self._latest.lose()
        else:
            self._say(status, body)

    def _say(self, status: bytes, body: bytes) -> None:
        if self._line.is_closing:
            return
        self._line.transport.write(refusal(status, body, self._state.shared))
        self._line.leave()
        if self._current is not None:
            self._current.lose()


def _parser(told: object) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(told)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)  # what comes after the last is no matter
    return parser
