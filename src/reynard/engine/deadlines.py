"""The clocks of a streamed answer: first byte, silence and total time, on one timer that is hardly ever touched."""

import asyncio
from types import TracebackType

from reynard.core.channels import Channel
from reynard.ports.codec import StreamDecoder


class Deadlines:
    """Cuts what runs inside, with a `TimeoutError`, when the answer of `channel` is overdue.

    A part of the answer only notes when it came: the timer looks, when it goes off, whether there is time left, and
    sets itself anew. `is_held`: it is the reader that is waited for, and only the total time runs.
    """

    __slots__ = ("_at", "_idle_s", "_is_silent", "_limit", "_loop", "_seen", "_timeout", "_timer", "_total", "is_held")

    def __init__(self, channel: Channel) -> None:
        self._loop = asyncio.get_running_loop()
        began = self._loop.time()
        self._idle_s = channel.idle_timeout_s
        self._total = began + channel.total_timeout_s
        self._limit = self._at = min(began + channel.first_byte_timeout_s, self._total)  # `_at`: of the timer
        self._is_silent = True
        self._seen = float("inf")  # when the last part was done with
        self._timeout = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None
        self.is_held = False

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._timer = self._loop.call_at(self._at, self._look)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    def tick(self, decoder: StreamDecoder) -> None:
        """Something came. A provider that only keeps the connection open is silent all the same."""
        self.is_held = False
        self._seen = self._loop.time()
        if self._is_silent and not decoder.is_silent:
            self._is_silent, self._limit = False, self._total
        if self._seen + self._idle_s < self._at or self._limit < self._at:
            self._set()

    def _look(self) -> None:
        if self._due() > self._loop.time():
            self._set()
        else:
            self._timeout.reschedule(self._at)

    def _set(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = self._due()
        self._timer = self._loop.call_at(self._at, self._look)

    def _due(self) -> float:
        return self._total if self.is_held else min(self._seen + self._idle_s, self._limit)
