"""How many tokens a request is, roughly: an estimate made here, for the tokenizers of most models are not public.

The rule: a token for every four bytes of UTF-8 (of texts, names, descriptions, arguments and JSON schemas), four more
for every turn and every tool, 1,600 for an image (what Anthropic counts for one of full size) and 3,000 for a document
(a page, by Anthropic's count).
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from reynard.core.generation import Generation
from reynard.core.messages import (
    AssistantMessage,
    FileBlock,
    FileLinkBlock,
    FunctionTool,
    FunctionToolCall,
    ImageBlock,
    Message,
    TextBlock,
)

BYTES_A_TOKEN: Final = 4
FRAME: Final = 4
IMAGE: Final = 1_600
DOCUMENT: Final = 3_000


class TokenCount(Struct):
    """The answer of `POST /v1/messages/count_tokens`."""

    input_tokens: int


def estimate(generation: Generation) -> int:
    """Tokens of the prompt."""
    texts: list[str] = []
    flat = 0
    for message in generation.messages:
        flat += FRAME + _message(message, texts)
    for tool in generation.tools or ():
        flat += FRAME
        texts += _tool(tool)
    if generation.response_format is not None:
        texts.append(msgspec.json.encode(generation.response_format).decode())
    size = sum(len(text.encode()) for text in texts)
    return flat + -(-size // BYTES_A_TOKEN)


def _message(message: Message, texts: list[str]) -> int:
    """What of `message` has a flat count; its texts go into `texts`."""
    if isinstance(message, AssistantMessage):
        texts.append(message.reasoning_content or "")
        for call in message.tool_calls or ():
            if isinstance(call, FunctionToolCall):
                texts += (call.function.name, call.function.arguments)
    content: Any = message.content
    if isinstance(content, str):
        texts.append(content)
        return 0
    return sum(_block(block, texts) for block in content or ())


def _block(block: Any, texts: list[str]) -> int:
    match block:
        case TextBlock(text=text):
            texts.append(text)
            return 0
        case ImageBlock():
            return IMAGE
        case FileBlock() | FileLinkBlock():
            return DOCUMENT
        case _:
            return 0


def _tool(tool: Any) -> tuple[str, ...]:
    if not isinstance(tool, FunctionTool):
        return ()
    function = tool.function
    return function.name, function.description or "", msgspec.json.encode(function.parameters).decode()
