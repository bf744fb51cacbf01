"""Failures of the anthropic dialect, told by status and typed body; never by the words of a message.

Source: https://platform.claude.com/docs/en/api/errors, and the types of Anthropic's SDK. A prompt that is too long has
no type of its own: it is an `invalid_request_error`, and stays `invalid_parameters` with the provider's own sentence.
Only an answer that came to the end of the context is typed (`model_context_window_exceeded`), and that is an answer.
"""

from typing import Any, Final

import msgspec

from reynard.core.errors import GenerationError, TaskErrorCode
from reynard.providers import failures
from reynard.providers.anthropic.wire import WireFailure

OF_TYPE: Final[dict[str, TaskErrorCode]] = {
    "invalid_request_error": "invalid_parameters",
    "authentication_error": "upstream_auth_failed",
    "billing_error": "upstream_auth_failed",
    "permission_error": "upstream_auth_failed",
    "not_found_error": "upstream_error",
    "conflict_error": "upstream_error",
    "request_too_large": "media_too_large",
    "rate_limit_error": "upstream_rate_limited",
    "api_error": "upstream_error",
    "overloaded_error": "upstream_rate_limited",
    "timeout_error": "generation_timeout",
}
OF_CODE: Final[dict[str, TaskErrorCode]] = {
    "organization_on_hold": "upstream_auth_failed",
    "cmek_key_disabled": "upstream_auth_failed",
    "cmek_key_network_blocked": "upstream_auth_failed",
    "cmek_key_unreachable": "upstream_error",
    "cmek_context_unavailable": "upstream_error",
    "user_profile_required": "upstream_auth_failed",
    "user_profile_not_billable": "upstream_auth_failed",
    "user_profile_billing_not_authorized": "upstream_auth_failed",
    "linked_organization_billing_unavailable": "upstream_auth_failed",
    "linked_organization_spend_limit_reached": "upstream_auth_failed",
    "contract_spend_limit_reached": "upstream_rate_limited",
    "enforced_spend_limit_reached": "upstream_rate_limited",
    "ramp_limit_exceeded": "upstream_rate_limited",
}
"""`error.details.error_code`: what is the operator's affair, though some of it comes as an `invalid_request_error`."""

OVERLOADED: Final = 529

_failures = msgspec.json.Decoder(WireFailure | list[WireFailure])


def of_status(status: int, body: bytes) -> GenerationError:
    """The failure behind an HTTP status that is not 200."""
    bare = "upstream_rate_limited" if status == OVERLOADED else failures.code_of(status)
    try:
        decoded = _failures.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return failures.failure(bare)
    if isinstance(decoded, list):
        decoded = decoded[0] if decoded else WireFailure()
    return _failure(bare, decoded.error)


def of_event(error: Any) -> GenerationError:
    """The failure in an `error` that came with status 200, in a body or in the middle of a stream."""
    return _failure("upstream_error", error)


def _failure(bare: TaskErrorCode, error: Any) -> GenerationError:
    said = error if isinstance(error, dict) else {"message": error}
    details = said.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    told = _told(OF_CODE, code) or _told(OF_TYPE, said.get("type"))
    return failures.failure(told or bare, said.get("message"))


def _told(table: dict[str, TaskErrorCode], word: Any) -> TaskErrorCode | None:
    return table.get(word) if isinstance(word, str) else None
