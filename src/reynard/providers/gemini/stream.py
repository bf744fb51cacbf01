"""streamGenerateContent with `alt=sse`: `data: {GenerateContentResponse}` lines, and no mark of the end.

Older models say a finish reason in every piece, so that one counts only when the body is over: the last pieces that a
client sees, the finish reasons and the usage, come with the end of the body.
"""

from collections.abc import Iterable, Iterator

from reynard.core.chat import Chunk
from reynard.providers.decoder import EventStreamDecoder
from reynard.providers.gemini.answers import Answers, piece_of
from reynard.providers.sse import Event

DONE = b"[DONE]"
"""OpenAI's mark of the end, which some servers in between put behind every stream."""


class GeminiStreamDecoder(EventStreamDecoder):
    """Pieces in, chunks out."""

    __slots__ = ("_answers",)

    def __init__(self) -> None:
        super().__init__()
        self._answers = Answers()

    def _has_begun(self) -> bool:
        return self._answers.begun

    def _rest(self) -> Iterable[Chunk]:
        return self._answers.end(whole=False)

    def _chunks(self, events: list[Event]) -> Iterator[Chunk]:
        for event in events:
            if event.data == DONE:
                continue
            yield from self._answers.take(piece_of(event.data), event.data)
