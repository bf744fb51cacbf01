"""The turns of a request as OpenAI Chat has them: its own blocks for media, and what each relative calls them."""

from collections.abc import Iterable
from typing import Any, TypeVar

from msgspec.structs import replace

from reynard.core.channels import Quirks
from reynard.core.media import Media, Resolved
from reynard.core.messages import (
    AssistantMessage,
    AudioBlock,
    AudioBytes,
    Block,
    FileBlock,
    FileBytes,
    FileLinkBlock,
    ImageBlock,
    InputAudioBlock,
    Link,
    Message,
    RefusalBlock,
    Tool,
    VideoBlock,
)
from reynard.providers.openai.results import with_text_alone

T = TypeVar("T")


def messages(said: tuple[Message, ...], quirks: Quirks, media: Resolved) -> tuple[Message, ...]:
    """`said`, in the channel's own words; the very same tuple, if there is nothing to change."""
    if not quirks.takes_reasoning_back and any(map(_has_thoughts, said)):
        said = tuple(_without_thoughts(message) for message in said)
    if not quirks.cache_control and any(map(_has_hints, said)):
        said = tuple(_without_hints(message) for message in said)
    if not media:
        return said
    return tuple(_with_media(message, quirks, media) for message in with_text_alone(said))


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


def _without_thoughts(message: Message) -> Message:
    if not _has_thoughts(message):
        return message
    return replace(message, reasoning_content=None, reasoning_details=None)


def _with_media(message: Message, quirks: Quirks, media: Resolved) -> Message:
    content: Any = message.content
    if content is None or isinstance(content, str):
        return message
    return replace(message, content=tuple(_blocks(content, quirks, media)))


def _blocks(content: Iterable[Block | RefusalBlock], quirks: Quirks, media: Resolved) -> Iterable[Block | RefusalBlock]:
    for block in content:
        match block:
            case ImageBlock(image_url=link):
                yield replace(block, image_url=replace(link, url=media[link.url].uri))
            case VideoBlock(video_url=link):
                yield VideoBlock(video_url=Link(url=media[link.url].uri))
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


def _audio(audio: Media, quirks: Quirks) -> Block:
    if quirks.audio == "audio_url" or audio.data is None:
        return AudioBlock(audio_url=Link(url=audio.uri))
    return InputAudioBlock(input_audio=AudioBytes(data=audio.data, format=audio.format))


def _file(document: Media, name: str | None) -> FileBytes:
    return FileBytes(file_data=document.uri, filename=name or f"document.{document.format}")
