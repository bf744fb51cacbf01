"""The turns of a request as OpenAI Chat has them: its own blocks for media, and what each relative calls them."""

from collections.abc import Iterable
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from reynard.core.channels import Quirks
from reynard.core.media import Media, Resolved
from reynard.core.messages import (
    AskedCall,
    AssistantMessage,
    AudioBlock,
    AudioBytes,
    Block,
    DeveloperMessage,
    FileBlock,
    FileBytes,
    FileLinkBlock,
    FunctionCall,
    ImageBlock,
    InputAudioBlock,
    Json,
    Link,
    Message,
    RefusalBlock,
    Said,
    SystemMessage,
    TextBlock,
    Tool,
    VideoBlock,
)
from reynard.providers.openai.leftovers import without_leftovers
from reynard.providers.openai.results import with_text_alone

T = TypeVar("T")

JOINED: Final = (SystemMessage, DeveloperMessage, AssistantMessage)
SentBlock = Any
"""A block of the client's, or one that only this server has."""


class InputVideoBlock(Struct, frozen=True, kw_only=True, tag_field="type", tag="input_video"):
    """llama.cpp's form of a video: base64, as audio has it."""

    input_video: dict[str, str]


class Reasoned(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="role", tag="assistant"):
    """An assistant's turn for a server that calls its thoughts `reasoning`."""

    content: Said | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: tuple[AskedCall, ...] | None = None
    function_call: FunctionCall | None = None
    reasoning: str | None = None
    reasoning_details: list[Json] | None = None
    audio: Json | None = None
    annotations: list[Json] | None = None


Sent = Message | Reasoned


def messages(said: tuple[Message, ...], quirks: Quirks, media: Resolved) -> tuple[Sent, ...]:
    """`said`, in the channel's own words; the very same tuple, if there is nothing to change."""
    said = without_leftovers(said, quirks)
    if not quirks.developer or quirks.joins_text:
        said = tuple(_plainly(message, quirks) for message in said)
    if not quirks.cache_control and any(map(_has_hints, said)):
        said = tuple(_without_hints(message) for message in said)
    if media:
        said = tuple(_with_media(message, quirks, media) for message in with_text_alone(said))
    if any(map(_has_thoughts, said)):
        return tuple(_with_thoughts(message, quirks) for message in said)
    return said


def _plainly(message: Message, quirks: Quirks) -> Message:
    """The role and the text of a turn, where a server takes fewer forms of them."""
    if isinstance(message, DeveloperMessage) and not quirks.developer:
        message = SystemMessage(content=message.content, name=message.name)
    if quirks.joins_text and isinstance(message, JOINED) and isinstance(message.content, tuple):
        texts = [block.text for block in message.content if isinstance(block, TextBlock)]
        if len(texts) == len(message.content):
            return replace(message, content="\n".join(texts))
    return message


def tools(said: tuple[Tool, ...], quirks: Quirks) -> tuple[Tool, ...]:
    """`said`, without hints for a cache that the channel has no word for."""
    return said if quirks.cache_control else tuple(_without_hint(tool) for tool in said)


def _has_hints(message: Message) -> bool:
    content: Any = message.content
    return isinstance(content, tuple) and any(_hint(block) is not None for block in content)


def _without_hints(message: Message) -> Message:
    if not _has_hints(message):
        return message
    content: Any = message.content
    return replace(message, content=tuple(_without_hint(block) for block in content))


def _without_hint(said: T) -> T:
    return said if _hint(said) is None else replace(said, cache_control=None)  # type: ignore[type-var]


def _hint(said: object) -> object:
    return getattr(said, "cache_control", None)


def _has_thoughts(message: Message) -> bool:
    return isinstance(message, AssistantMessage) and bool(message.reasoning_content or message.reasoning_details)


def _with_thoughts(message: Message, quirks: Quirks) -> Sent:
    """The thoughts of an earlier turn, under the server's name for them, or left out."""
    if not isinstance(message, AssistantMessage) or not _has_thoughts(message):
        return message
    details = message.reasoning_details if quirks.takes_details else None
    thoughts = message.reasoning_content if quirks.takes_reasoning_back else None
    if quirks.thoughts == "reasoning_content":
        return replace(message, reasoning_content=thoughts, reasoning_details=details)
    kept = {field: getattr(message, field) for field in Reasoned.__struct_fields__ if hasattr(message, field)}
    return Reasoned(**{**kept, "reasoning": thoughts, "reasoning_details": details})


def _with_media(message: Message, quirks: Quirks, media: Resolved) -> Message:
    content: Any = message.content
    if content is None or isinstance(content, str):
        return message
    return replace(message, content=tuple(_blocks(content, quirks, media)))


def _blocks(content: Iterable[Block | RefusalBlock], quirks: Quirks, media: Resolved) -> Iterable[SentBlock]:
    for block in content:
        match block:
            case ImageBlock(image_url=link):
                yield replace(block, image_url=replace(link, url=media[link.url].uri))
            case VideoBlock(video_url=link):
                yield _video(media[link.url], quirks)
            case AudioBlock(audio_url=link):
                yield _audio(media[link.url], quirks)
            case InputAudioBlock(input_audio=audio):
                yield _audio(media[audio.data], quirks)
            case FileLinkBlock(file_url=link):
                yield FileBlock(file=_file(media[link.url], None), cache_control=block.cache_control)
            case FileBlock(file=FileBytes(file_data=str(data), filename=name)):
                yield replace(block, file=_file(media[data], name))
            case _:
                yield block


def _video(video: Media, quirks: Quirks) -> SentBlock:
    if quirks.video == "video_url" or video.data is None:
        return VideoBlock(video_url=Link(url=video.uri))
    return InputVideoBlock(input_video={"data": video.data})


def _audio(audio: Media, quirks: Quirks) -> Block:
    if quirks.audio == "audio_url" or audio.data is None:
        return AudioBlock(audio_url=Link(url=audio.uri))
    return InputAudioBlock(input_audio=AudioBytes(data=audio.data, format=audio.format))


def _file(document: Media, name: str | None) -> FileBytes:
    return FileBytes(file_data=document.uri, filename=name or f"document.{document.format}")
