"""A request that asks for an upgrade, and has a body: parsers leave the body to the protocol it asked for."""

from typing import Final, Protocol

from reynard.http.asgi import RawHeaders

FRAMING: Final = (b"content-length", b"transfer-encoding")


class Told(Protocol):
    """What a parser calls (`http.connection`)."""

    def on_message_begin(self) -> None:
        """A request."""

    def on_url(self, url: bytes) -> None:
        """Or a part of it."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Or a trailer."""

    def on_headers_complete(self) -> None:
        """The head has come."""

    def on_body(self, body: bytes) -> None:
        """A piece of it."""

    def on_message_complete(self) -> None:
        """The request is whole."""


class ReadOn:
    """Between `told` and a second parser, which is fed the head once more, without what asked for the upgrade.

    That head is known; what follows is told as ever. Were the body not read as one, it would pass for a request.
    """

    def __init__(self, told: Told) -> None:
        self._told = told
        self._is_known = True
        self.on_body = told.on_body
        self.on_message_complete = told.on_message_complete

    @staticmethod
    def head(version: str, headers: RawHeaders) -> bytes | None:
        """What is to be fed; None where there is no body."""
        lines = [b"%b: %b\r\n" % (name, value) for name, value in headers if name in FRAMING]
        return b"POST / HTTP/%b\r\n%b\r\n" % (version.encode(), b"".join(lines)) if lines else None

    def on_message_begin(self) -> None:
        """See `Told`."""
        if not self._is_known:
            self._told.on_message_begin()

    def on_url(self, url: bytes) -> None:
        """See `Told`."""
        if not self._is_known:
            self._told.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """See `Told`."""
        if not self._is_known:
            self._told.on_header(name, value)

    def on_headers_complete(self) -> None:
        """See `Told`."""
        if not self._is_known:
            self._told.on_headers_complete()
        self._is_known = False
