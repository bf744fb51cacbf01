"""The Response object: what a task of this gateway looks like to a client of the Responses API."""

from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from reynard.core.chat import Usage

Json = dict[str, Any]
Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]

ID_PREFIX: Final = "resp_"
SERVICE_TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})
INCOMPLETE: Final[dict[str, Literal["max_output_tokens", "content_filter"]]] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
}
"""Finish reasons of a chat that leave an answer incomplete."""

ERROR_CODES: Final[dict[str, str]] = {
    "content_policy_violation": "invalid_prompt",
    "context_length_exceeded": "context_length_exceeded",
    "invalid_parameters": "invalid_prompt",
    "media_fetch_failed": "invalid_prompt",
    "media_too_large": "invalid_prompt",
    "upstream_rate_limited": "rate_limit_exceeded",
}
"""OpenAI's words for the codes of a failed task; `server_error` for the others. `context_length_exceeded` is not in
its SDK's list, and is what it sends: agents shorten the conversation when they see it."""


class Repeated(Struct, kw_only=True, frozen=True):
    """What a Response object repeats of its request. The defaults stand where that is no longer known: the request of
    a task is not kept with it, so an answer in the background, which is read again later, never has more."""

    instructions: str | None = None
    max_output_tokens: int | None = None
    metadata: dict[str, str] = {}
    parallel_tool_calls: bool = True
    prompt_cache_key: str | None = None
    reasoning: Json = msgspec.field(default_factory=lambda: {"effort": None, "summary": None})
    safety_identifier: str | None = None
    store: bool = True
    temperature: float | None = None
    text: Json = msgspec.field(default_factory=lambda: {"format": {"type": "text"}})
    tool_choice: str | Json = "auto"
    tools: list[Json] = []
    top_logprobs: int | None = None
    top_p: float | None = None
    truncation: Literal["disabled"] = "disabled"
    user: str | None = None


class Failure(Struct, frozen=True):
    """Why there is no answer: OpenAI's code, and this gateway's own as the type."""

    code: str
    message: str
    type: str


class Incomplete(Struct, frozen=True):
    """Why an answer stops short."""

    reason: Literal["max_output_tokens", "content_filter"]


class Response(Repeated, kw_only=True, frozen=True):
    """`object: response`. Times are Unix seconds."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: Status
    background: bool
    model: str
    output: list[Json] = []
    error: Failure | None = None
    incomplete_details: Incomplete | None = None
    previous_response_id: None = None
    service_tier: str | None = None
    usage: Json | None = None


class Frame(Struct, frozen=True, kw_only=True):
    """What every Response object of one task has in common."""

    task_id: str
    created: int
    model: str
    background: bool
    known: Repeated = Repeated()

    def show(self, status: Status, **fields: Any) -> Response:
        """The object in `status`."""
        return Response(
            **asdict(self.known),
            id=f"{ID_PREFIX}{self.task_id}",
            created_at=self.created,
            status=status,
            background=self.background,
            model=self.model,
            **fields,
        )


def task_of(response_id: str) -> str | None:
    """The task behind a response's id, or None for what is no such id."""
    return response_id[len(ID_PREFIX) :] if response_id.startswith(ID_PREFIX) else None


def failure(code: str, message: str) -> Failure:
    """A failed task's error."""
    return Failure(ERROR_CODES.get(code, "server_error"), message, code)


def usage(counted: Usage | None) -> Json | None:
    """Tokens, under the names of the Responses API."""
    if counted is None:
        return None
    asked, said = counted.prompt_tokens_details, counted.completion_tokens_details
    return {
        "input_tokens": counted.prompt_tokens,
        "input_tokens_details": {
            "cache_write_tokens": _count(asked, "cache_write_tokens"),
            "cached_tokens": _count(asked, "cached_tokens"),
        },
        "output_tokens": counted.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": _count(said, "reasoning_tokens")},
        "total_tokens": counted.total_tokens,
    }


def _count(details: Json | None, name: str) -> int:
    """A number of tokens; the providers' details are passed on unread, and may hold anything."""
    value = (details or {}).get(name)
    return int(value) if isinstance(value, int | float) and 0 <= value < 2**53 else 0
