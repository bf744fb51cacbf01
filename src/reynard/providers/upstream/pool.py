"""Connections to upstreams, made when they are wanted, and kept for the next request."""

import asyncio
import socket
import ssl
from collections import deque
from functools import partial
from typing import Final

import aiohappyeyeballs

from reynard.ports.transport import ConnectFailed
from reynard.providers.upstream.address import Origin
from reynard.providers.upstream.answer import Answer
from reynard.providers.upstream.connection import Connection

MOST_IDLE: Final = 256  # connections of one origin
IDLE_S: Final = 90.0
NEXT_ADDRESS_S: Final = 0.25
"""Until the next address of a name is tried beside one that does not answer (RFC 8305 8)."""

_FAULTS: Final = {9: "is not valid yet", 10: "has expired", 62: "is for another name", 64: "is for another address"}
_UNKNOWN: Final = "is signed by nobody whom the system, or the file SSL_CERT_FILE, names"
"""What is wrong with a certificate, by OpenSSL's `X509_V_ERR_…`."""


class Pool:
    """`connect_timeout_s`: for the name, the connection and TLS together. Redirects are not followed: a key is sent to
    nobody but who it is for. The environment's proxies are not asked, and there are no cookies."""

    def __init__(self, connect_timeout_s: float) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._idle: dict[Origin, deque[Connection]] = {}  # the longest idle first
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._tls: ssl.SSLContext | None = None

    async def ask(self, origin: Origin, head: bytes, body: bytes | None) -> Answer:
        """The answer to a request, once its head is there. It is to be let go of.

        `head`: see `Address.head`. Raises `ConnectFailed` (nothing was sent), `ConnectionBroken`.
        """
        connection = self._kept(origin) or await self._connected(origin)
        return await connection.ask(head, body)

    def close(self) -> None:
        """Ends what is idle; what is in use ends with its answer."""
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for kept in self._idle.values():
            for connection in kept:
                connection.close()

    def _kept(self, origin: Origin) -> Connection | None:
        """The one that was used last: those that are not needed grow old."""
        kept = self._idle.get(origin)
        while kept:
            connection = kept.pop()
            if connection.is_usable:
                return connection
            connection.close()
        return None

    async def _connected(self, origin: Origin) -> Connection:
        try:
            trusted = await self._trust() if origin.is_tls else None
            async with asyncio.timeout(self._connect_timeout_s):
                return await self._connect(origin, trusted)
        except ssl.SSLCertVerificationError as error:
            raise ConnectFailed(f"its certificate {_FAULTS.get(error.verify_code, _UNKNOWN)}") from error
        except ssl.SSLError as error:
            raise ConnectFailed("no TLS connection to the provider") from error
        except (OSError, RuntimeError, ValueError) as error:  # of uvloop, for a socket; of a name that leads nowhere
            raise ConnectFailed("no connection to the provider") from error.with_traceback(None)  # whose frames hold it

    async def _connect(self, origin: Origin, trusted: ssl.SSLContext | None) -> Connection:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        bound = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=NEXT_ADDRESS_S)
        try:
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            make = partial(Connection, bound, partial(self._keep, origin), partial(self._forget, origin))
            _, connection = await loop.create_connection(make, sock=bound)
        except BaseException:
            bound.close()
            raise
        if trusted is not None:
            await connection.secure(trusted, origin.host)
        return connection

    def _keep(self, origin: Origin, connection: Connection) -> None:
        kept = self._idle.setdefault(origin, deque())
        if self._is_closed or len(kept) >= MOST_IDLE:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        kept.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(IDLE_S, self._close_old)

    def _forget(self, origin: Origin, connection: Connection) -> None:
        """It was lost; mostly while somebody used it."""
        kept = self._idle.get(origin)
        if kept is not None and connection in kept:
            kept.remove(connection)

    def _close_old(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE_S
        for origin, kept in list(self._idle.items()):
            while kept and kept[0].idle_since <= oldest:
                kept.popleft().close()
            if not kept:
                del self._idle[origin]
        left = [kept[0].idle_since for kept in self._idle.values()]
        self._sweep = loop.call_at(min(left) + IDLE_S, self._close_old) if left else None

    async def _trust(self) -> ssl.SSLContext:
        """With the system's authorities. To read them takes some 50 ms: not the event loop's."""
        if self._tls is None:
            self._tls = await asyncio.to_thread(_context)
        return self._tls


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
