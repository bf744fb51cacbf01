"""Failures of the openai dialect, told by status and typed body; never by the words of a message.

Sources: https://platform.openai.com/docs/guides/error-codes, OpenRouter's errors page, llama.cpp's server README.
"""

import re
from typing import Any, Final

import msgspec

from reynard.core.errors import GenerationError, TaskErrorCode
from reynard.providers.openai.wire import WireError

OF_CODE: Final[dict[str, TaskErrorCode]] = {
    "context_length_exceeded": "context_length_exceeded",
    "exceed_context_size_error": "context_length_exceeded",  # llama.cpp
    "string_above_max_length": "context_length_exceeded",
    "content_filter": "content_policy_violation",
    "content_policy_violation": "content_policy_violation",
    "moderation_blocked": "content_policy_violation",
    "invalid_api_key": "upstream_auth_failed",
    "invalid_authentication_error": "upstream_auth_failed",  # Moonshot
    "authentication_error": "upstream_auth_failed",
    "permission_error": "upstream_auth_failed",
    "insufficient_quota": "upstream_rate_limited",
    "exceeded_current_quota_error": "upstream_rate_limited",  # Moonshot
    "rate_limit_exceeded": "upstream_rate_limited",
    "rate_limit_error": "upstream_rate_limited",
    "rate_limit_reached_error": "upstream_rate_limited",  # Moonshot
    "engine_overloaded_error": "upstream_rate_limited",  # Moonshot
    "server_error": "upstream_error",
    "invalid_image_url": "media_fetch_failed",
    "image_too_large": "media_too_large",
}
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

_LONGEST_QUOTE: Final = 500
_SECRET = re.compile(
    r"\bBearer\s+\S+"
    r"|\b(?:sk|pk|rk|gsk|xai|hf|nvapi|key)[-_][\w*.-]{6,}"
    r"|\b(?:AIza|eyJ)[\w.-]{10,}"
    r"|\b(?=[\w-]*\d)(?=[\w-]*[a-z])[\w-]{32,}"
    r"|https?://\S+"
    r"|\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?"
    r"|\[[0-9a-f:.]*:[0-9a-f:.]*\](?::\d+)?"
    r"|\b(?=[\w.-]*[a-z])[\w-]+(?:\.[\w-]+)*:\d{2,5}\b"
    r"|\b[\w-]+(?:\.[\w-]+)*\.(?:internal|local|localdomain|lan|corp|svc|cluster)\b",
    re.IGNORECASE,
)
_errors = msgspec.json.Decoder(WireError | list[WireError])


def of_status(status: int, body: bytes) -> GenerationError:
    """The failure behind an HTTP status that is not 200."""
    try:
        decoded = _errors.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _error(status, None)
    if isinstance(decoded, list):
        decoded = decoded[0] if decoded else WireError()
    if decoded.error is not None:
        return _error(status, decoded.error)
    reason = decoded.message or _faults(decoded.detail)
    return _error(status, {"message": reason, "code": decoded.code, "type": decoded.type})


def _faults(detail: Any) -> Any:
    """FastAPI's list of `{"loc", "msg"}` as a sentence; anything else as it is."""
    if not isinstance(detail, list):
        return detail
    return "; ".join(
        f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
        for fault in detail
        if isinstance(fault, dict) and isinstance(fault.get("loc"), list) and isinstance(fault.get("msg"), str)
    )


def of_event(error: Any) -> GenerationError:
    """The failure in an `error` that came with status 200, in a body or in the middle of a stream."""
    code = error.get("code") if isinstance(error, dict) else None
    return _error(code if isinstance(code, int) else 500, error)


def _error(status: int, error: Any) -> GenerationError:
    said = error if isinstance(error, dict) else {"message": error}
    named = [
        OF_CODE[word] for word in (said.get("code"), said.get("type")) if isinstance(word, str) and word in OF_CODE
    ]
    code: TaskErrorCode = (
        named[0] if named else OF_STATUS.get(status, "invalid_parameters" if 400 <= status < 500 else "upstream_error")
    )
    message = SAYS[code]
    reason = said.get("message")
    if code in QUOTED and isinstance(reason, str) and reason.strip():
        message = f"{message} It said: {quoted(reason)}"
    return GenerationError(code, message, failover=code in FAILOVER)


def quoted(reason: str) -> str:
    """A provider's sentence, without what looks like a secret or an address, and not too long."""
    text = _SECRET.sub("…", " ".join(reason[: 4 * _LONGEST_QUOTE].split()))
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…"
