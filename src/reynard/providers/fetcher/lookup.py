"""Names to addresses, by the system's resolver, which blocks: each look-up on a thread of its own, and not many."""

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Final

from reynard.core.addresses import Refused
from reynard.engine.gate import FairGate
from reynard.engine.turns import Turns

MOST_LOOKUPS: Final = 32
"""More than the fetches that run at once: a look-up outlives the fetch that gave it up, for half a minute or so."""
MOST_OF_ONE_DOMAIN: Final = MOST_LOOKUPS // 4
"""Of those, under one domain: a nameserver that does not answer has these, and not all."""


class Busy(Refused):
    """As many names are looked up as the gateway does at once. It says nothing of this one."""


class Lookup:
    """The system's resolver. Its threads are daemons: one that hangs holds up neither the loop nor the end.

    A thread is waited for, `lookup_s` at the most, and then its answer. Domains take turns.
    """

    def __init__(self, *, absolute: bool, lookup_s: float) -> None:
        self._end = "." if absolute else ""  # so that no search domain of this machine is put behind the name
        self._lookup_s = lookup_s
        self._threads = FairGate(MOST_LOOKUPS)
        self._domains = Turns(MOST_OF_ONE_DOMAIN)

    async def __call__(self, host: str, port: int) -> list[str]:
        """The addresses of `host`. Raises `Busy`, `TimeoutError`."""
        domain = ".".join(host.split(".")[-2:])
        try:
            async with asyncio.timeout(self._lookup_s):
                await self._take(domain)
        except TimeoutError:
            raise Busy("too many look-ups") from None
        async with asyncio.timeout(self._lookup_s):
            return await self._look(domain, host + self._end, port)

    async def _take(self, domain: str) -> None:
        await self._domains.take(domain, domain)
        try:
            await self._threads.take(domain)
        except BaseException:
            self._domains.give_back(domain, domain)
            raise

    def _give_back(self, domain: str) -> None:
        self._threads.give_back(domain)
        self._domains.give_back(domain, domain)

    async def _look(self, domain: str, name: str, port: int) -> list[str]:
        """The thread is given back when it ends, whoever waits for it by then."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[str]] = loop.create_future()

        def tell(addresses: list[str]) -> None:
            self._give_back(domain)
            if not found.done():
                found.set_result(addresses)

        def look() -> None:
            addresses = _addresses(name, port)
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(tell, addresses)

        try:
            threading.Thread(target=look, name="lookup", daemon=True).start()
        except RuntimeError:
            self._give_back(domain)
            raise Busy("no thread to be had") from None
        return await found


def _addresses(name: str, port: int) -> list[str]:
    """None at all if there is no answer, whatever the reason."""
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(address[0]) for *_, address in found]
