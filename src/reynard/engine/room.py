"""A bound on the bytes that are held at once: who wants more waits for those who are done."""

import asyncio
from collections import deque
from collections.abc import Callable


class Room:
    """`limit` bytes in all. What is larger than that by itself comes in when nobody else is there.

    `evict` gives back what is only kept for later, and says whether there was anything.
    """

    def __init__(self, limit: int, evict: Callable[[], bool]) -> None:
        self.used = 0
        self._limit = limit
        self._evict = evict
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, size: int) -> None:
        """Returns when there is room, in the order of asking."""
        if not self._waiting and self._fits(size):
            self.used += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (size, turn)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(size)
            else:
                self._waiting.remove(entry)
                self._let_in()
            raise

    def give(self, size: int) -> None:
        """They are held no more."""
        self.used -= size
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            if not turn.done():
                self.used += size
                turn.set_result(None)

    def _fits(self, size: int) -> bool:
        while self.used and self.used + size > self._limit:
            if not self._evict():
                return False
        return True
