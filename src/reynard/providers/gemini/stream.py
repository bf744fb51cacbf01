"""streamGenerateContent with `alt=sse`: `data: {GenerateContentResponse}` lines, and no mark of the end.

Older models say a finish reason in every piece, so that one counts only when the body is over: the last pieces that a
client sees, the finish reasons and the usage, come with the end of the body.
"""

from collections.abc import Iterator

from reynard.core.chat import Chunk
from reynard.core.errors import GenerationError
from reynard.providers.failures import garbled
from reynard.providers.gemini.answers import Answers, piece_of
from reynard.providers.sse import Event, EventTooLarge, SSEParser


class GeminiStreamDecoder:
    """Pieces in, chunks out."""

    __slots__ = ("_answers", "_parser", "done")

    def __init__(self) -> None:
        self._parser = SSEParser()
        self._answers = Answers()
        self.done = False

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """The chunks that `data` completes, one by one: a failure behind them takes none of them along."""
        try:
            events = self._parser.feed(data)
        except EventTooLarge:
            raise garbled() from None
        return self._chunks(events)

    def close(self) -> Iterator[Chunk]:
        """The last chunks. Raises `GenerationError` in their place unless every candidate that began has ended."""
        yield from self._chunks(self._parser.close())
        if not self._answers.begun:
            raise GenerationError(
                "generation_failed_no_content", "The provider sent an empty stream. Try again.", failover=True
            )
        yield from self._answers.end(whole=False)

    def _chunks(self, events: list[Event]) -> Iterator[Chunk]:
        for event in events:
            yield from self._answers.take(piece_of(event.data), event.data)
