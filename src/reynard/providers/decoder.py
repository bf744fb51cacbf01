"""What the stream decoders of all dialects have in common: events out of bytes, and an end that must be one."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

from reynard.core.chat import Chunk
from reynard.providers.failures import garbled, nothing_said
from reynard.providers.sse import Event, EventTooLarge, SSEParser


class EventStreamDecoder(ABC):
    """`ports.codec.StreamDecoder` over server-sent events. `done`: the dialect's mark of the end was seen."""

    __slots__ = ("_parser", "done")

    def __init__(self) -> None:
        self._parser = SSEParser()
        self.done = False

    @property
    def is_silent(self) -> bool:
        """See the port."""
        return self._parser.is_silent

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """The chunks that `data` completes, one by one: a failure behind them takes none of them along."""
        try:
            events = self._parser.feed(data)
        except EventTooLarge:
            raise garbled() from None
        return self._chunks(events)

    def close(self) -> Iterator[Chunk]:
        """The last chunks. Raises `GenerationError` in their place, or behind them, unless the answer is whole."""
        yield from self._chunks(self._parser.close())
        if not self._has_begun():
            raise nothing_said()
        yield from self._rest()

    @abstractmethod
    def _chunks(self, events: list[Event]) -> Iterator[Chunk]:
        """What the events say."""

    @abstractmethod
    def _has_begun(self) -> bool:
        """Whether there is an answer at all."""

    @abstractmethod
    def _rest(self) -> Iterable[Chunk]:
        """What the end of the body adds. Raises `GenerationError` if it came too early."""
