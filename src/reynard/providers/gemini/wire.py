"""What Google sends: a GenerateContentResponse, whole or in pieces. What is not read here is not named here.

Source: https://ai.google.dev/api/generate-content. Everything is optional: the upstream is not trusted.
"""

from typing import Any

from msgspec import Raw, Struct

Number = int | float | None


class WireCall(Struct, rename="camel"):
    """A function call; `args` is an object, kept as it was written."""

    id: str | None = None
    name: str | None = None
    args: Raw = Raw()


class WireBlob(Struct, rename="camel"):
    """Bytes, in base64."""

    mime_type: str | None = None
    data: str | None = None


class WirePart(Struct, rename="camel"):
    """A piece of content; `thought` says that it is a summary of thinking."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: WireCall | None = None
    inline_data: WireBlob | None = None


class WireContent(Struct, rename="camel"):
    """The content of a candidate."""

    parts: list[WirePart] | None = None


class WireToken(Struct, rename="camel"):
    """A token and its logarithmic probability."""

    token: str | None = None
    log_probability: Number | str = None


class WireTop(Struct, rename="camel"):
    """The likeliest tokens of one place."""

    candidates: list[WireToken] | None = None


class WireLogprobs(Struct, rename="camel"):
    """The tokens that were chosen, and those that might have been, place by place."""

    chosen_candidates: list[WireToken] | None = None
    top_candidates: list[WireTop] | None = None


class WireCandidate(Struct, rename="camel"):
    """One answer of several; an index of 0 may be left out."""

    index: int | None = None
    content: WireContent | None = None
    finish_reason: str | None = None
    logprobs_result: WireLogprobs | None = None


class WireUsage(Struct, rename="camel"):
    """Tokens, whatever they may be. In a stream each count is the whole up to there."""

    prompt_token_count: Any = None
    tool_use_prompt_token_count: Any = None
    cached_content_token_count: Any = None
    candidates_token_count: Any = None
    thoughts_token_count: Any = None
    total_token_count: Any = None


class WireFeedback(Struct, rename="camel"):
    """What was thought of the request itself."""

    block_reason: str | None = None
    block_reason_message: str | None = None


class WirePiece(Struct, rename="camel"):
    """A whole answer, or a piece of one; or an error in its place."""

    candidates: list[WireCandidate] | None = None
    prompt_feedback: WireFeedback | None = None
    usage_metadata: Any = None
    response_id: str | None = None
    error: Any = None


class WireFile(Struct, rename="camel"):
    """A file of the Files API."""

    name: str = ""
    uri: str = ""
    state: str = ""
    expiration_time: str | None = None


class WireUploaded(Struct):
    """The answer to an upload."""

    file: WireFile
