"""uvicorn, with what it refuses by itself said in our words too."""

import asyncio
import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

import uvicorn

from reynard.http import sharing
from reynard.http.asgi import ASGIApp
from reynard.http.connection import Connection
from reynard.http.door import Door
from reynard.http.drought import Drought

GRACE_S: Final = 2  # to say goodbye to those whose calls were cut
BACKLOG: Final = 2048


class CannotListen(Exception):
    """The address is taken, or not this machine's."""


class Server(uvicorn.Server):
    """Serves one socket; whoever starts it handles the signals, and waits for `listening`."""

    def __init__(self, app: ASGIApp, *, drain_s: float, max_connections: int, cors_origins: Sequence[str] = ()) -> None:
        self._shared = sharing.raw_headers(cors_origins)
        options: dict[str, Any] = {
            "http": partial(Connection, door=Door(max_connections, cors_origins), shared=self._shared),
            "loop": "none",
            "ws": "none",
            "lifespan": "off",
            "access_log": False,
            "log_config": None,
            "server_header": False,
            "proxy_headers": False,
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
