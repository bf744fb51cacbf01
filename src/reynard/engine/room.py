"""A bound on the bytes that are held at once."""

import asyncio
from collections.abc import Callable


class Room:
    """`limit` bytes in all. What is larger than that by itself comes in when nobody else is there.

    Whoever holds something and waits for more may wait for one that waits for them. So only one at a time waits, the
    one whose `turn` it is; all others take what there is at once, or give back what they have and queue for the turn.
    `evict` gives back what is only kept for later, and says whether there was anything.
    """

    def __init__(self, limit: int, evict: Callable[[], bool]) -> None:
        self.used = 0
        self.turn = asyncio.Lock()
        self._limit = limit
        self._evict = evict
        self._wanted: tuple[int, asyncio.Future[None]] | None = None

    def take_now(self, size: int) -> bool:
        """Whether there was room, and nobody who waits for it longer."""
        if self._wanted is not None or not self._fits(size):
            return False
        self.used += size
        return True

    async def take(self, size: int) -> None:
        """Returns when there is room; for the one whose turn it is."""
        while not self._fits(size):
            given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._wanted = size, given
            try:
                await given
            finally:
                self._wanted = None
        self.used += size

    def give(self, size: int) -> None:
        """They are held no more."""
        self.used -= size
        if self._wanted is not None and self._fits(self._wanted[0]) and not self._wanted[1].done():
            self._wanted[1].set_result(None)

    def _fits(self, size: int) -> bool:
        while self.used and self.used + size > self._limit:
            if not self._evict():
                return False
        return True
