"""Results of tools with media in them. OpenAI takes text alone there, so the rest is shown right behind the results.

Source: `ChatCompletionToolMessageParam` of https://platform.openai.com/docs/api-reference/chat.
"""

from collections.abc import Iterator
from typing import Any, Final

from msgspec.structs import replace

from reynard.core.messages import Block, Content, Message, TextBlock, ToolMessage, UserMessage

SHOWN_NEXT: Final = "The result is shown in the next message."


def with_text_alone(said: tuple[Message, ...]) -> tuple[Message, ...]:
    """`said`, where every tool message is text; the very same tuple, if it is so already."""
    return tuple(_spread(said)) if any(_media(message) for message in said) else said


def _spread(said: tuple[Message, ...]) -> Iterator[Message]:
    behind: list[Block] = []
    for message in said:
        if behind and not isinstance(message, ToolMessage):
            yield UserMessage(content=tuple(behind))
            behind = []
        if isinstance(message, ToolMessage) and (media := _media(message)):
            behind += [TextBlock(text=f"The result of the tool call {message.tool_call_id}:"), *media]
            yield replace(message, content=_text(message))
        else:
            yield message
    if behind:
        yield UserMessage(content=tuple(behind))


def _media(message: Message) -> list[Block]:
    if not isinstance(message, ToolMessage) or isinstance(message.content, str):
        return []
    return [block for block in message.content if not isinstance(block, TextBlock)]


def _text(message: ToolMessage) -> Content:
    content: Any = message.content
    return tuple(block for block in content if isinstance(block, TextBlock)) or SHOWN_NEXT
