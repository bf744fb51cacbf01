"""uvicorn, with what it refuses by itself said in our words too."""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from reynard.http import sharing
from reynard.http.door import Door
from reynard.http.drought import Drought
from reynard.http.requests import new_request_id

MALFORMED: Final = (
    b'{"error":{"message":"The request is not valid HTTP.","type":"invalid_request_error","code":"invalid_http"}}'
)
REFUSAL: Final = (
    b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"x-request-id: %b\r\n%bcontent-length: %d\r\n\r\n"
)
HEADERS_TOO_LARGE: Final = (
    b'{"error":{"message":"The headers are too large.","type":"invalid_request_error","code":"headers_too_large"}}'
)
NO_BODY: Final = b'{"error":{"message":"The body did not come.","type":"invalid_request_error","code":"body_stalled"}}'
MAX_HEAD_BYTES: Final = 65_536
LINE_FRAMING: Final = 4  # `: ` and the line's end
CHUNK_FRAMING: Final = 8  # bytes of framing that the smallest chunk needs for each byte of body
HEAD_TIMEOUT_S: Final = 20
KEEP_ALIVE_S: Final = 75
UNREAD_S: Final = 300  # a client that takes nothing at all for so long is gone, or means no good
AT_ONCE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time (socket(7))
GRACE_S: Final = 2  # to say goodbye to those whose calls were cut
BACKLOG: Final = 2048


class CannotListen(Exception):
    """The address is taken, or not this machine's."""


class HeadTooLarge(Exception):
    """Ends the parsing."""


