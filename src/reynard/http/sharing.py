"""Which web pages may read the answers (https://fetch.spec.whatwg.org/#http-cors-protocol): in the application, and
below it, where connections are refused before there is a request."""

from collections.abc import Sequence
from typing import Final

from reynard.http.answers import Answer
from reynard.http.asgi import RawHeaders
from reynard.http.errors import INVALID, ErrorBody, answer
from reynard.http.request import Request

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
ASKED: Final = {
    "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, "
    "Access-Control-Request-Private-Network",
    "access-control-allow-methods": ", ".join(METHODS),
    "access-control-max-age": str(REMEMBERED_S),
}
UNASKED: Final[RawHeaders] = [(b"vary", b"Origin")]
NAMED: Final[RawHeaders] = [(b"access-control-expose-headers", ", ".join(EXPOSED).encode()), *UNASKED]
OPEN: Final[RawHeaders] = [(b"access-control-allow-origin", b"*"), *NAMED]
PREFLIGHT: Final = (
    "HTTP/1.1 204 No Content\r\nconnection: close\r\naccess-control-allow-origin: *\r\n"
    f"access-control-allow-methods: {', '.join(METHODS)}\r\n"
    "access-control-allow-headers: *, authorization\r\n\r\n"  # `*` stands for every other name
).encode()
"""Where nothing but an error will follow: so it is not to be remembered."""


class Shared:
    """What answers tell browsers."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origin.encode("latin-1") for origin in origins)
        self._is_open = EVERYONE in origins

    def share(self, request: Request) -> None:
        """The headers that let the page that asks read the answer, whatever that will be."""
        origin = request.raw_header(b"origin")
        if origin is None:
            request.share(UNASKED)
        elif self._is_open:
            request.share(OPEN)
        elif origin in self._origins:
            request.share([(b"access-control-allow-origin", origin), *NAMED])
        else:
            request.share(NAMED)

    def preflight(self, request: Request) -> Answer | None:
        """The answer to a browser that asks for leave; None for any other request."""
        if request.method != "OPTIONS":
            return None
        origin, method = request.raw_header(b"origin"), request.header(b"access-control-request-method")
        if origin is None or method is None:
            return None
        headers = dict(ASKED)
        named = request.header(b"access-control-request-headers")
        if named is not None:
            headers["access-control-allow-headers"] = named
        if self._is_open:
            headers["access-control-allow-origin"] = EVERYONE
        elif origin in self._origins:
            headers["access-control-allow-origin"] = origin.decode("latin-1")
        refused = [
            what
            for what, is_refused in (
                ("origin", not self._is_open and origin not in self._origins),
                ("method", method not in METHODS),
                ("private-network", request.raw_header(b"access-control-request-private-network") is not None),
            )
            if is_refused
        ]
        if not refused:
            return Answer(b"OK", "text/plain; charset=utf-8", headers=headers)
        message = f"Disallowed CORS {', '.join(refused)}: `server.cors_origins` says which web pages may call."
        return answer(400, ErrorBody(message, INVALID, "cors_refused"), headers)


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
