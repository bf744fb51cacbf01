"""uvicorn, with what it refuses by itself said in our words too."""

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MALFORMED: Final = (
    b'{"error":{"message":"The request is not valid HTTP.","type":"invalid_request_error","code":"invalid_http"}}'
)
MALFORMED_HEAD: Final = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
)
KEEP_ALIVE_S: Final = 75
GRACE_S: Final = 2  # to say goodbye to those whose calls were cut
BACKLOG: Final = 2048


class CannotListen(Exception):
    """The address is taken, or not this machine's."""


class Protocol(HttpToolsProtocol):
    """Every error is JSON, on every path."""

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP at all."""
        self.transport.write(MALFORMED_HEAD % len(MALFORMED) + MALFORMED)
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
