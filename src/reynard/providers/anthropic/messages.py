"""The turns of a request as the Messages API has them: https://platform.claude.com/docs/en/api/messages.

Instructions, wherever they stand, become the one `system`. Turns alternate: neighbours of one role are one turn, the
results of tools come first in theirs. Anthropic refuses texts with nothing in them, an assistant's turn at the
beginning, and white space at the end of an answer that it is to go on with; the first are left out, a turn of the user
that is missing or has nothing left is `.`, the last is cut off.
"""

import binascii
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from reynard.core.errors import GenerationError
from reynard.core.formats import TYPE_OF_FORMAT
from reynard.core.media import Media, Resolved
from reynard.core.messages import (
    AskedCall,
    AssistantMessage,
    Block,
    CustomToolCall,
    DeveloperMessage,
    FileBlock,
    FileBytes,
    FileLinkBlock,
    FunctionMessage,
    FunctionToolCall,
    ImageBlock,
    Json,
    Message,
    RefusalBlock,
    SystemMessage,
    TextBlock,
    ToolMessage,
    UserMessage,
)
from reynard.core.reasoning import ANTHROPIC, own

NOTHING_SAID: Final[Json] = {"type": "text", "text": "."}
IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
PDF: Final = "application/pdf"
TEXTS: Final = frozenset(
    {
        "application/json",
        "application/xml",
        "application/yaml",
        "application/x-yaml",
        "application/toml",
        "application/javascript",
        "application/x-ndjson",
    }
)
"""Types that are text, beside `text/…`."""

_NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")
_objects = msgspec.json.Decoder(dict[str, Any])


def refuses(messages: tuple[Message, ...]) -> bool:
    """Whether there is a turn among them that Anthropic has no form for: OpenAI's oldest calls and results, calls of
    free-form tools, spoken answers, and instructions that are no text."""
    return any(map(_is_refused, messages))


def _is_refused(message: Message) -> bool:
    match message:
        case FunctionMessage():
            return True
        case AssistantMessage():
            custom = any(isinstance(call, CustomToolCall) for call in message.tool_calls or ())
            return custom or message.function_call is not None or message.audio is not None
        case SystemMessage(content=tuple(blocks)) | DeveloperMessage(content=tuple(blocks)):
            return not all(isinstance(block, TextBlock) for block in blocks)
        case _:
            return False


def system(said: tuple[Message, ...]) -> list[Json]:
    """All instructions, in their order."""
    return [
        block
        for message in said
        if isinstance(message, SystemMessage | DeveloperMessage)
        for block in _blocks(message.content, {})
    ]


def turns(said: tuple[Message, ...], media: Resolved, *, thoughts: bool) -> list[Json]:
    """Everything else, user and assistant by turns; with the thoughts that Anthropic has signed if `thoughts`.

    Raises `GenerationError` for media of a type that Anthropic does not take.
    """
    found: list[Json] = []
    for role, blocks in _spoken(said, media, thoughts, Ids()):
        if found and found[-1]["role"] == role:
            found[-1]["content"] += blocks
        else:
            found.append({"role": role, "content": blocks})
    if not found or found[0]["role"] == "assistant":
        found.insert(0, {"role": "user", "content": []})
    for turn in found:
        turn["content"] = sorted(turn["content"], key=_is_no_result) or [NOTHING_SAID]
    last = found[-1]["content"][-1]
    if found[-1]["role"] == "assistant" and last["type"] == "text":
        last["text"] = last["text"].rstrip()
    return found


def _spoken(said: tuple[Message, ...], media: Resolved, thoughts: bool, ids: "Ids") -> Iterator[tuple[str, list[Json]]]:
    for message in said:
        match message:
            case UserMessage():
                yield "user", list(_blocks(message.content, media))
            case ToolMessage():
                yield "user", [_result(message, media, ids)]
            case AssistantMessage():
                answered = list(_answered(message, ids))
                if answered:  # a turn must not be thoughts alone
                    yield "assistant", [*(signed_thoughts(message) if thoughts else ()), *answered]


def _is_no_result(block: Json) -> bool:
    return bool(block["type"] != "tool_result")


def _result(message: ToolMessage, media: Resolved, ids: "Ids") -> Json:
    content = list(_blocks(message.content, media))
    result: Json = {"type": "tool_result", "tool_use_id": ids.of(message.tool_call_id)}
    return {**result, "content": content} if content else result


def _answered(message: AssistantMessage, ids: "Ids") -> Iterator[Json]:
    if message.content is not None:
        yield from _blocks(message.content, {})
    if message.refusal is not None:
        yield from _blocks(message.refusal, {})
    for call in message.tool_calls or ():
        yield _call(call, ids)


