"""What a key may use: requests and tokens a minute, tasks at once; and what is left of it, as clients are told."""

from math import ceil
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

WINDOW_S: Final = 60.0

Limit = Annotated[int, Meta(ge=1)]
LimitKind = Literal["requests", "tokens", "concurrency"]


class Limits(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of one key; None: no limit. `rpm`: requests, `tpm`: tokens, in any 60 seconds. `concurrency`: tasks at once."""

    rpm: Limit | None = None
    tpm: Limit | None = None
    concurrency: Limit | None = None

    @property
    def are_none(self) -> bool:
        """Whether there is no limit at all."""
        return not self.are_metered and self.concurrency is None

    @property
    def are_metered(self) -> bool:
        """Whether anything is to be counted over time."""
        return self.rpm is not None or self.tpm is not None


class Allowance(Struct, frozen=True, kw_only=True):
    """What a key has left; None where it has no limit. `reset_…_s`: until all of it is there again, if nothing is used.

    `at` (Unix seconds) is when it was so. What is given back or corrected later is found again by it.
    """

    at: float
    limit_requests: int | None = None
    remaining_requests: int | None = None
    reset_requests_s: float | None = None
    limit_tokens: int | None = None
    remaining_tokens: int | None = None
    reset_tokens_s: float | None = None

    def headers(self) -> dict[str, str]:
        """As OpenAI names and writes them (platform.openai.com/docs/guides/rate-limits)."""
        headers: dict[str, str] = {}
        if self.limit_requests is not None:
            headers["x-ratelimit-limit-requests"] = str(self.limit_requests)
            headers["x-ratelimit-remaining-requests"] = str(self.remaining_requests)
            headers["x-ratelimit-reset-requests"] = duration(self.reset_requests_s or 0.0)
        if self.limit_tokens is not None:
            headers["x-ratelimit-limit-tokens"] = str(self.limit_tokens)
            headers["x-ratelimit-remaining-tokens"] = str(self.remaining_tokens)
            headers["x-ratelimit-reset-tokens"] = duration(self.reset_tokens_s or 0.0)
        return headers


def duration(seconds: float) -> str:
    """`120ms`, `1s`, `6m0s`: rounded up, for who comes at that time must not come too early."""
    if seconds < 1:
        milliseconds = ceil(seconds * 1000)
        return f"{milliseconds}ms" if 0 < milliseconds < 1000 else f"{milliseconds // 1000}s"
    minutes, rest = divmod(ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
