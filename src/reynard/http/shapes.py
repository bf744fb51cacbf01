"""Errors in the shape of the API that a client speaks: those of Anthropic's paths are Anthropic's."""

from collections.abc import Awaitable, Callable
from typing import Final, Literal

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from reynard.http.errors import ErrorBody, ErrorEnvelope, Refusal

Handler = Callable[[Request, Exception], Awaitable[Response]]

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
VERSION: Final = "anthropic-version"
"""A header that every client of Anthropic sends: on paths that two APIs have, it tells which is spoken."""

_envelopes = msgspec.json.Decoder(ErrorEnvelope)


class AnthropicError(Struct, kw_only=True, omit_defaults=True):
    """The body of an error: the one of every path, and Anthropic's own `type` around it."""

    type: Literal["error"] = msgspec.field(default_factory=lambda: "error")
    error: ErrorBody
    request_id: str | None = None


def speaks_anthropic(request: Request) -> bool:
    """Whether the answer is to be in Anthropic's shape."""
    path = request.url.path
    if _is_under(path, SHARED_PATHS):
        return VERSION in request.headers
    return _is_under(path, PATHS)


def request_id_of(request: Request) -> str | None:
    """The id that the answer has in `x-request-id`."""
    found: str | None = getattr(request.state, "request_id", None)
    return found


def error_of(status: int, body: ErrorBody, request: Request) -> AnthropicError:
    """An error, in Anthropic's words."""
    kind = TYPE_OF_STATUS.get(status, "invalid_request_error")
    said = ErrorBody(body.message, kind, body.code, body.param)
    return AnthropicError(error=said, request_id=request_id_of(request))


def shaped(request: Request, response: Response) -> Response:
    """An error response, as the client's own API has it."""
    if not speaks_anthropic(request):
        return response
    error = error_of(response.status_code, _envelopes.decode(bytes(response.body)).error, request)
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    said = Response(msgspec.json.encode(error), response.status_code, headers | own_headers(request))
    return Refusal(response.error, said) if isinstance(response, Refusal) else said


def own_headers(request: Request) -> dict[str, str]:
    """The name under which Anthropic's SDKs look for the id of a request."""
    request_id = request_id_of(request)
    return {} if request_id is None else {"request-id": request_id}


def in_shape(handler: Handler) -> Handler:
    """An exception handler whose answers are `shaped`."""

    async def handle(request: Request, error: Exception) -> Response:
        return shaped(request, await handler(request, error))

    return handle


def _is_under(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")
