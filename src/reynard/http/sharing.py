"""Which web pages may read the answers (https://fetch.spec.whatwg.org/#http-cors-protocol): in the application, and
below it, where connections are refused before there is a request."""

from collections.abc import Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from reynard.http.errors import INVALID, ErrorBody, answer

EVERYONE: Final = "*"
METHODS: Final = ("GET", "POST", "DELETE", "OPTIONS")
REMEMBERED_S: Final = 86_400
EXPOSED: Final = [
    "x-request-id",
    "request-id",
    "x-task-id",
    "x-served-by",
    "idempotent-replayed",
    "x-left-out",
    "x-should-retry",
    "retry-after",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "content-range",
    "content-disposition",
    "etag",
    "link",
]
PREFLIGHT: Final = (
    "HTTP/1.1 204 No Content\r\nconnection: close\r\naccess-control-allow-origin: *\r\n"
    f"access-control-allow-methods: {', '.join(METHODS)}\r\n"
    "access-control-allow-headers: *, authorization\r\n\r\n"  # `*` stands for every other name
).encode()
"""Where nothing but an error will follow: so it is not to be remembered."""


class Shared(CORSMiddleware):
    """Starlette's, with its refusals in our shape."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=[EVERYONE],
            expose_headers=EXPOSED,
            max_age=REMEMBERED_S,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """See Starlette."""
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        message = f"{bytes(response.body).decode()}: `server.cors_origins` says which web pages may call."
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        return answer(response.status_code, ErrorBody(message, INVALID, "cors_refused"), headers)


def raw_headers(origins: Sequence[str]) -> bytes:
    """What an answer has that is written without the application: lines, where every page may read it. Where only some
    may, the request would have to be read for its origin; they see a failure."""
    if EVERYONE not in origins:
        return b""
    names = ", ".join(EXPOSED).encode()
    return b"access-control-allow-origin: *\r\naccess-control-expose-headers: %b\r\n" % names


def is_preflight(asked: bytes) -> bool:
    """Whether a browser asks for leave, by the first bytes of a request."""
    return asked.startswith(b"OPTIONS ") and b"\r\naccess-control-request-method:" in asked.lower()
