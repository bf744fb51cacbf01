"""What is read of an answer of the Messages API. All of it may be missing; `answer` and `stream` say what must not be.

Source: https://platform.claude.com/docs/en/api/messages, /docs/en/build-with-claude/streaming.
"""

from typing import Any

from msgspec import Raw, Struct


class WireUsage(Struct):
    """Counts, whatever they may be. In a stream they come twice, and those that came last are the totals."""

    input_tokens: Any = None
    output_tokens: Any = None
    cache_read_input_tokens: Any = None
    cache_creation_input_tokens: Any = None
    output_tokens_details: Any = None
    service_tier: Any = None


class WireBlock(Struct):
    """A content block of any type. `input` stays the JSON text that it came as: it goes on as text."""

    type: str = ""
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = Raw()
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None


class WireMessage(Struct):
    """A whole message, the beginning of one, or an error in its place."""

    content: list[WireBlock] | None = None
    stop_reason: str | None = None
    usage: Any = None
    error: Any = None


class LooseMessage(Struct):
    """A whole message whose blocks are read one by one."""

    content: list[Raw] | None = None
    stop_reason: str | None = None
    usage: Any = None
    error: Any = None


class WireDelta(Struct):
    """A piece of a content block, or what is told of a message at its end."""

    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None


class WireEvent(Struct):
    """One event of a stream."""

    type: str = ""
    index: int = 0
    message: WireMessage | None = None
    content_block: WireBlock | None = None
    delta: WireDelta | None = None
    usage: Any = None
    error: Any = None


class WireKind(Struct):
    """The type of an event, a block or a delta whose rest cannot be read."""

    type: str = ""


class LooseEvent(Struct):
    """An event whose block or delta is read by itself."""

    type: str = ""
    index: int = 0
    content_block: Raw = Raw()
    delta: Raw = Raw()


class WireFailure(Struct):
    """The body of an error; Vertex AI puts some into an array."""

    error: Any = None
