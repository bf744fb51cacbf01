"""How many tokens a request or an answer is, roughly: counted here, for the tokenizers of most models are not public.

The rule: a token for every three bytes of UTF-8 (of texts, names, descriptions, arguments and JSON schemas), and four
more for every turn and every tool; media by the model's own rule (`core.media_tokens`), never as text. Three bytes are
three characters of English or of code, of which tokenizers take 2.5 to 4 for a token, and one of Chinese, Japanese or
Korean, for 0.6 to 1 token. docs/decisions/0014 has the figures.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from reynard.core.chat import Answer, CalledFunction, Completion
from reynard.core.generation import Generation
from reynard.core.media_tokens import MediaTokens, Piece, count
from reynard.core.messages import (
    AssistantMessage,
    AudioBlock,
    CustomTool,
    FileBlock,
    FileLinkBlock,
    FunctionToolCall,
    ImageBlock,
    InputAudioBlock,
    Message,
    RefusalBlock,
    TextBlock,
    Tool,
    VideoBlock,
)

BYTES_A_TOKEN: Final = 3
FRAME: Final = 4
"""Tokens around a turn or a tool."""


def of_texts(texts: Iterable[str | None]) -> int:
    """Tokens of texts, as one."""
    return _tokens(sum(map(_size, texts)))


def of_prompt(generation: Generation, rules: MediaTokens) -> int:
    """Tokens of a request. Never raises, and no media is decoded but for its first bytes."""
    framed = len(generation.messages) + len(generation.tools or ()) + len(generation.functions or ())
    texts: list[str | None] = [*_offered(generation)]
    media = 0
    for message in generation.messages:
        content = message.content
        if isinstance(content, str):
            texts.append(content)
        elif content is not None:
            for block in content:
                if isinstance(block, TextBlock):
                    texts.append(block.text)
                elif isinstance(block, RefusalBlock):
                    texts.append(block.refusal)
                elif (piece := _piece(block)) is not None:
                    media += count(piece, rules)
        texts += _beside_content(message)
    return FRAME * framed + media + of_texts(texts)


def of_answer(completion: Completion, rules: MediaTokens) -> int:
    """Tokens of all that an answer says, of every choice: content, thoughts, refusal, calls, sound, images."""
    return sum(_said_by(choice.message, rules) for choice in completion.choices)


def _tokens(size: int) -> int:
    return -(-size // BYTES_A_TOKEN)


def _size(text: str | None) -> int:
    """Bytes of UTF-8; those of ASCII, which Python knows it to be, need no encoding."""
    if not text:
        return 0
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _beside_content(message: Message) -> Iterable[str | None]:
    if isinstance(message, AssistantMessage):
        return (message.name, *_turn(message))
    return () if message.name is None else (message.name,)


def _offered(generation: Generation) -> Iterator[str | None]:
    """Tools, and the shape of the answer."""
    for tool in generation.tools or ():
        yield from _tool(tool)
    for field in (generation.functions, generation.response_format, generation.prediction):
        if field is not None:
            yield _json(field)


def _turn(message: AssistantMessage) -> Iterator[str | None]:
    """What an earlier answer says beside its content."""
    yield message.refusal
    yield message.reasoning_content or _thoughts(message.reasoning_details)
    for call in message.tool_calls or ():
        if isinstance(call, FunctionToolCall):
            yield from (call.function.name, call.function.arguments)
        else:
            yield from (call.custom.name, call.custom.input)
    if message.function_call is not None:
        yield from (message.function_call.name, message.function_call.arguments)


def _tool(tool: Tool) -> Iterator[str | None]:
    if isinstance(tool, CustomTool):
        yield _json(tool.custom)
        return
    yield tool.function.name
    yield tool.function.description
    yield _json(tool.function.parameters)


def _piece(block: Any) -> Piece | None:
    """The media of a content block."""
    match block:
        case ImageBlock(image_url=link):
            return Piece("image", link.url, link.detail or "auto")
        case VideoBlock(video_url=link):
            return Piece("video", link.url)
        case AudioBlock(audio_url=link):
            return Piece("audio", link.url)
        case FileLinkBlock(file_url=link):
            return Piece("file", link.url)
        case InputAudioBlock(input_audio=sound):
            return Piece("audio", sound.data, bare=True)
        case FileBlock(file=file):
            return Piece("file", file.file_data or file.file_id or "", bare=file.file_data is not None)
        case _:
            return None


def _said_by(answer: Answer, rules: MediaTokens) -> int:
    sound = answer.audio or {}
    media = [Piece("audio", sound["data"], bare=True)] if isinstance(sound.get("data"), str) else []
    media += [Piece("image", url) for image in answer.images or () if (url := _address(image))]
    transcript = sound.get("transcript")
    texts = [answer.content, answer.refusal, answer.reasoning_content or _thoughts(answer.reasoning_details)]
    texts += [transcript] if isinstance(transcript, str) else []
    for call in answer.tool_calls or ():
        texts += _called(call.function) if call.custom is None else [_json(call.custom)]
    return of_texts([*texts, *_called(answer.function_call)]) + sum(count(piece, rules) for piece in media)


def _called(function: CalledFunction | None) -> list[str | None]:
    return [] if function is None else [function.name, function.arguments]


def _address(image: Any) -> str:
    link = image.get("image_url") if isinstance(image, dict) else None
    url = link.get("url") if isinstance(link, dict) else None
    return url if isinstance(url, str) else ""


def _thoughts(details: list[Any] | None) -> str | None:
    """Thoughts that are there in no other way: signed or sealed."""
    return _json(details) if details else None


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
