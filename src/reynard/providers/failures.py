"""What every dialect makes of a failure: its code, what is said to the caller, and what of the provider's own words may
be repeated. Which failure it was, a dialect tells by status and typed body, never by the words of a message.
"""

from typing import Any, Final

from reynard.core.errors import GenerationError, TaskErrorCode
from reynard.providers.quotes import quoted

OF_STATUS: Final[dict[int, TaskErrorCode]] = {
    400: "invalid_parameters",
    401: "upstream_auth_failed",
    402: "upstream_auth_failed",
    403: "upstream_auth_failed",
    404: "upstream_error",
    408: "generation_timeout",
    409: "upstream_error",
    413: "media_too_large",
    415: "invalid_parameters",
    422: "invalid_parameters",
    425: "upstream_error",
    429: "upstream_rate_limited",
    504: "generation_timeout",
}
OF_MODEL: Final = frozenset({403, 404, 429})
"""By themselves these speak of the model that was asked for: no right to it, no such name, no more of it now. Large
providers meter each model for itself, and give projects the right to some."""
FAILOVER: Final = frozenset({"upstream_auth_failed", "upstream_rate_limited", "upstream_error", "generation_timeout"})
SAYS: Final[dict[TaskErrorCode, str]] = {
    "context_length_exceeded": "The request is longer than the model's context. Shorten it.",
    "content_policy_violation": "The provider refused the content. Change the request.",
    "upstream_auth_failed": "The provider did not accept the gateway's credentials. Tell the gateway's operator.",
    "upstream_rate_limited": "The provider is limiting requests. Try again later.",
    "upstream_error": "The provider failed. Try again later.",
    "generation_timeout": "The provider timed out. Try again later.",
    "invalid_parameters": "The provider refused the request. Change it as it says.",
    "media_fetch_failed": "The provider could not fetch a media source. Check its address.",
    "media_too_large": "The request, or a media source in it, is too large for the provider.",
}
QUOTED: Final = frozenset(
    {
        "context_length_exceeded",
        "content_policy_violation",
        "invalid_parameters",
        "media_fetch_failed",
        "media_too_large",
    }
)
"""Where the provider's reason helps the caller. Elsewhere it speaks of the operator's account, and is kept back."""


def code_of(status: int) -> TaskErrorCode:
    """What an HTTP status that is not 200 tells by itself."""
    return OF_STATUS.get(status, "invalid_parameters" if 400 <= status < 500 else "upstream_error")


def is_of_model(status: int, code: TaskErrorCode) -> bool:
    """Whether `status` says so, and nothing in the body said that it was something else: `code` is what was decoded."""
    return status in OF_MODEL and code == code_of(status)


def failure(code: TaskErrorCode, reason: Any = None, *, of_model: bool = False) -> GenerationError:
    """The failure `code`, with the provider's reason (whatever stood in its place) where that helps the caller.

    `of_model`: see `GenerationError`.
    """
    message = SAYS[code]
    if code in QUOTED and isinstance(reason, str) and reason.strip():
        message = f"{message} It said: {quoted(reason)}"
    return GenerationError(code, message, failover=code in FAILOVER, of_model=of_model)


def garbled() -> GenerationError:
    """An answer that is none."""
    return GenerationError(
        "upstream_error", "The provider sent an answer that cannot be read. Try again.", failover=True
    )


def nothing_said() -> GenerationError:
    """A stream without an answer in it."""
    return GenerationError(
        "generation_failed_no_content", "The provider sent an empty stream. Try again.", failover=True
    )


def cut_short() -> GenerationError:
    """A stream that ended in the middle of its answer."""
    return GenerationError(
        "upstream_error", "The provider's stream ended before the answer did. Try again.", failover=True
    )
