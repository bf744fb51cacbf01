"""Chunks of a chat to the events of a Response, and whole completions the same way.

The events are a function of the chunks alone, one by one: however a stream is cut, and however often it is read, the
same event has the same `sequence_number`. To go on after one is to translate from the first chunk, and skip.

A client may expect that an item is over before the next begins. Providers mix calls that run side by side, and come
back to what they had left: from the first call on, what does not belong to it waits for the end. So does all that is
not of the first choice.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from reynard.core.chat import (
    Answer,
    Chunk,
    ChunkChoice,
    Completion,
    Delta,
    FunctionDelta,
    Json,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from reynard.core.surfaces.responses import output
from reynard.core.surfaces.responses.answer import (
    INCOMPLETE,
    SERVICE_TIERS,
    Failure,
    Frame,
    Incomplete,
    Repeated,
    Response,
    usage,
)
from reynard.core.surfaces.responses.output import Call, Image, Item, Key, Piece, pieces

_chunks = msgspec.json.Decoder(Chunk)
_completions = msgspec.json.Decoder(Completion)
encode = msgspec.json.Encoder().encode


class _Identity(Struct):
    """What a completion, or a chunk, says of itself."""

    created: int
    model: str


_identities = msgspec.json.Decoder(_Identity)


def frame_of(said: bytes, task_id: str, known: Repeated) -> Frame:
    """The frame of a call that is awaited in place, from its completion or any of its chunks (JSON)."""
    found = _identities.decode(said)
    return Frame(task_id=task_id, created=found.created, model=found.model, background=False, known=known)


class Event(Struct, frozen=True):
    """One event: its `sequence_number`, and its data, which has that too."""

    number: int
    data: Json

    def line(self) -> bytes:
        """As it goes over the wire."""
        return b"event: %b\ndata: %b\n\n" % (self.data["type"].encode(), encode(self.data))


class Translator:
    """Feed it the chunks in order, then tell it the end: `end`, `fail` or `cancel`."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.number = 0
        self._works = False
        self._done: list[Json] = []
        self._live: Item | None = None
        self._live_key: Key | None = None
        self._waiting: dict[Key, list[Piece]] = {}
        self._usage: Usage | None = None
        self._tier: str | None = None
        self._finish: set[str] = set()

    def open(self) -> list[Event]:
        """The events before any chunk."""
        if not self.frame.background:
            return [self._response("created", self.frame.show("in_progress"))]
        queued = self.frame.show("queued")
        return [self._response("created", queued), self._response("queued", queued)]

    def feed(self, chunk: bytes) -> list[Event]:
        """The events of one more chunk (JSON)."""
        return self._feed(_chunks.decode(chunk))

    def whole(self, completion: bytes) -> Response:
        """The Response of a completion (JSON)."""
        found = _completions.decode(completion)
        self._feed(_chunk(found))
        return self._ended()[1]

    def skip_to(self, number: int) -> None:
        """The next event has this number at least: a reader saw those before it, where chunks are no longer there."""
        self.number = max(self.number, number)

    def end(self) -> list[Event]:
        """The events after the last chunk."""
        events, response = self._ended()
        kind = "completed" if response.status == "completed" else "incomplete"
        return [*events, self._response(kind, response)]

    def fail(self, error: Failure) -> list[Event]:
        """The events of a failure; what was produced stays, incomplete."""
        shown = self.frame.show("failed", output=self._so_far(), error=error, usage=usage(self._usage))
        return [self._response("failed", shown)]

    def cancel(self) -> list[Event]:
        """The events of a cancelled task. The API has no event of that name: it is `failed`, and the status tells."""
        shown = self.frame.show("cancelled", output=self._so_far(), usage=usage(self._usage))
        return [self._response("failed", shown)]

    def _feed(self, chunk: Chunk) -> list[Event]:
        events: list[Event] = []
        if not self._works:
            self._works = True
            events.append(self._response("in_progress", self.frame.show("in_progress")))
        for key, piece in pieces(chunk):
            events += map(self._numbered, self._take(key, piece))
        self._finish.update(choice.finish_reason for choice in chunk.choices if choice.finish_reason is not None)
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.service_tier in SERVICE_TIERS:
            self._tier = chunk.service_tier
        return events

    def _take(self, key: Key, piece: Piece) -> Iterator[Json]:
        if key != self._live_key or isinstance(self._live, Image):
            if key[0] != 0 or isinstance(self._live, Call):
                self._waiting.setdefault(key, []).append(piece)
                return
            yield from self._close("completed")
            yield from self._begin(key, piece)
        if self._live is not None:
            yield from self._live.take(piece)

    def _begin(self, key: Key, piece: Piece) -> Iterator[Json]:
        item = output.ITEMS[key[1]](self.frame.task_id, len(self._done))
        if isinstance(item, Call) and isinstance(piece, output.Called):
            item.meet(piece)
        self._live, self._live_key = item, key
        yield {"type": "response.output_item.added", "output_index": item.place, "item": item.value("in_progress")}

    def _close(self, status: str) -> Iterator[Json]:
        if self._live is None:
            return
        yield from self._live.close()
        value = self._live.value(status)
        yield {"type": "response.output_item.done", "output_index": self._live.place, "item": value}
        self._done.append(value)
        self._live = self._live_key = None

    def _flush(self, status: str) -> Iterator[Json]:
        """What is under way and what waits, one item after the other."""
        yield from self._close(status)
        for key, waiting in self._waiting.items():
            for index, piece in enumerate(waiting):
                if index == 0 or key[1] == "image":
                    yield from self._close(status)
                    yield from self._begin(key, piece)
                if self._live is not None:
                    yield from self._live.take(piece)
            yield from self._close(status)

    def _ended(self) -> tuple[list[Event], Response]:
        cut = sorted(self._finish & INCOMPLETE.keys() if self._finish else {"length"})
        status = "incomplete" if cut else "completed"
        events = [self._numbered(data) for data in self._flush(status)]
        response = self.frame.show(
            "incomplete" if cut else "completed",
            output=self._done,
            incomplete_details=Incomplete(INCOMPLETE[cut[0]]) if cut else None,
            service_tier=self._tier,
            usage=usage(self._usage),
        )
        return events, response

    def _so_far(self) -> list[Json]:
        for _ in self._flush("incomplete"):
            pass
        return self._done

    def _response(self, kind: str, response: Response) -> Event:
        return self._numbered({"type": f"response.{kind}", "response": response})

    def _numbered(self, data: Json) -> Event:
        event = Event(self.number, {"type": data["type"], "sequence_number": self.number, **data})
        self.number += 1
        return event


