"""google-auth's way to HTTP, over urllib. It blocks."""

import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, Final

from msgspec import Struct

CALL_S: Final = 10.0
MOST_BYTES: Final = 64_000


class Answer(Struct, frozen=True):
    """What google-auth wants of an answer."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An account's key goes to nobody but the address in its file."""

    def redirect_request(self, *_: Any) -> None:
        """None: the redirect is the answer."""


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())


def request(
    url: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,
    **_: Any,
) -> Answer:
    """A `google.auth.transport.Request`: one call, bounded in time and size.

    Raises google-auth's `TransportError`.
    """
    from google.auth.exceptions import TransportError

    ends = time.monotonic() + CALL_S
    try:
        asked = urllib.request.Request(url, data=body, headers=dict(headers or {}), method=method)  # noqa: S310
        try:
            answer = _opener.open(asked, timeout=min(timeout or CALL_S, CALL_S))
        except urllib.error.HTTPError as refusal:
            answer = refusal
        with answer:
            return Answer(answer.status, dict(answer.headers.items()), _read(answer, ends))
    except (OSError, ValueError, HTTPException) as error:
        raise TransportError(type(error).__name__) from None  # type: ignore[no-untyped-call]


def _read(answer: Any, ends: float) -> bytes:
    """The body, unless it is too long or takes too long."""
    found = b""
    while part := answer.read1(MOST_BYTES):
        found += part
        if len(found) > MOST_BYTES or time.monotonic() > ends:
            raise ValueError("an answer without end")
    return found
