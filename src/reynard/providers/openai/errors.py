"""Failures of the openai dialect, told by status and typed body; never by the words of a message.

Sources: https://platform.openai.com/docs/guides/error-codes, OpenRouter's errors page, llama.cpp's server README.
"""

from typing import Any, Final

import msgspec

from reynard.core.errors import GenerationError, TaskErrorCode
from reynard.providers import failures
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
    "account_deactivated": "upstream_auth_failed",
    "billing_not_active": "upstream_auth_failed",
    "billing_hard_limit_reached": "upstream_auth_failed",
    "model_not_found": "upstream_error",  # with status 400, too
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
OF_KEY: Final = frozenset(
    {
        "invalid_api_key",
        "invalid_authentication_error",
        "authentication_error",
        "account_deactivated",
        "billing_not_active",
        "billing_hard_limit_reached",
        "insufficient_quota",
        "exceeded_current_quota_error",
    }
)
"""What is wrong with the key, or with the account behind it, whichever model is asked for."""

OF_MODEL: Final = frozenset(
    {"model_not_found", "permission_error", "rate_limit_exceeded", "rate_limit_error", "rate_limit_reached_error"}
)
"""What is the model's affair, with any status."""

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
    words = [word for word in (said.get("code"), said.get("type")) if isinstance(word, str) and word in OF_CODE]
    code = OF_CODE[words[0]] if words else failures.code_of(status)
    of_model = OF_KEY.isdisjoint(words) and (not OF_MODEL.isdisjoint(words[:1]) or failures.is_of_model(status, code))
    return failures.failure(code, said.get("message"), of_model=of_model)
