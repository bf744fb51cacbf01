"""The `input` of a request: items, as the Responses API has them, to the turns of a chat.

What an assistant did between two turns of others (reasoning, text, calls) is one message of a chat. Labels of items
(`id`, `status`, `phase`), cache breakpoints, annotations and logprobs change nothing in an answer and are left out.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from reynard.core.decoding import LONGEST_NAME, decode_at
from reynard.core.errors import InvalidParam, UnsupportedOptions
from reynard.core.messages import (
    AskedCall,
    AssistantMessage,
    AudioBytes,
    Block,
    CustomCall,
    CustomToolCall,
    DeveloperMessage,
    FileBlock,
    FileBytes,
    FileLinkBlock,
    FunctionCall,
    FunctionToolCall,
    ImageBlock,
    ImageLink,
    InputAudioBlock,
    Json,
    Link,
    Message,
    RefusalBlock,
    SystemMessage,
    TextBlock,
    ToolMessage,
    UserMessage,
)
from reynard.core.surfaces.responses import sealing

CallId = Annotated[str, Meta(min_length=1, max_length=512)]


class _Part(Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    """A piece of content, told by its `type`."""


class InputText(_Part, tag="input_text", frozen=True, kw_only=True):
    """What is said to the model."""

    text: str
    prompt_cache_breakpoint: Json | None = None


class OutputText(_Part, tag="output_text", frozen=True, kw_only=True):
    """What a model said."""

    text: str
    annotations: list[Json] | None = None
    logprobs: list[Json] | None = None


class Refusal(_Part, tag="refusal", frozen=True, kw_only=True):
    """What a model refused to say."""

    refusal: str


class InputImage(_Part, tag="input_image", frozen=True, kw_only=True):
    """An image, by its address or as a data URI."""

    image_url: Annotated[str, Meta(min_length=1)] | None = None
    file_id: str | None = None
    detail: Literal["auto", "low", "high"] | None = None
    prompt_cache_breakpoint: Json | None = None


class InputFile(_Part, tag="input_file", frozen=True, kw_only=True):
    """A document: its bytes, its address, or the id of an uploaded one."""

    file_data: str | None = None
    file_id: str | None = None
    file_url: Annotated[str, Meta(min_length=1)] | None = None
    filename: str | None = None
    detail: Literal["auto"] | None = None
    prompt_cache_breakpoint: Json | None = None


class InputAudio(_Part, tag="input_audio", frozen=True, kw_only=True):
    """A piece of audio."""

    input_audio: AudioBytes


Part = InputText | OutputText | Refusal | InputImage | InputFile | InputAudio
Content = str | tuple[Part, ...]


class _Item(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An item; `id` and `status` are labels."""

    type: str = "message"
    id: str | None = None
    status: str | None = None


class MessageItem(_Item, frozen=True, kw_only=True):
    """A turn of anybody; `type` may be left out."""

    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    phase: str | None = None


class _CallItem(_Item, frozen=True, kw_only=True):
    """A call that the model made; what is null here belongs to tools that run at OpenAI."""

    call_id: CallId
    name: str
    namespace: None = None
    caller: None = None
    async_: None = msgspec.field(default=None, name="async")


class FunctionCallItem(_CallItem, frozen=True, kw_only=True):
    """A call of a function; `arguments` is JSON text as the model wrote it."""

    arguments: str


class CustomCallItem(_CallItem, frozen=True, kw_only=True):
    """A call of a tool with free-form input."""

    input: str


class OutputItem(_Item, frozen=True, kw_only=True):
    """What a call gave, of either kind of tool."""

    call_id: CallId
    output: Content
    name: str | None = None
    namespace: None = None
    caller: None = None


class SummaryText(Struct, frozen=True, kw_only=True, tag_field="type", tag="summary_text", forbid_unknown_fields=True):
    """A part of the summary of what was thought."""

    text: str


class ReasoningText(_Part, tag="reasoning_text", frozen=True, kw_only=True):
    """A part of what was thought."""

    text: str


class PlainText(_Part, tag="text", frozen=True, kw_only=True):
    """The same, as some agents keep it."""

    text: str


class ReasoningItem(_Item, frozen=True, kw_only=True):
    """What the model thought, and what its provider wants back of it."""

    summary: tuple[SummaryText, ...] = ()
    content: tuple[ReasoningText | PlainText, ...] | None = None
    encrypted_content: str | None = None


Item = MessageItem | FunctionCallItem | CustomCallItem | OutputItem | ReasoningItem
KINDS: Final[dict[str, type[Any]]] = {
    "message": MessageItem,
    "function_call": FunctionCallItem,
    "function_call_output": OutputItem,
    "custom_tool_call": CustomCallItem,
    "custom_tool_call_output": OutputItem,
    "reasoning": ReasoningItem,
}
TURNS: Final[dict[str, type[UserMessage | SystemMessage | DeveloperMessage]]] = {
    "user": UserMessage,
    "system": SystemMessage,
    "developer": DeveloperMessage,
}


class _Sign(Struct):
    """What tells an item's kind."""

    type: str | None = "message"


_signs = msgspec.json.Decoder(_Sign)
_items: Final[dict[str, "msgspec.json.Decoder[Item]"]] = {
    name: msgspec.json.Decoder(kind) for name, kind in KINDS.items()
}


class Place(Struct, frozen=True):
    """Where the body has a turn; and its content, where that is one field."""

    item: str
    content: str | None = None


