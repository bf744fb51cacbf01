"""The items of an answer under way: fed with pieces, each tells the events that its client is to see.

An item's events name it and its place; `stream` numbers them.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final, Protocol

from msgspec import Struct

from reynard.core.chat import Chunk, ChunkChoice, Delta, FunctionDelta, Json, ToolCallDelta
from reynard.core.surfaces.responses import sealing

Key = tuple[int, str, int]
"""Choice, kind and number: pieces with one key belong to one item."""


class Thought(Struct, frozen=True):
    """A piece of what the model thought, and what its provider wants back."""

    text: str
    details: Sequence[Json] = ()


class Said(Struct, frozen=True):
    """A piece of the text; `logprobs` as a chat has them."""

    text: str
    logprobs: Sequence[Json] = ()


class Refused(Struct, frozen=True):
    """A piece of a refusal."""

    text: str


class Cited(Struct, frozen=True):
    """An annotation of the text, as a chat has it."""

    annotation: Json


class Called(Struct, frozen=True):
    """A piece of a call."""

    id: str
    name: str
    text: str


class Drawn(Struct, frozen=True):
    """An image: an address, or a data URI."""

    url: str


Piece = Thought | Said | Refused | Cited | Called | Drawn


class Item(Protocol):
    """An item of the output. `place` is its index there; `prefix` tells its kind in its id."""

    prefix: ClassVar[str]
    id: str
    place: int

    def take(self, piece: Any) -> Iterator[Json]:
        """The events of one more piece."""
        ...

    def close(self) -> Iterator[Json]:
        """The events of its parts' end."""
        ...

    def value(self, status: str) -> Json:
        """The item as far as it came."""
        ...


class _Base:
    """An item by its id and place."""

    prefix: ClassVar[str]

    def __init__(self, task_id: str, place: int) -> None:
        self.id = f"{self.prefix}_{task_id}_{place}"
        self.place = place

    def _event(self, kind: str, **fields: Any) -> Json:
        return {"type": f"response.{kind}", "item_id": self.id, "output_index": self.place, **fields}


class Reasoning(_Base):
    """What was thought, as the one part of a summary."""

    prefix = "rs"

    def __init__(self, task_id: str, place: int) -> None:
        super().__init__(task_id, place)
        self._text: list[str] = []
        self._details: list[Json] = []

    def take(self, piece: Thought) -> Iterator[Json]:
        """See `Item`."""
        self._details += piece.details
        if not piece.text:
            return
        if not self._text:
            yield self._event("reasoning_summary_part.added", summary_index=0, part=_summary(""))
        self._text.append(piece.text)
        yield self._event("reasoning_summary_text.delta", summary_index=0, delta=piece.text)

    def close(self) -> Iterator[Json]:
        """See `Item`."""
        if self._text:
            text = "".join(self._text)
            yield self._event("reasoning_summary_text.done", summary_index=0, text=text)
            yield self._event("reasoning_summary_part.done", summary_index=0, part=_summary(text))

    def value(self, status: str) -> Json:
        """See `Item`."""
        return {
            "id": self.id,
            "type": "reasoning",
            "summary": [_summary("".join(self._text))] if self._text else [],
            "encrypted_content": sealing.sealed(self._details),
            "status": status,
        }


class _TextPart:
    """`output_text` under way."""

    def __init__(self, message: "Message", index: int) -> None:
        self._event = message.part_event(index)
        self._text: list[str] = []
        self._logprobs: list[Json] = []
        self._annotations: list[Json] = []

    def takes(self, piece: Piece) -> bool:
        """Whether `piece` belongs here."""
        return isinstance(piece, Said | Cited)

    def take(self, piece: Said | Cited) -> Iterator[Json]:
        """See `Item`."""
        match piece:
            case Said(text, logprobs):
                own = [_logprob(entry) for entry in logprobs]
                self._text.append(text)
                self._logprobs += own
                yield self._event("output_text.delta", delta=text, logprobs=own)
            case Cited(annotation):
                index = len(self._annotations)
                self._annotations.append(annotation)
                yield self._event("output_text.annotation.added", annotation_index=index, annotation=annotation)

    def close(self) -> Iterator[Json]:
        """See `Item`."""
        yield self._event("output_text.done", text="".join(self._text), logprobs=self._logprobs)

    def value(self) -> Json:
        """The part as far as it came."""
        return {
            "type": "output_text",
            "text": "".join(self._text),
            "annotations": list(self._annotations),
            "logprobs": list(self._logprobs),
        }