class Protocol(HttpToolsProtocol):
    """Bounds what is no body: headers, trailers, and the wait for them and for a body to begin.

    Every error is JSON, on every path.
    """

    def __init__(self, *args: Any, door: Door, shared: bytes, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._door = door
        self._shared = shared

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request must come soon."""
        if not self._door.lets_in(transport, len(self.connections)):
            self.parser = None  # type: ignore[assignment]  # it holds on to this protocol, which has no use any more
            self._door.refuse(transport)
            return
        super().connection_made(transport)
        self._in_head = True
        self._awaits_body = False  # the head has come, and neither a byte of the body nor the end
        self._began = False  # in the packet at hand: a message began, or its head came to its end
        self._head_bytes = 0  # of the head, as far as it has come
        self._framing = 0  # bytes of the message that are neither body nor in the packet it began in
        self._body_bytes = 0
        self._patience = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)
        self._unread = 0  # bytes that waited for the client when this was last looked at
        self._unread_watch: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """The client reads more slowly than is written: that is its right, as long as it reads."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """See uvicorn."""
        self._end_watch()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """uvicorn leaves its timer running after a reset, and with it all that the connection held."""
        self._patience.cancel()
        self._end_watch()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Beyond its bound nothing more is kept."""
        self._began = False
        body_before = self._body_bytes
        super().data_received(data)
        if not self._began:
            self._framing += len(data) - (self._body_bytes - body_before)
            if self._framing > MAX_HEAD_BYTES + CHUNK_FRAMING * self._body_bytes and not self.transport.is_closing():
                self._refuse(b"431 Request Header Fields Too Large", HEADERS_TOO_LARGE)
        if self._is_idle():  # a stray line end, for which uvicorn has given up its own timer
            self._be_patient()

    def on_message_begin(self) -> None:
        """See uvicorn."""
        super().on_message_begin()
        self._be_patient()
        self._in_head = True
        self._began = True
        self._head_bytes = 0
        self._framing = 0
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        """See uvicorn."""
        self._count_head(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Trailers are none of the request's headers."""
        if self._in_head:
            self._count_head(name + value)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """See uvicorn."""
        self._in_head = False
        self._began = True
        self._framing = 0
        self._awaits_body = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """See uvicorn."""
        self._body_bytes += len(body)
        if self._awaits_body:
            self._has_come()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See uvicorn."""
        if self._awaits_body:
            self._has_come()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP at all, and what the parser was stopped at."""
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large", HEADERS_TOO_LARGE)
        else:
            self._refuse(b"400 Bad Request", MALFORMED)

    def _count_head(self, part: bytes) -> None:
        """Stops the parser at too large a head, also where it came at once; nothing of it reaches the application."""
        self._head_bytes += len(part) + LINE_FRAMING
        if self._head_bytes > MAX_HEAD_BYTES:
            raise HeadTooLarge

    def _watch_reader(self) -> None:
        self._end_watch()
        self._unread = self._waiting_bytes()
        self._unread_watch = self.loop.call_later(UNREAD_S, self._look_at_reader)

    def _look_at_reader(self) -> None:
        if self._waiting_bytes() < self._unread:
            self._watch_reader()
        else:
            self._reset()

    def _reset(self) -> None:
        """Closes so that the kernel lets go, too: else it keeps what it has for the client, and tries for minutes."""
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self.transport.abort()

    def _waiting_bytes(self) -> int:
        """What is here, and what the kernel holds for the client: it takes megabytes, and asks for more rarely."""
        waiting = self.transport.get_write_buffer_size()
        with suppress(OSError):  # a system that does not say
            asked = fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
            waiting += int.from_bytes(asked, sys.byteorder)
        return waiting

    def _end_watch(self) -> None:
        if self._unread_watch is not None:
            self._unread_watch.cancel()
            self._unread_watch = None

    def _is_idle(self) -> bool:
        return not self._in_head and (self.cycle is None or self.cycle.response_complete)

    def _be_patient(self) -> None:
        self._patience.cancel()
        self._patience = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)

    def _has_come(self) -> None:
        """From here on `http.bodies` watches: most bodies are here at once, and need no watch."""
        self._awaits_body = False
        self._patience.cancel()

    def _give_up(self) -> None:
        if self.transport.is_closing():
            return
        if self._awaits_body and self.pipeline:  # nothing is read until the request before it is answered
            self._be_patient()
        elif self._awaits_body and self.cycle is not None and not self.cycle.response_started:
            self._refuse(b"408 Request Timeout", NO_BODY)
        elif self._awaits_body or self._in_head or self._is_idle():
            self.transport.close()

    def _refuse(self, status: bytes, body: bytes) -> None:
        self.transport.write(REFUSAL % (status, new_request_id(), self._shared, len(body)) + body)
        self.transport.close()


class Server(uvicorn.Server):
    """Serves one socket; whoever starts it handles the signals, and waits for `listening`."""

    def __init__(self, app: ASGIApp, *, drain_s: float, max_connections: int, cors_origins: Sequence[str] = ()) -> None:
        self._shared = sharing.raw_headers(cors_origins)
        options: dict[str, Any] = {
            "http": partial(Protocol, door=Door(max_connections, cors_origins), shared=self._shared),
            "loop": "none",
            "ws": "none",
            "lifespan": "off",
            "access_log": False,
            "log_config": None,
            "server_header": False,
            "proxy_headers": False,
            "timeout_keep_alive": KEEP_ALIVE_S,
            "timeout_graceful_shutdown": int(drain_s) + GRACE_S,
            "backlog": BACKLOG,
        }
        super().__init__(uvicorn.Config(app, **options))
        self.listening = asyncio.Event()
        self._bound: socket.socket | None = None
        self._drought: Drought | None = None

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """None: they are the caller's."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """From here on connections are taken."""
        await super().startup(sockets)
        if sockets and self._drought is None:
            [self._bound] = sockets
            self._drought = Drought(self._bound, self._shared)
        self.listening.set()

    async def on_tick(self, counter: int) -> bool:
        """Some ten times a second."""
        if self._drought is not None:
            await self._watch(self._drought)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """The socket is let go at once: nobody is to wait there for a gateway that does not come."""
        if self._drought is not None:
            self._drought.close()
        await super().shutdown(sockets)

    async def _watch(self, drought: Drought) -> None:
        """Listens as long as there are descriptors to accept with."""
        if drought.is_on():
            for listening in self.servers:
                listening.close()
            self.servers = []
            self._bound = None
            drought.answer(asyncio.get_running_loop().time())
        elif self._bound is None or self._bound.fileno() < 0:  # closed here, or by uvloop
            with suppress(OSError):  # then at the next tick
                self._bound = drought.listening()
                await self.startup([self._bound])


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 picks a free one. Raises `CannotListen`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise CannotListen(f"cannot listen on {host} port {port}: {error.strerror}; choose another --port") from error
    bound.setblocking(False)
    return bound
