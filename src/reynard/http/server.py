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
    """Serves one socket; whoever starts it handles the signals, and waits for `listening`."""

    def __init__(
        self, app: ASGIApp, clock: Clock, *, drain_s: float, max_connections: int, cors_origins: Sequence[str] = ()
    ) -> None:
        self._shared = sharing.raw_headers(cors_origins)
        self._state = ServerState(app, Door(max_connections, cors_origins), self._shared)
        self._clock = clock
        self._patience_s = drain_s + GRACE_S
        self._bound: socket.socket | None = None
        self._acceptor: asyncio.Server | None = None
        self._hurried = asyncio.Event()
        self.listening = asyncio.Event()
        self.stopping = asyncio.Event()

    def stop(self) -> None:
        """Ends `serve`, once those who are being answered have their answers. The second time it is meant: at once."""
        if self.stopping.is_set():
            self._hurried.set()
        self.stopping.set()

    async def serve(self, bound: socket.socket) -> None:
        """Until `stop`. `bound`: of `listen`; it is closed in the end."""
        drought = Drought(bound, self._shared)
        self._tell_time()
        await self._accept(bound)
        self.listening.set()
        while not self.stopping.is_set():
            await self._watch(drought)
            self._tell_time()
            await _pause(TICK_S, self.stopping)
        drought.close()
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

    async def _watch(self, drought: Drought) -> None:
        """Listens as long as there are descriptors to accept with."""
        if drought.is_on():
            self._refuse()
            drought.answer(asyncio.get_running_loop().time())
        elif self._bound is None or self._bound.fileno() < 0:  # closed here, or by uvloop
            with suppress(OSError):  # then at the next tick
                await self._accept(drought.listening())

    async def _drain(self) -> None:
        """Idle connections are closed, and all others once they have their answers."""
        state = self._state
        for connection in list(state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(self._patience_s):
                while (state.connections or state.tasks) and not self._hurried.is_set():
                    await _pause(DRAIN_TICK_S, self._hurried)
        except TimeoutError:
            log.error("%d requests are cut short: they have not come to their end", len(state.tasks))
            for task in state.tasks:
                task.cancel()


async def _pause(seconds: float, unless: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(unless.wait(), seconds)


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