class _RefusalPart:
    """`refusal` under way."""

    def __init__(self, message: "Message", index: int) -> None:
        self._event = message.part_event(index)
        self._text: list[str] = []

    def takes(self, piece: Piece) -> bool:
        """Whether `piece` belongs here."""
        return isinstance(piece, Refused)

    def take(self, piece: Refused) -> Iterator[Json]:
        """See `Item`."""
        self._text.append(piece.text)
        yield self._event("refusal.delta", delta=piece.text)

    def close(self) -> Iterator[Json]:
        """See `Item`."""
        yield self._event("refusal.done", refusal="".join(self._text))

    def value(self) -> Json:
        """The part as far as it came."""
        return {"type": "refusal", "refusal": "".join(self._text)}


class Message(_Base):
    """What the model says, in parts of text and refusal."""

    prefix = "msg"

    def __init__(self, task_id: str, place: int) -> None:
        super().__init__(task_id, place)
        self._parts: list[_TextPart | _RefusalPart] = []

    def part_event(self, index: int) -> Any:
        """Makes the events of the part at `index`."""
        return lambda kind, **fields: self._event(kind, content_index=index, **fields)

    def take(self, piece: Said | Refused | Cited) -> Iterator[Json]:
        """See `Item`."""
        if not self._parts or not self._parts[-1].takes(piece):
            yield from self.close()
            index = len(self._parts)
            kind = _RefusalPart if isinstance(piece, Refused) else _TextPart
            self._parts.append(kind(self, index))
            yield self._event("content_part.added", content_index=index, part=self._parts[-1].value())
        yield from self._parts[-1].take(piece)  # type: ignore[arg-type]

    def close(self) -> Iterator[Json]:
        """See `Item`."""
        if self._parts:
            yield from self._parts[-1].close()
            index = len(self._parts) - 1
            yield self._event("content_part.done", content_index=index, part=self._parts[-1].value())

    def value(self, status: str) -> Json:
        """See `Item`."""
        content = [part.value() for part in self._parts]
        return {"id": self.id, "type": "message", "role": "assistant", "status": status, "content": content}


class Call(_Base):
    """A call of a function. A call that its provider gave no id has the item's."""

    prefix = "fc"
    kind: ClassVar[str] = "function_call"
    word: ClassVar[str] = "arguments"
    events: ClassVar[str] = "function_call_arguments"

    def __init__(self, task_id: str, place: int) -> None:
        super().__init__(task_id, place)
        self._call_id = ""
        self._name = ""
        self._text: list[str] = []

    def meet(self, piece: Called) -> None:
        """Its id and name, before it is shown; what the id is then, it remains."""
        self._call_id = piece.id or self.id
        self._name = piece.name

    def take(self, piece: Called) -> Iterator[Json]:
        """See `Item`."""
        self._name = piece.name or self._name
        if piece.text:
            self._text.append(piece.text)
            yield self._event(f"{self.events}.delta", delta=piece.text)

    def close(self) -> Iterator[Json]:
        """See `Item`."""
        yield self._event(f"{self.events}.done", **{self.word: "".join(self._text)}, **self._named())

    def value(self, status: str) -> Json:
        """See `Item`."""
        return {
            "id": self.id,
            "type": self.kind,
            "call_id": self._call_id,
            "name": self._name,
            self.word: "".join(self._text),
            "status": status,
        }

    def _named(self) -> Json:
        return {"name": self._name}


class CustomCall(Call):
    """A call of a tool with free-form input."""

    prefix = "ctc"
    kind = "custom_tool_call"
    word = "input"
    events = "custom_tool_call_input"

    def _named(self) -> Json:
        return {}


