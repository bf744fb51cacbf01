"""Errors in the shape of the API that a client speaks: those of Anthropic's paths are Anthropic's."""

from typing import Final, Literal

import msgspec
from msgspec import Struct

from reynard.http.answers import Answer
from reynard.http.errors import ErrorBody, ErrorEnvelope
from reynard.http.request import Request

TYPE_OF_STATUS: Final[dict[int, str]] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}
"""Anthropic's words (https://platform.claude.com/docs/en/api/errors); any other status is `invalid_request_error`."""

PATHS: Final = "/v1/messages"
SHARED_PATHS: Final = "/v1/models"
VERSION: Final = b"anthropic-version"
"""A header that every client of Anthropic sends: on paths that two APIs have, it tells which is spoken."""

_envelopes = msgspec.json.Decoder(ErrorEnvelope)


class AnthropicError(Struct, kw_only=True, omit_defaults=True):
    """The body of an error: the one of every path, and Anthropic's own `type` around it."""

    type: Literal["error"] = msgspec.field(default_factory=lambda: "error")
    error: ErrorBody
    request_id: str | None = None


def speaks_anthropic(request: Request) -> bool:
    """Whether the answer is to be in Anthropic's shape."""
    path = request.path
    if _is_under(path, SHARED_PATHS):
        return request.raw_header(VERSION) is not None
    return _is_under(path, PATHS)


def error_of(status: int, body: ErrorBody, request: Request) -> AnthropicError:
    """An error, in Anthropic's words."""
    kind = TYPE_OF_STATUS.get(status, "invalid_request_error")
    said = ErrorBody(body.message, kind, body.code, body.param)
    return AnthropicError(error=said, request_id=request.id.decode())


def shaped(request: Request, answer: Answer) -> Answer:
    """An error response, as the client's own API has it."""
    if speaks_anthropic(request):
        error = error_of(answer.status, _envelopes.decode(answer.body).error, request)
        answer.body = msgspec.json.encode(error)
        answer.headers |= own_headers(request)
    return answer


def own_headers(request: Request) -> dict[str, str]:
    """The name under which Anthropic's SDKs look for the id of a request."""
    return {"request-id": request.id.decode()}


def _is_under(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")
