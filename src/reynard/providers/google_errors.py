"""Google's failures (Gemini, and all of Vertex AI), told by HTTP status and google.rpc.Status; never by the words of a
message.

Sources: https://ai.google.dev/gemini-api/docs/troubleshooting, https://cloud.google.com/apis/design/errors, and
google/api/error_reason.proto for the reasons of an `ErrorInfo`. What may be quoted is the same for every dialect.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from reynard.core.errors import GenerationError, TaskErrorCode
from reynard.providers.failures import code_of, failure, is_of_model

OF_WORD: Final[dict[str, TaskErrorCode]] = {
    "INVALID_ARGUMENT": "invalid_parameters",
    "OUT_OF_RANGE": "invalid_parameters",
    "FAILED_PRECONDITION": "upstream_auth_failed",  # no billing, or not in this country: the operator's account
    "UNAUTHENTICATED": "upstream_auth_failed",
    "PERMISSION_DENIED": "upstream_auth_failed",
    "RESOURCE_EXHAUSTED": "upstream_rate_limited",
    "DEADLINE_EXCEEDED": "generation_timeout",
    "NOT_FOUND": "upstream_error",
    "ALREADY_EXISTS": "upstream_error",
    "ABORTED": "upstream_error",
    "CANCELLED": "upstream_error",
    "DATA_LOSS": "upstream_error",
    "INTERNAL": "upstream_error",
    "UNAVAILABLE": "upstream_error",
    "UNIMPLEMENTED": "upstream_error",
    "UNKNOWN": "upstream_error",
}
"""By `error.status`, the name of a google.rpc.Code."""

OF_REASON: Final[dict[str, TaskErrorCode]] = {
    **dict.fromkeys(
        (
            "API_KEY_INVALID",  # comes with status 400
            "API_KEY_EXPIRED",
            "API_KEY_SERVICE_BLOCKED",
            "API_KEY_HTTP_REFERRER_BLOCKED",
            "API_KEY_IP_ADDRESS_BLOCKED",
            "API_KEY_ANDROID_APP_BLOCKED",
            "API_KEY_IOS_APP_BLOCKED",
            "ACCESS_TOKEN_EXPIRED",
            "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            "ACCESS_TOKEN_TYPE_UNSUPPORTED",
            "ACCOUNT_STATE_INVALID",
            "BILLING_DISABLED",
            "CONSUMER_INVALID",
            "CONSUMER_SUSPENDED",
            "CREDENTIALS_MISSING",
            "IAM_PERMISSION_DENIED",
            "SERVICE_DISABLED",
            "SERVICE_NOT_VISIBLE",
            "USER_PROJECT_DENIED",
        ),
        "upstream_auth_failed",
    ),
    "RATE_LIMIT_EXCEEDED": "upstream_rate_limited",
    "RESOURCE_QUOTA_EXCEEDED": "upstream_rate_limited",
}
"""By the `reason` of a google.rpc.ErrorInfo, which is more exact than the status beside it."""

OF_MODEL: Final = frozenset(
    {"NOT_FOUND", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "IAM_PERMISSION_DENIED", "RATE_LIMIT_EXCEEDED"}
)
"""The words, and reasons, that speak of the model: quotas are counted for each, and rights may be given for one."""

LONGEST_WAIT_S: Final = 86_400.0
_DURATION: Final = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)s")  # google.protobuf.Duration in JSON
_INFO: Final = "google.rpc.ErrorInfo"
_RETRY: Final = "google.rpc.RetryInfo"


class _Body(Struct):
    error: Any = None


_errors = msgspec.json.Decoder(_Body | list[_Body])


def of_status(status: int, body: bytes) -> GenerationError:
    """The failure behind an HTTP status that is not 200."""
    try:
        decoded = _errors.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return of_error(status, None)
    if isinstance(decoded, list):  # what streams without `alt=sse` answer
        decoded = decoded[0] if decoded else _Body()
    return of_error(status, decoded.error)


def of_event(error: Any) -> GenerationError:
    """The failure in an `error` that came with status 200, in a body or in the middle of a stream."""
    code = error.get("code") if isinstance(error, dict) else None
    return of_error(code if isinstance(code, int) else 500, error)


def of_error(status: int, error: Any) -> GenerationError:
    """The failure in an `error` that came with `status`."""
    said = error if isinstance(error, dict) else {"message": error}
    word = _word(said)
    code = code_of(status) if word is None else OF_REASON.get(word) or OF_WORD[word]
    of_model = is_of_model(status, code) if word is None else word in OF_MODEL
    found = failure(code, said.get("message"), of_model=of_model)
    found.retry_after_s = _wait(said)
    return found


def _word(said: dict[str, Any]) -> str | None:
    """The most exact of the words that are known here."""
    for detail in _details(said, _INFO):
        reason = detail.get("reason")
        if isinstance(reason, str) and reason in OF_REASON:
            return reason
    word = said.get("status")
    if isinstance(word, str) and word in OF_WORD:
        return word
    return None


def _wait(said: dict[str, Any]) -> float | None:
    """`retryDelay`, in seconds; a day at the most."""
    for detail in _details(said, _RETRY):
        delay = detail.get("retryDelay")
        found = _DURATION.fullmatch(delay) if isinstance(delay, str) else None
        if found is not None:
            return min(float(found.group(1)), LONGEST_WAIT_S)
    return None


def _details(said: dict[str, Any], kind: str) -> Iterable[dict[str, Any]]:
    details = said.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and detail.get("@type") == f"type.googleapis.com/{kind}":
            yield detail