def _chunk(completion: Completion) -> Chunk:
    """A completion as the one chunk of a stream."""
    choices = [
        ChunkChoice(
            index=choice.index,
            delta=_delta(choice.message),
            logprobs=choice.logprobs,
            finish_reason=choice.finish_reason,
        )
        for choice in completion.choices
    ]
    return Chunk(
        id=completion.id,
        created=completion.created,
        model=completion.model,
        choices=choices,
        usage=completion.usage,
        service_tier=completion.service_tier,
    )


def _delta(message: Answer) -> Delta:
    old = message.function_call
    return Delta(
        content=message.content,
        reasoning_content=message.reasoning_content,
        reasoning_details=message.reasoning_details,
        refusal=message.refusal,
        tool_calls=[_call(index, call) for index, call in enumerate(message.tool_calls or ())],
        function_call=None if old is None else FunctionDelta(name=old.name, arguments=old.arguments),
        annotations=message.annotations,
        audio=message.audio,
        images=message.images,
    )


def _call(index: int, call: ToolCall) -> ToolCallDelta:
    function = call.function
    return ToolCallDelta(
        index=index,
        id=call.id,
        type=call.type,
        function=None if function is None else FunctionDelta(name=function.name, arguments=function.arguments),
        custom=call.custom,
    )
