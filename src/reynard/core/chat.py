"""What a model answers: the OpenAI ChatCompletion and its chunks, as this gateway hands them on.

`reasoning_details` beside `reasoning_content` holds what a provider wants back, unread, so that a turn with tools can
go on: thoughts with their signature, or a signature alone (`core.reasoning`).

Encoding is exact: the same bytes for the same value. A default given as a factory is always written out; msgspec leaves
out only the plain ones.
"""

from typing import Any, Literal

import msgspec
from msgspec import Struct

Json = dict[str, Any]


class Usage(Struct, kw_only=True, omit_defaults=True):
    """Tokens, as the provider counted them; `estimated`: it did not, and they were counted here."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: Json | None = None
    completion_tokens_details: Json | None = None
    estimated: bool = False


class CalledFunction(Struct, kw_only=True):
    """A finished call; `arguments` is JSON text exactly as the model wrote it."""

    name: str
    arguments: str


class ToolCall(Struct, kw_only=True, omit_defaults=True):
    """One tool call of an answer."""

    id: str
    function: CalledFunction | None = None
    custom: Json | None = None
    type: str = msgspec.field(default_factory=lambda: "function")


class Answer(Struct, kw_only=True, omit_defaults=True):
    """The message of a choice. `content` is always there, null when the model said nothing."""

    role: str = msgspec.field(default_factory=lambda: "assistant")
    content: str | None
    reasoning_content: str | None = None
    reasoning_details: list[Json] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: CalledFunction | None = None
    annotations: list[Json] | None = None
    audio: Json | None = None
    images: list[Json] | None = None


class Choice(Struct, kw_only=True, omit_defaults=True):
    """One candidate."""

    index: int
    message: Answer
    finish_reason: str
    logprobs: Json | None = None


class Completion(Struct, kw_only=True, omit_defaults=True):
    """The whole answer: `chat.completion`."""

    id: str
    object: Literal["chat.completion"] = msgspec.field(default_factory=lambda: "chat.completion")
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None


class FunctionDelta(Struct, kw_only=True, omit_defaults=True):
    """A piece of a call."""

    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(Struct, kw_only=True, omit_defaults=True):
    """A piece of a tool call; pieces with one `index` belong together."""

    index: int
    id: str | None = None
    type: str | None = None
    function: FunctionDelta | None = None
    custom: Json | None = None


class Delta(Struct, kw_only=True, omit_defaults=True):
    """A piece of a message."""

    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    reasoning_details: list[Json] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    function_call: FunctionDelta | None = None
    annotations: list[Json] | None = None
    audio: Json | None = None
    images: list[Json] | None = None


class ChunkChoice(Struct, kw_only=True, omit_defaults=True):
    """A piece of a candidate. `finish_reason` is always there, null until the last piece."""

    index: int
    delta: Delta
    logprobs: Json | None = None
    finish_reason: str | None


class Chunk(Struct, kw_only=True, omit_defaults=True):
    """A piece of an answer: `chat.completion.chunk`."""

    id: str
    object: Literal["chat.completion.chunk"] = msgspec.field(default_factory=lambda: "chat.completion.chunk")
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None


class TextDelta(Delta, kw_only=True, omit_defaults=True):
    """A piece that is text or thoughts, and nothing else: what most are."""

    reasoning_details: None = None
    refusal: None = None
    tool_calls: None = None
    function_call: None = None
    annotations: None = None
    audio: None = None
    images: None = None


encode = msgspec.json.Encoder().encode
