"""What servers of the openai dialect really send. Each type is one of `core.chat` with what some leave out or spell
otherwise; `codec` puts a decoded value right in place, so that nothing is copied.

A default given as a factory is always written out again (see `core.chat`).
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from reynard.core.chat import (
    Answer,
    CalledFunction,
    Choice,
    Chunk,
    ChunkChoice,
    Completion,
    Delta,
    FunctionDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)


def _no_choices() -> list[Any]:
    """Not `list` itself, whose empty value msgspec would leave out."""
    return []


class WireFunctionDelta(FunctionDelta, kw_only=True, omit_defaults=True):
    """Ollama sends arguments as an object."""

    arguments: str | dict[str, Any] | None = None  # type: ignore[assignment]


class WireToolCallDelta(ToolCallDelta, kw_only=True, omit_defaults=True):
    """`index` is left out by some."""

    index: int | None = field(default_factory=lambda: None)  # type: ignore[assignment]
    function: WireFunctionDelta | None = None


class WireDelta(Delta, kw_only=True, omit_defaults=True):
    """OpenRouter and newer vLLM say `reasoning`, and content may come in parts."""

    content: str | list[dict[str, Any]] | None = None  # type: ignore[assignment]
    reasoning: str | None = None
    tool_calls: list[WireToolCallDelta] | None = None  # type: ignore[assignment]


class WireChunkChoice(ChunkChoice, kw_only=True, omit_defaults=True):
    """Moonshot puts the usage of a stream into its last choice; OpenRouter has an error in one."""

    index: int | None = field(default_factory=lambda: None)  # type: ignore[assignment]
    delta: WireDelta | None = field(default_factory=WireDelta)  # type: ignore[assignment]
    finish_reason: str | None = field(default_factory=lambda: None)
    usage: Any = None
    error: Any = None


class WireChunk(Chunk, kw_only=True, omit_defaults=True):
    """A chunk, or an error event in its place. Its id, time and model are this gateway's to give."""

    id: Any = ""
    object: Any = field(default_factory=lambda: "chat.completion.chunk")
    created: Any = 0
    model: Any = ""
    choices: list[WireChunkChoice] | None = field(default_factory=_no_choices)  # type: ignore[assignment]
    usage: Any = None
    error: Any = None


def _zero() -> int:
    return 0


def _none() -> None:
    return None


class TextOfDelta(TextDelta, kw_only=True, omit_defaults=True):
    """A delta that needs nothing put right. What has more in it than is told here, is no such chunk."""

    reasoning: None = None


class TextOfChoice(ChunkChoice, kw_only=True, omit_defaults=True):
    """A choice with such a delta, which goes on."""

    index: int = field(default_factory=_zero)
    delta: TextOfDelta
    logprobs: None = None
    finish_reason: None = field(default_factory=_none)
    usage: None = None
    error: None = None


class TextOfChunk(Chunk, kw_only=True, omit_defaults=True):
    """A chunk with one such choice."""

    id: Any = ""
    object: Literal["chat.completion.chunk"] = field(default_factory=lambda: "chat.completion.chunk")
    created: Any = 0
    model: Any = ""
    choices: Annotated[list[TextOfChoice], Meta(min_length=1, max_length=1)]  # type: ignore[assignment]
    usage: None = None
    error: None = None


class WireCalledFunction(CalledFunction, kw_only=True):
    """Ollama sends arguments as an object; some leave them out when there are none."""

    arguments: str | dict[str, Any] | None = field(default_factory=lambda: None)  # type: ignore[assignment]


class WireToolCall(ToolCall, kw_only=True, omit_defaults=True):
    """As `WireCalledFunction`."""

    id: str | None = field(default_factory=str)  # type: ignore[assignment]
    function: WireCalledFunction | None = None


class WireAnswer(Answer, kw_only=True, omit_defaults=True):
    """As `WireDelta`."""

    content: str | list[dict[str, Any]] | None = field(default_factory=lambda: None)  # type: ignore[assignment]
    reasoning: str | None = None
    tool_calls: list[WireToolCall] | None = None  # type: ignore[assignment]


class WireChoice(Choice, kw_only=True, omit_defaults=True):
    """`finish_reason` is null with some; OpenRouter has an error in one."""

    index: int | None = field(default_factory=lambda: None)  # type: ignore[assignment]
    message: WireAnswer
    finish_reason: str | None = field(default_factory=lambda: None)  # type: ignore[assignment]
    error: Any = None


class WireCompletion(Completion, kw_only=True, omit_defaults=True):
    """A body of status 200; some providers put an error into one."""

    id: Any = ""
    object: Any = field(default_factory=lambda: "chat.completion")
    created: Any = 0
    model: Any = ""
    choices: list[WireChoice] | None = field(default_factory=_no_choices)  # type: ignore[assignment]
    usage: Any = None
    error: Any = None


class WireError(Struct):
    """The error bodies in use: OpenAI's object, a bare string, FastAPI's `detail`, a `message` at the top."""

    error: Any = None
    detail: Any = None
    message: Any = None
    code: Any = None
    type: Any = None