def messages(said: str | Sequence[Raw]) -> Iterator[tuple[Message, Place]]:
    """The turns that `input` amounts to. Raises `InvalidParam`, `UnsupportedOptions`."""
    if isinstance(said, str):
        yield UserMessage(content=said), Place("input")
        return
    turn = _AssistantTurn()
    for index, raw in enumerate(said):
        path = f"input[{index}]"
        item = _item(raw, path)
        if not turn.take(item, path):
            yield from turn.end()
            yield _turn_of(item, path), Place(path, f"{path}.{'output' if isinstance(item, OutputItem) else 'content'}")
    yield from turn.end()


def _item(raw: Raw, path: str) -> Item:
    kind = decode_at(_signs, raw, path).type or "message"
    decoder = _items.get(kind)
    if decoder is not None:
        return decode_at(decoder, raw, path)
    reason = "what it refers to is not kept" if kind == "item_reference" else "it is not an item that is taken here"
    raise UnsupportedOptions(f"`{path}` is of type `{kind[:LONGEST_NAME]}`: {reason}.", param=f"{path}.type")


class _AssistantTurn:
    """What the assistant did since anybody else had a turn."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._begun: str | None = None
        self._said: list[TextBlock | RefusalBlock] = []
        self._calls: list[AskedCall] = []
        self._thoughts: list[str] = []
        self._details: list[Json] = []

    def take(self, item: Item, path: str) -> bool:
        """Whether `item` was the assistant's."""
        match item:
            case MessageItem(role="assistant"):
                self._said += _spoken(item.content, f"{path}.content")
            case FunctionCallItem():
                call = FunctionCall(name=item.name, arguments=item.arguments)
                self._calls.append(FunctionToolCall(id=item.call_id, function=call))
            case CustomCallItem():
                free = CustomCall(name=item.name, input=item.input)
                self._calls.append(CustomToolCall(id=item.call_id, custom=free))
            case ReasoningItem():
                self._thoughts += [part.text for part in item.summary or item.content or ()]
                self._details += sealing.opened(item.encrypted_content, f"{path}.encrypted_content")
            case _:
                return False
        self._begun = self._begun or path
        return True

    def end(self) -> Iterator[tuple[Message, Place]]:
        """The turn, if there was one, with the place of its first item."""
        if self._begun is None:
            return
        message = AssistantMessage(
            content=self._content(),
            tool_calls=tuple(self._calls) or None,
            reasoning_content="".join(self._thoughts) or None,
            reasoning_details=self._details or None,
        )
        yield message, Place(self._begun)
        self._clear()

    def _content(self) -> str | tuple[TextBlock | RefusalBlock, ...] | None:
        match self._said:
            case []:
                return None if self._calls else ""
            case [TextBlock(text=text)]:
                return text
            case parts:
                return tuple(parts)


def _turn_of(item: Item, path: str) -> Message:
    """The turn of anybody but the assistant."""
    match item:
        case OutputItem():
            content = _shown(item.output, f"{path}.output") or ""
            return ToolMessage(content=content, tool_call_id=item.call_id, name=item.name)
        case MessageItem():
            content = _shown(item.content, f"{path}.content")
            if content == ():
                raise InvalidParam(f"`{path}.content` is empty.", param=f"{path}.content")
            return TURNS[item.role](content=content)
        case _:
            raise AssertionError(item)


def _spoken(content: Content, path: str) -> Iterable[TextBlock | RefusalBlock]:
    if isinstance(content, str):
        yield TextBlock(text=content)
        return
    for position, part in enumerate(content):
        match part:
            case InputText() | OutputText():
                yield TextBlock(text=part.text)
            case Refusal():
                yield RefusalBlock(refusal=part.refusal)
            case _:
                where = f"{path}[{position}]"
                raise InvalidParam(f"`{where}`: an assistant says text alone.", param=where)


def _shown(content: Content, path: str) -> str | tuple[Block, ...]:
    if isinstance(content, str):
        return content
    return tuple(_block(part, f"{path}[{position}]") for position, part in enumerate(content))


def _block(part: Part, path: str) -> Block:
    match part:
        case InputText():
            return TextBlock(text=part.text)
        case InputImage():
            return _image(part, path)
        case InputFile():
            return _file(part, path)
        case InputAudio():
            return InputAudioBlock(input_audio=part.input_audio)
        case _:
            raise InvalidParam(f"`{path}`: only an assistant's message has parts of this type.", param=path)


def _image(part: InputImage, path: str) -> Block:
    if part.file_id is not None:
        raise UnsupportedOptions(
            f"`{path}.file_id`: an image is given as `image_url`, an address or a data URI.", param=f"{path}.file_id"
        )
    if part.image_url is None:
        raise InvalidParam(f"`{path}.image_url` is required and missing.", param=f"{path}.image_url")
    return ImageBlock(image_url=ImageLink(url=part.image_url, detail=part.detail))


def _file(part: InputFile, path: str) -> Block:
    given = [source for source in (part.file_data, part.file_id, part.file_url) if source is not None]
    if len(given) != 1:
        raise InvalidParam(f"`{path}` takes one of `file_data`, `file_id` and `file_url`.", param=path)
    if part.file_url is not None:
        return FileLinkBlock(file_url=Link(url=part.file_url))
    return FileBlock(file=FileBytes(file_data=part.file_data, file_id=part.file_id, filename=part.filename))
