"""Where a request goes, and the head that it begins with."""

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes, urlsplit

PORTS: Final = {"http": 80, "https": 443}
USER_AGENT: Final = "reynard"
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.1
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110 5.5
_AS_IT_IS: Final = "/:?#[]@!$&'()*+,;=-._~%"
"""What of a target is not escaped: what has a meaning in it, and escapes (RFC 3986 2.2)."""


class Origin(NamedTuple):
    """What connections lead to, and are kept by."""

    host: str
    port: int
    is_tls: bool


class Address(NamedTuple):
    """An http(s) URL, taken apart. `path`: with the query. `credentials`: `user:password`, if the URL has them."""

    origin: Origin
    host: str
    path: str
    credentials: bytes | None

    @classmethod
    def of(cls, url: str) -> "Address":
        """Raises `ValueError` (without the URL, which may hold a password)."""
        parts = urlsplit(url)
        if parts.scheme not in PORTS or not parts.hostname:
            raise ValueError("no http(s) address")
        name = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode("ascii")
        origin = Origin(name, parts.port or PORTS[parts.scheme], parts.scheme == "https")
        host = f"[{name}]" if ":" in name else name
        return cls(
            origin,
            host if origin.port == PORTS[parts.scheme] else f"{host}:{origin.port}",
            f"{parts.path}?{parts.query}" if parts.query else parts.path,
            None if parts.username is None else b"%b:%b" % (_plain(parts.username), _plain(parts.password or "")),
        )

    def head(self, method: str, path: str, headers: Mapping[str, str]) -> bytes:
        """The lines before the body, but for its length. `path` is added to the address's own.

        Raises `ValueError` for what no header may have (RFC 9110 5.5), without quoting it: it may be a key.
        """
        target = quote(self.path + path, safe=_AS_IT_IS) or "/"
        lines = [f"{method} {target} HTTP/1.1\r\nhost: {self.host}\r\n".encode("ascii")]
        for name, value in {**self._own(), **headers}.items():
            raw = value.encode()
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(raw):
                raise ValueError("a character that no header may have")
            lines.append(b"%b: %b\r\n" % (name.encode("ascii"), raw))
        return b"".join(lines)

    def _own(self) -> dict[str, str]:
        """Beside what is asked for. Answers are read as they come: none is asked for that had to be unpacked."""
        own = {"user-agent": USER_AGENT, "accept": "*/*", "accept-encoding": "identity"}
        if self.credentials is not None:
            own["authorization"] = f"Basic {b64encode(self.credentials).decode('ascii')}"
        return own


def _plain(escaped: str) -> bytes:
    return unquote_to_bytes(escaped)
