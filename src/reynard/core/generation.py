"""The canonical request: whatever form a client used, this is what the rules check and the codecs encode."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from msgspec.structs import astuple

from reynard.core.messages import Json, Message, Name, ResponseFormat, StreamOptions, TextBlock, Tool

Penalty = Annotated[float, Meta(ge=-2, le=2)]
Messages = Annotated[tuple[Message, ...], Meta(min_length=1)]


class Generation(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What is asked of a model, in the words of OpenAI Chat; None is "not said".

    `reasoning` is this gateway's own word (spec section 1): think first, or do not; each channel has its spelling.
    `reasoning_budget`, in tokens, is Anthropic's and Google's word for how much; `core.reasoning` turns it into an
    effort where a channel has only that.
    """

    model: Name
    messages: Messages
    stream: bool = False
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: str | Annotated[tuple[str, ...], Meta(max_length=16)] | None = None
    seed: int | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    reasoning: bool | None = None
    reasoning_effort: Annotated[str, Meta(min_length=1, max_length=32)] | None = None
    reasoning_budget: Annotated[int, Meta(ge=0)] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    response_format: ResponseFormat | None = None
    tools: tuple[Tool, ...] | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    functions: tuple[Json, ...] | None = None
    function_call: str | Json | None = None
    modalities: tuple[str, ...] | None = None
    audio: Json | None = None
    prediction: Json | None = None
    web_search_options: Json | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None

    @property
    def output_limit(self) -> int | None:
        """The most tokens to produce, by either of OpenAI's two names for it."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def wants_usage(self) -> bool:
        """Whether the client asked for a usage chunk in its stream."""
        return self.stream_options is not None and self.stream_options.include_usage is True


MAX_JSON_DEPTH = 64
FLAT = frozenset({str, int, float, bool, type(None)})
OPEN_FIELDS = (
    "messages",
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "response_format",
    "audio",
    "prediction",
    "web_search_options",
)
"""Fields that hold JSON of the client's own making, whose nesting is bounded by `MAX_JSON_DEPTH`."""


def weight(generation: "Generation") -> int:
    """What the request's texts and inline media come to, in characters: roughly the bytes that it holds in memory."""
    return sum(_weight(message.content) for message in generation.messages)


def _weight(content: Any) -> int:
    if content is None or isinstance(content, str):
        return len(content or "")
    return sum([len(block.text) if isinstance(block, TextBlock) else sum(map(len, _texts(block))) for block in content])


def _texts(block: Struct) -> Iterator[str]:
    for value in astuple(block):
        if isinstance(value, str):
            yield value
        elif isinstance(value, Struct):
            yield from _texts(value)


def too_deep(value: Any, room: int = MAX_JSON_DEPTH) -> bool:
    """Whether `value` nests deeper than `room`: what was decoded must also be encodable, further down the stack."""
    inner: Iterable[Any]
    if isinstance(value, Struct):
        inner = astuple(value)
    elif isinstance(value, dict):
        inner, room = value.values(), room - 1
    elif isinstance(value, (list, tuple)):
        inner, room = value, room - 1
    else:
        return False
    if room < 0:
        return True
    for item in inner:
        if type(item) in FLAT:
            continue
        if too_deep(item, room):
            return True
    return False
