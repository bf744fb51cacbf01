"""Failures of the anthropic dialect, told by status and typed body; never by the words of a message.

Source: https://platform.claude.com/docs/en/api/errors, and the types of Anthropic's SDK. A prompt that is too long has
no type of its own: it is an `invalid_request_error`, and stays `invalid_parameters` with the provider's own sentence.
Only an answer that came to the end of the context is typed (`model_context_window_exceeded`), and that is an answer.

An account without credit, over its limit or shut comes as the same untyped `invalid_request_error` with status 400
(https://github.com/anthropics/anthropic-sdk-typescript/issues/618). Nothing typed tells it from a wrong parameter, so
that it is told as one, and no other channel is asked. What is said of the operator's account is kept back by its words;
they decide what is shown, and never what is done.

Vertex AI answers with Google's errors (`error.status`) where the model was not reached.
"""

import re
from typing import Any, Final

import msgspec

from reynard.core.errors import GenerationError, TaskErrorCode
from reynard.providers import failures, google_errors
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

OF_MODEL: Final = frozenset({"permission_error", "not_found_error", "rate_limit_error", "overloaded_error"})
"""The types that speak of the model, unless an `error_code` beside them speaks of the account."""

OVERLOADED: Final = 529
INSIDE: Final = 200  # of an error in the middle of a stream
AMBIGUOUS: Final = "invalid_request_error"
PASSING: Final = frozenset({408, 409, 425})
"""Statuses that are the moment's fault, whichever type stands beside them: Anthropic's SDK tries again, too."""

_ACCOUNT: Final = re.compile(
    r"\b(?:credit balance|billing|api usage|usage limits?|spend(?:ing)? limits?|organi[sz]ations?|workspaces?)\b",
    re.IGNORECASE,
)

_failures = msgspec.json.Decoder(WireFailure | list[WireFailure])


def of_status(status: int, body: bytes) -> GenerationError:
    """The failure behind an HTTP status that is not 200."""
    bare = "upstream_rate_limited" if status == OVERLOADED else failures.code_of(status)
    try:
        decoded = _failures.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return failures.failure(bare, of_model=_is_of_model(status, bare))
    if isinstance(decoded, list):
        decoded = decoded[0] if decoded else WireFailure()
    if _is_googles(decoded.error):
        return google_errors.of_error(status, decoded.error)
    if status in PASSING and _type(decoded.error) == AMBIGUOUS:
        return failures.failure(bare)
    return _failure(bare, decoded.error, status)


def of_event(error: Any) -> GenerationError:
    """The failure in an `error` that came with status 200, in a body or in the middle of a stream."""
    return google_errors.of_event(error) if _is_googles(error) else _failure("upstream_error", error, INSIDE)


def _is_googles(error: Any) -> bool:
    return isinstance(error, dict) and isinstance(error.get("status"), str) and "type" not in error


def _type(error: Any) -> Any:
    return error.get("type") if isinstance(error, dict) else None


def _is_of_model(status: int, code: TaskErrorCode) -> bool:
    return status == OVERLOADED or failures.is_of_model(status, code)


def _failure(bare: TaskErrorCode, error: Any, status: int) -> GenerationError:
    said = error if isinstance(error, dict) else {"message": error}
    details = said.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    of_account, typed = _told(OF_CODE, code), _told(OF_TYPE, said.get("type"))
    told = of_account or typed or bare
    of_model = of_account is None and (_is_of_model(status, told) if typed is None else said["type"] in OF_MODEL)
    reason = said.get("message")
    if isinstance(reason, str) and _ACCOUNT.search(reason):
        reason = None
    return failures.failure(told, reason, of_model=of_model)


def _told(table: dict[str, TaskErrorCode], word: Any) -> TaskErrorCode | None:
    return table.get(word) if isinstance(word, str) else None