class Image(_Base):
    """An image that the model made; `result` is its base64, or its address where the provider gave that."""

    prefix = "ig"

    def __init__(self, task_id: str, place: int) -> None:
        super().__init__(task_id, place)
        self._result: str | None = None

    def take(self, piece: Drawn) -> Iterator[Json]:
        """See `Item`."""
        head, comma, payload = piece.url.partition(",")
        self._result = payload if comma and head.startswith("data:") else piece.url
        yield self._event("image_generation_call.completed")

    def close(self) -> Iterator[Json]:
        """See `Item`."""
        yield from ()

    def value(self, status: str) -> Json:
        """See `Item`."""
        shown = "completed" if self._result is not None else "in_progress"
        return {"id": self.id, "type": "image_generation_call", "status": shown, "result": self._result}


ITEMS: Final[dict[str, type[Any]]] = {
    "reasoning": Reasoning,
    "message": Message,
    "function": Call,
    "custom": CustomCall,
    "image": Image,
}


def pieces(chunk: Chunk) -> Iterator[tuple[Key, Piece]]:
    """What a chunk brings, in the order of an output: thoughts, text, calls, images."""
    for choice in chunk.choices:
        delta, number = choice.delta, choice.index
        if delta.reasoning_content or delta.reasoning_details:
            yield (
                (number, "reasoning", 0),
                Thought(delta.reasoning_content or "", delta.reasoning_details or ()),
            )
        for piece in _spoken(choice):
            yield (number, "message", 0), piece
        yield from _calls(delta, number)
        for image in delta.images or ():
            yield (number, "image", 0), Drawn(_url(image))


def _spoken(choice: ChunkChoice) -> Iterator[Piece]:
    delta = choice.delta
    text = delta.content or str((delta.audio or {}).get("transcript") or "")
    tokens = [entry for entry in (choice.logprobs or {}).get("content") or () if isinstance(entry, dict)]
    if text or tokens:
        yield Said(text, tokens)
    if delta.refusal:
        yield Refused(delta.refusal)
    for annotation in delta.annotations or ():
        if isinstance(cited := annotation.get("url_citation"), dict):
            yield Cited(_citation(cited))


def _calls(delta: Delta, number: int) -> Iterator[tuple[Key, Piece]]:
    for call in delta.tool_calls or ():
        free = call.custom
        kind = "custom" if free is not None or call.type == "custom" else "function"
        yield (number, kind, call.index), _called(call)
    if delta.function_call is not None:  # of a task in OpenAI's oldest form
        old = delta.function_call
        yield (number, "function", -1), Called("", old.name or "", old.arguments or "")


def _called(call: ToolCallDelta) -> Called:
    if call.custom is not None:
        name, text = call.custom.get("name"), call.custom.get("input")
        return Called(call.id or "", str(name or ""), str(text or ""))
    function = call.function or FunctionDelta()
    return Called(call.id or "", function.name or "", function.arguments or "")


def _summary(text: str) -> Json:
    return {"type": "summary_text", "text": text}


def _url(image: Json) -> str:
    link = image.get("image_url")
    url = link.get("url") if isinstance(link, dict) else link
    return url if isinstance(url, str) else ""


def _citation(cited: Json) -> Json:
    return {
        "type": "url_citation",
        "url": str(cited.get("url") or ""),
        "title": str(cited.get("title") or ""),
        "start_index": _whole(cited.get("start_index")),
        "end_index": _whole(cited.get("end_index")),
    }


def _logprob(entry: Json) -> Json:
    shown = _token(entry)
    shown["top_logprobs"] = [_token(other) for other in entry.get("top_logprobs") or () if isinstance(other, dict)]
    return shown


def _token(entry: Json) -> Json:
    logprob, raw = entry.get("logprob"), entry.get("bytes")
    return {
        "token": str(entry.get("token") or ""),
        "logprob": logprob if isinstance(logprob, int | float) else 0.0,
        "bytes": raw if isinstance(raw, list) else [],
    }


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
