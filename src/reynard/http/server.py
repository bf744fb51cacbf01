"""The socket that is listened on, and what becomes of those who came when that ends."""

import asyncio
import logging
import socket
from collections.abc import Sequence
from contextlib import suppress
from email.utils import formatdate
from functools import partial
from typing import Final

from reynard.http import sharing
from reynard.http.asgi import ASGIApp
from reynard.http.connection import Connection, ServerState
from reynard.http.door import Door
from reynard.http.drought import Drought
from reynard.ports.clock import Clock

log = logging.getLogger(__name__)

GRACE_S: Final = 2  # to say goodbye to those whose calls were cut
BACKLOG: Final = 2048
TICK_S: Final = 0.1  # between two looks at the time and the descriptors
DRAIN_TICK_S: Final = 0.01  # between two looks at who is still here


class CannotListen(Exception):
    """The address is taken, or not this machine's."""


class Server:
    """Serves one socket: `open`, then `serve`. Whoever starts it handles the signals."""

    def __init__(
        self, app: ASGIApp, clock: Clock, *, drain_s: float, max_connections: int, cors_origins: Sequence[str] = ()
    ) -> None:
        self._shared = sharing.raw_headers(cors_origins)
        self._state = ServerState(app, Door(max_connections, cors_origins), self._shared)
        self._clock = clock
        self._drain_s = drain_s
        self._bound: socket.socket | None = None
        self._acceptor: asyncio.Server | None = None
        self.stopping = asyncio.Event()
        self.hurried = asyncio.Event()

    def stop(self) -> None:
        """Ends `serve`, once those who are being answered have their answers; the second time, once they are told that
        there will be none."""
        if self.stopping.is_set():
            self.hurried.set()
        self.stopping.set()

    async def open(self, bound: socket.socket) -> None:
        """From here on connections are taken. `bound`: of `listen`; it is closed in the end."""
        self._tell_time()
        self._drought = Drought(bound, self._shared)
        await self._accept(bound)

    async def serve(self) -> None:
        """Until `stop`."""
        while not self.stopping.is_set():
            await self._watch()
            self._tell_time()
            await _pause(TICK_S, self.stopping)
        self._drought.close()
        self._refuse()
        await self._drain()

    def _tell_time(self) -> None:
        """To all that are answered from here on."""
        self._state.headers = [(b"date", formatdate(self._clock.now(), usegmt=True).encode())]

    async def _accept(self, bound: socket.socket) -> None:
        """From here on connections are taken."""
        loop = asyncio.get_running_loop()
        self._acceptor = await loop.create_server(partial(Connection, self._state), sock=bound, backlog=BACKLOG)
        self._bound = bound

    def _refuse(self) -> None:
        """The socket is let go at once: nobody is to wait there for a gateway that does not come."""
        if self._acceptor is not None:
            self._acceptor.close()
        self._bound = self._acceptor = None

    async def _watch(self) -> None:
        """Listens as long as there are descriptors to accept with."""
        drought = self._drought
        if drought.is_on():
            self._refuse()
            drought.answer(asyncio.get_running_loop().time())
        elif self._bound is None or self._bound.fileno() < 0:  # closed here, or by uvloop
            with suppress(OSError):  # then at the next tick
                await self._accept(drought.listening())

    async def _drain(self) -> None:
        """Idle connections are closed, and all others once they have their answers."""
        for connection in list(self._state.connections):
            connection.shutdown()
        await self._emptied(self._drain_s, self.hurried)
        await self._emptied(GRACE_S, asyncio.Event())
        if tasks := self._state.tasks:
            log.error("%d requests are cut short: they have not come to their end", len(tasks))
            for task in tasks:
                task.cancel()

    async def _emptied(self, seconds: float, unless: asyncio.Event) -> None:
        """Waits for those who are still here."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while (self._state.connections or self._state.tasks) and not unless.is_set():
                    await _pause(DRAIN_TICK_S, unless)


async def _pause(seconds: float, unless: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(unless.wait(), seconds)


def listen(host: str, port: int) -> socket.socket:
    """A socket on which those who come wait until they are taken; port 0 picks a free one. Raises `CannotListen`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(BACKLOG)  # of two that could bind, one alone can; uvloop would keep that to itself
    except OSError as error:
        bound.close()
        raise CannotListen(f"cannot listen on {host} port {port}: {error.strerror}; choose another --port") from error
    bound.setblocking(False)
    return bound
