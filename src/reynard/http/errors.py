"""Every failure, as HTTP has it: the one table of spec section 5."""

import logging
from collections.abc import Collection
from typing import Final

import msgspec

from reynard.core import errors as e
from reynard.core.errors import GenerationError, ReynardError
from reynard.engine.repeats import CallCancelled, ResultExpired
from reynard.http.answers import Answer
from reynard.http.request import Request

log = logging.getLogger(__name__)

INVALID: Final = "invalid_request_error"
UNAVAILABLE: Final = "service_unavailable_error"

STATUS_OF: Final[dict[type[ReynardError], tuple[int, str]]] = {
    e.MalformedBody: (400, INVALID),
    e.InvalidMultipart: (400, INVALID),
    e.AuthenticationFailed: (401, "authentication_error"),
    e.InsufficientCredits: (402, "insufficient_quota"),
    e.PermissionDenied: (403, "permission_error"),
    e.StorageFull: (403, "permission_error"),
    e.NotFound: (404, "not_found"),
    e.TaskNotFound: (404, "not_found"),
    e.FileNotFound: (404, "not_found"),
    e.DeliveryNotFound: (404, "not_found"),
    e.StreamNotAvailable: (404, "not_found"),
    e.BodyStalled: (408, INVALID),
    e.UploadStalled: (408, INVALID),
    e.TaskAlreadyFinished: (409, "conflict"),
    CallCancelled: (409, "conflict"),
    e.IdempotencyMismatch: (409, "conflict"),
    e.IdempotencyInProgress: (409, "conflict"),
    e.StreamExpired: (410, INVALID),
    ResultExpired: (410, INVALID),
    e.BodyTooLarge: (413, INVALID),
    e.UnsupportedEncoding: (415, INVALID),
    e.OffsetOutOfRange: (416, INVALID),
    e.RangeNotSatisfiable: (416, INVALID),
    e.RequestError: (422, INVALID),
    e.InvalidForm: (422, INVALID),
    e.InvalidParam: (422, INVALID),
    e.UnsupportedOptions: (422, INVALID),
    e.ModelNotSupported: (422, INVALID),
    e.CapabilityMissing: (422, INVALID),
    e.RuleViolation: (422, INVALID),
    e.NoAvailableModel: (422, UNAVAILABLE),
    e.RateLimited: (429, "rate_limit_error"),
    e.TooLargeForLimit: (429, "rate_limit_error"),
    e.Overloaded: (503, UNAVAILABLE),
    e.StoreUnavailable: (503, UNAVAILABLE),
    e.ReynardError: (500, "server_error"),
}

STATUS_OF_CODE: Final[dict[str, tuple[int, str]]] = {
    "content_policy_violation": (422, INVALID),
    "invalid_parameters": (422, INVALID),
    "media_fetch_failed": (422, INVALID),
    "media_too_large": (422, INVALID),
    "context_length_exceeded": (422, INVALID),
    "generation_failed_no_content": (502, UNAVAILABLE),
    "generation_timeout": (504, UNAVAILABLE),
    "upstream_rate_limited": (503, UNAVAILABLE),
    "upstream_auth_failed": (502, UNAVAILABLE),
    "upstream_error": (502, UNAVAILABLE),
    "all_platforms_exhausted": (502, UNAVAILABLE),
    "stream_interrupted": (502, UNAVAILABLE),
    "server_restarted": (503, UNAVAILABLE),
}
"""How a sync call answers when its task failed."""

IN_VAIN: Final = (e.TooLargeForLimit, e.IdempotencyMismatch, CallCancelled)
"""What the SDKs of OpenAI and Anthropic are told not to send again: by themselves they repeat every 409 and 429."""


class ErrorBody(msgspec.Struct, omit_defaults=True):
    """`param` names the field, where one is to blame."""

    message: str
    type: str
    code: str
    param: str | None = None


class ErrorEnvelope(msgspec.Struct):
    """The body of every error, on every path."""

    error: ErrorBody


def body_of(error: ReynardError) -> ErrorBody:
    """`error`, as clients read it."""
    return ErrorBody(error.message, kind_of(error)[1], error.code, error.param)


def kind_of(error: ReynardError) -> tuple[int, str]:
    """Status and type."""
    if isinstance(error, GenerationError):
        return STATUS_OF_CODE[error.code]
    return STATUS_OF.get(type(error), STATUS_OF[ReynardError])


def response_of(error: ReynardError) -> Answer:
    """The whole answer to a call that failed."""
    status, kind = kind_of(error)
    headers: dict[str, str] = {}
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        headers["retry-after"] = _seconds(retry_after_s)
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if status == 408:
        headers["connection"] = "close"  # RFC 9110 15.5.9
    if isinstance(error, e.RateLimited):
        headers |= error.allowance.headers()
    if isinstance(error, IN_VAIN):
        headers["x-should-retry"] = "false"
    if isinstance(error, e.RangeNotSatisfiable):
        headers["content-range"] = f"bytes */{error.size}"
    return answer(status, ErrorBody(error.message, kind, error.code, error.param), headers, error)


def answer(
    status: int, body: ErrorBody, headers: dict[str, str] | None = None, error: ReynardError | None = None
) -> Answer:
    """An error response."""
    return Answer(msgspec.json.encode(ErrorEnvelope(body)), status=status, headers=headers, error=error)


def no_such_path() -> Answer:
    """What the router refuses."""
    message = "There is nothing at this path. `/llms.txt` lists what there is."
    return answer(404, ErrorBody(message, "not_found", "not_found"))


def no_such_method(allowed: Collection[str]) -> Answer:
    """The same, where another method would do."""
    body = ErrorBody("This path does not take this method.", INVALID, "method_not_allowed")
    return answer(405, body, {"allow": ", ".join(sorted(allowed))})


def of_failure(request: Request, error: Exception) -> Answer:
    """The answer to a request that raised."""
    return response_of(error) if isinstance(error, ReynardError) else of_defect(request, error)


def of_defect(request: Request, error: Exception) -> Answer:
    """A fault of this program. The log has it; the client does not."""
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    body = ErrorBody("The gateway failed to handle the request. It has been logged.", "server_error", "server_error")
    return answer(500, body)


def _seconds(value: float) -> str:
    """Whole seconds, rounded up, as RFC 9110 10.2.3 wants them."""
    return str(max(1, int(value) + (value > int(value))))
