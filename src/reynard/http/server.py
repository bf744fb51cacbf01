"""uvicorn, with what it refuses by itself said in our words too."""

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from reynard.http.requests import new_request_id

MALFORMED: Final = (
    b'{"error":{"message":"The request is not valid HTTP.","type":"invalid_request_error","code":"invalid_http"}}'
)
REFUSAL: Final = (
    b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"x-request-id: %b\r\ncontent-length: %d\r\n\r\n"
)
HEADERS_TOO_LARGE: Final = (
    b'{"error":{"message":"The headers are too large.","type":"invalid_request_error","code":"headers_too_large"}}'
)
MAX_HEAD_BYTES: Final = 65_536
HEAD_TIMEOUT_S: Final = 20
KEEP_ALIVE_S: Final = 75
GRACE_S: Final = 2  # to say goodbye to those whose calls were cut
BACKLOG: Final = 2048


class CannotListen(Exception):
    """The address is taken, or not this machine's."""


class Protocol(HttpToolsProtocol):
    """Bounds what comes before a request: its headers, and the wait for them. Every error is JSON, on every path."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request must come soon."""
        super().connection_made(transport)
        self._head_bytes = 0
        self._in_head = True
        self._patience = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._patience.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Headers beyond their bound are refused before they are kept."""
        super().data_received(data)
        if not self._in_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(b"431 Request Header Fields Too Large", HEADERS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """See uvicorn."""
        super().on_message_begin()
        self._patience.cancel()
        self._patience = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)
        self._in_head = True

    def on_headers_complete(self) -> None:
        """See uvicorn."""
        self._in_head = False
        self._head_bytes = 0
        self._patience.cancel()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP at all."""
        self._refuse(b"400 Bad Request", MALFORMED)

    def _give_up(self) -> None:
        if self._in_head and not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: bytes, body: bytes) -> None:
        self.transport.write(REFUSAL % (status, new_request_id(), len(body)) + body)
        self.transport.close()


class Server(uvicorn.Server):
    """Serves one socket; whoever starts it handles the signals, and waits for `listening`."""

    def __init__(self, app: ASGIApp, *, drain_s: float) -> None:
        options: dict[str, Any] = {
            "http": Protocol,
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

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """None: they are the caller's."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """From here on connections are taken."""
        await super().startup(sockets)
        self.listening.set()


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
