"""When the first chunk of an attempt came."""

from collections.abc import Sequence

from reynard.engine.work import Sink
from reynard.ports.clock import Clock


class TimedSink:
    """Hands everything on. `began`: when it was first given something (Unix seconds)."""

    __slots__ = ("_clock", "_sink", "began")

    def __init__(self, sink: Sink, clock: Clock) -> None:
        self.began: float | None = None
        self._sink = sink
        self._clock = clock

    async def put(self, chunks: Sequence[bytes]) -> None:
        """See `Sink`."""
        if self.began is None:
            self.began = self._clock.now()
        await self._sink.put(chunks)

    async def restart(self) -> bool:
        """See `Sink`."""
        return await self._sink.restart()
