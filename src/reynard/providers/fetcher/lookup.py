"""Names to addresses, by the system's resolver, which blocks: each look-up on a thread of its own, and not many."""

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Final

from reynard.core.addresses import Refused

MOST_LOOKUPS: Final = 32
"""More than the fetches that run at once: a look-up outlives the fetch that gave it up, for half a minute or so."""


class Lookup:
    """The system's resolver. Its threads are daemons: one that hangs holds up neither the loop nor the end."""

    def __init__(self, *, absolute: bool) -> None:
        self._end = "." if absolute else ""  # so that no search domain of this machine is put behind the name
        self._running = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        """The addresses of `host`. Raises `Refused`."""
        if self._running >= MOST_LOOKUPS:
            raise Refused("too many look-ups")
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[str]] = loop.create_future()
        name = host + self._end

        def tell(addresses: list[str]) -> None:
            self._running -= 1
            if not found.done():
                found.set_result(addresses)

        def look() -> None:
            addresses = _addresses(name, port)
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(tell, addresses)

        self._running += 1
        try:
            threading.Thread(target=look, name="lookup", daemon=True).start()
        except RuntimeError:
            self._running -= 1
            raise Refused("too many look-ups") from None
        return await found


def _addresses(name: str, port: int) -> list[str]:
    """None at all if there is no answer, whatever the reason."""
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(address[0]) for *_, address in found]
