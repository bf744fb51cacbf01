"""Waiting for news, for some time at the most, without a timer for each who waits."""

import asyncio
from typing import Final

GRAIN_S: Final = 0.1  # how much later than its time a wait may end, where many do


class Waits:
    """Futures, and when to wait for them no longer: looked through by one timer, that is set to the first of them.

    Whoever reads a stream waits anew for each chunk, and hardly ever in vain.
    """

    __slots__ = ("_at", "_due", "_timer")

    def __init__(self) -> None:
        self._due: dict[asyncio.Future[None], float] = {}
        self._at = float("inf")  # when the timer goes off
        self._timer: asyncio.TimerHandle | None = None

    async def end(self, future: asyncio.Future[None], wait_s: float) -> None:
        """Returns when `future` is done, which it is after `wait_s` at the latest."""
        loop = future.get_loop()
        due = self._due[future] = loop.time() + wait_s
        if due < self._at:
            self._set(loop, due)
        try:
            await future
        finally:
            del self._due[future]

    def _set(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = at
        self._timer = loop.call_at(at, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now, first = loop.time(), float("inf")
        self._at, self._timer = first, None
        for future, due in self._due.items():
            if due > now:
                first = min(first, due)
            elif not future.done():
                future.set_result(None)
        if self._due and first < float("inf"):
            self._set(loop, max(first, now + GRAIN_S))