def signed_thoughts(message: AssistantMessage) -> Iterator[Json]:
    """What Anthropic signed or sealed of a turn's thoughts, in its own blocks."""
    for detail in own(message.reasoning_details, ANTHROPIC):
        match detail:
            case {"type": "reasoning.text", "text": str(text), "signature": str(signature)} if signature:
                yield {"type": "thinking", "thinking": text, "signature": signature}
            case {"type": "reasoning.encrypted", "data": str(data)} if data:
                yield {"type": "redacted_thinking", "data": data}


def _call(call: AskedCall, ids: "Ids") -> Json:
    """A function call; `refuses` lets no other pass."""
    if not isinstance(call, FunctionToolCall):
        raise TypeError("only a function call has a form here")
    return {
        "type": "tool_use",
        "id": ids.of(call.id),
        "name": call.function.name,
        "input": _input(call.function.arguments),
    }


def _input(arguments: str) -> Json | msgspec.Raw:
    """The arguments as the object that Anthropic wants: just as they are if they are one, none if they are empty, and
    otherwise, as the model got them wrong, as the one argument `arguments`."""
    if not arguments.strip():
        return {}
    try:
        _objects.decode(arguments)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {"arguments": arguments}
    return msgspec.Raw(arguments.encode("utf-8"))


class Ids:
    """The ids of the calls of one request: the same for a call and its result, and for no other call."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}
        self._taken: dict[str, int] = {}  # and how many came to it

    def of(self, said: str) -> str:
        """`call_id`, with a number behind it where another id of the request came to the same."""
        if said not in self._given:
            plain = found = call_id(said)
            while found in self._taken:
                self._taken[plain] += 1
                found = f"{plain}_{self._taken[plain]}"
            self._given[said] = found
            self._taken[found] = 1
        return self._given[said]


def call_id(said: str) -> str:
    """The id of a tool call as Anthropic takes it (`^[a-zA-Z0-9_-]+$`), the same for the call and its result; one that
    came from there is what it was."""
    plain = _NOT_IN_AN_ID.sub(lambda found: f"_{ord(found[0]):x}_", said) or "_"
    return f"toolu_{plain.removeprefix('call_')}" if plain.startswith("call_") else plain


def _blocks(content: str | Iterable[Block | RefusalBlock], media: Resolved) -> Iterator[Json]:
    """Without texts that have nothing in them."""
    if isinstance(content, str):
        content = (TextBlock(text=content),)
    for block in content:
        match block:
            case TextBlock(text=text, cache_control=cache) if text.strip():
                yield _cached({"type": "text", "text": text}, cache)
            case RefusalBlock(refusal=text) if text.strip():
                yield {"type": "text", "text": text}
            case ImageBlock(image_url=link, cache_control=cache):
                yield _cached({"type": "image", "source": _image(media[link.url])}, cache)
            case FileLinkBlock(file_url=link, cache_control=cache):
                yield _cached({"type": "document", "source": _document(media[link.url])}, cache)
            case FileBlock(file=file, cache_control=cache):
                yield _cached(_file(file, media), cache)
            case TextBlock() | RefusalBlock():
                pass
            case _:
                raise _not_taken(block.__class__.__name__.removesuffix("Block").lower())


def _cached(block: Json, cache: Json | None) -> Json:
    return block if cache is None else {**block, "cache_control": cache}


def _file(file: FileBytes, media: Resolved) -> Json:
    block: Json = {"type": "document", "source": _document(media[file.file_data or file.file_id or ""])}
    return {**block, "title": file.filename} if file.filename else block


def _image(image: Media) -> Json:
    if image.url is not None:
        return {"type": "url", "url": image.url}
    media_type = TYPE_OF_FORMAT.get(image.format, image.type)  # `image/jpg` is one that many say
    if media_type not in IMAGES:
        raise _not_taken(f"{image.format} image")
    return {"type": "base64", "media_type": media_type, "data": image.data}


def _document(document: Media) -> Json:
    """A PDF as it is, a text as text."""
    if document.url is not None:
        return {"type": "url", "url": document.url}
    if document.type == PDF:
        return {"type": "base64", "media_type": PDF, "data": document.data}
    if not document.type.startswith("text/") and document.type not in TEXTS:
        raise _not_taken(f"{document.format or 'unknown'} file")
    try:
        text = binascii.a2b_base64(document.data or "").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise GenerationError(
            "invalid_parameters", "A text file of the request is not UTF-8. Send it as UTF-8."
        ) from None
    return {"type": "text", "media_type": "text/plain", "data": text}


def _not_taken(what: str) -> GenerationError:
    return GenerationError("invalid_parameters", f"The provider takes no {what[:100]}.", failover=True)
