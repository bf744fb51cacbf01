"""A ChatCompletion as the message that it is here."""

from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from reynard.core.chat import Answer, Completion, Json, ToolCall, Usage
from reynard.core.surfaces.messages import thoughts
from reynard.core.surfaces.messages.calls import input_of, shown_id
from reynard.core.surfaces.messages.wire import Thinking

StopReason = Literal["end_turn", "max_tokens", "tool_use", "refusal"]
STOP_REASONS: Final[dict[str, StopReason]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
CACHE_WRITES: Final = ("cache_write_tokens", "cache_creation_tokens")
"""Of `prompt_tokens_details`: OpenRouter's word for tokens written to a cache, and LiteLLM's."""


class _Shown(Struct, kw_only=True, tag_field="type"):
    """A content block of an answer, told by its `type`."""


class TextView(_Shown, kw_only=True, tag="text"):
    """What the model says."""

    text: str


class ThinkingView(_Shown, kw_only=True, tag="thinking"):
    """What it thought; the signature is empty where its provider gives none."""

    thinking: str
    signature: str


class RedactedThinkingView(_Shown, kw_only=True, tag="redacted_thinking"):
    """To be sent back unread."""

    data: str


class ToolUseView(_Shown, kw_only=True, tag="tool_use"):
    """A call of the client's tool."""

    id: str
    name: str
    input: Json


class OutputDetails(Struct, kw_only=True):
    """What of the output was thought."""

    thinking_tokens: int


class UsageView(Struct, kw_only=True):
    """Tokens as Anthropic counts them: what was read from a cache, or written to one, is not among `input_tokens`."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens_details: OutputDetails | UnsetType = UNSET


class MessageView(Struct, kw_only=True):
    """The answer of `POST /v1/messages`."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[TextView | ThinkingView | RedactedThinkingView | ToolUseView]
    stop_reason: StopReason | None
    stop_sequence: str | None = None
    usage: UsageView


def message(completion: Completion) -> bytes:
    """The first choice of `completion`, as JSON."""
    choice = completion.choices[0]
    view = MessageView(
        id=message_id(completion.id),
        model=completion.model,
        content=_content(choice.message, completion.id),
        stop_reason=stop_reason(
            choice.finish_reason, called=bool(choice.message.tool_calls), refused=bool(choice.message.refusal)
        ),
        usage=usage(completion.usage),
    )
    return msgspec.json.encode(view)


def message_id(completion_id: str) -> str:
    """Told by the completion's."""
    return f"msg_{completion_id.removeprefix('chatcmpl-')}"


def stop_reason(finish_reason: str, *, called: bool, refused: bool) -> StopReason:
    """Why it ended. Some providers say `stop` behind a call; an agent waits for `tool_use`."""
    reason = STOP_REASONS.get(finish_reason, "end_turn")
    if reason != "end_turn":
        return reason
    return "tool_use" if called else "refusal" if refused else reason


def usage(counted: Usage | None) -> UsageView:
    """Zeros where the provider did not count."""
    if counted is None:
        return UsageView()
    prompt = counted.prompt_tokens_details or {}
    read = min(_count(prompt.get("cached_tokens")), counted.prompt_tokens)
    written = min(max(_count(prompt.get(word)) for word in CACHE_WRITES), counted.prompt_tokens - read)
    thought = _count((counted.completion_tokens_details or {}).get("reasoning_tokens"))
    return UsageView(
        input_tokens=counted.prompt_tokens - read - written,
        output_tokens=counted.completion_tokens,
        cache_creation_input_tokens=written,
        cache_read_input_tokens=read,
        output_tokens_details=OutputDetails(thinking_tokens=thought) if thought else UNSET,
    )


def picture(image: Json) -> str:
    """An image in an answer: this API has no block for one, so it stands in the text, as Markdown has it."""
    link = image.get("image_url")
    url = link.get("url") if isinstance(link, dict) else None
    return f"![image]({url})" if isinstance(url, str) else ""


def _count(tokens: Any) -> int:
    """A provider's number, if it is one."""
    return int(tokens) if isinstance(tokens, int | float) and 0 <= tokens <= 10**12 else 0


def _content(said: Answer, answer_id: str) -> list[TextView | ThinkingView | RedactedThinkingView | ToolUseView]:
    content: list[TextView | ThinkingView | RedactedThinkingView | ToolUseView] = []
    for block in thoughts.blocks(said.reasoning_content, said.reasoning_details):
        if isinstance(block, Thinking):
            content.append(ThinkingView(thinking=block.thinking, signature=block.signature))
        else:
            content.append(RedactedThinkingView(data=block.data))
    text = "".join([said.content or "", said.refusal or "", *[picture(image) for image in said.images or ()]])
    if text:
        content.append(TextView(text=text))
    content += [_use(call, answer_id, index) for index, call in enumerate(said.tool_calls or ())]
    return content


def _use(call: ToolCall, answer_id: str, index: int) -> ToolUseView:
    function = call.function
    name, arguments = (function.name, function.arguments) if function is not None else ("", "")
    return ToolUseView(id=shown_id(call.id, answer_id, index), name=name, input=input_of(arguments))
