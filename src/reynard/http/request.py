"""A request, as the routes see it."""

from collections.abc import Callable
from typing import Final, overload
from urllib.parse import parse_qsl

from msgspec import Struct

from reynard.engine.engine import Engine
from reynard.http.asgi import PRESENCE, Message, Presence, RawHeaders, Receive, Scope
from reynard.http.bodies import Room
from reynard.ports.clock import Clock
from reynard.ports.telemetry import Audience, Observer

UNROUTED: Final = "other"


class Services(Struct):
    """What the application gives its routes."""

    engine: Engine
    clock: Clock
    max_body_bytes: int
    room: Room
    ping_s: float
    observer: Observer
    figures: Callable[[], bytes]
    audience: Audience


class Request:
    """What was asked, what the gateway found out about it, and how its answer begins."""

    __slots__ = (
        "_headers",
        "_query",
        "_scope",
        "_shared",
        "caller_id",
        "id",
        "method",
        "path",
        "path_params",
        "receive",
        "route",
        "services",
        "status",
    )

    def __init__(self, scope: Scope, receive: Receive, services: Services) -> None:
        self._scope = scope
        self._headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))  # of several the first
        self._query: dict[str, str] | None = None
        self._shared: RawHeaders = []
        self.services = services
        self.receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.path_params: dict[str, str] = {}
        self.route = UNROUTED  # the template of the path: a path itself may hold anything
        self.id = b""
        self.caller_id = ""
        self.status = 0  # of the answer, once it has begun

    def raw_header(self, name: bytes) -> bytes | None:
        """The value of a header, by its name in lower case."""
        return self._headers.get(name)

    @overload
    def header(self, name: bytes) -> str | None: ...

    @overload
    def header(self, name: bytes, default: str) -> str: ...

    def header(self, name: bytes, default: str | None = None) -> str | None:
        """The same, as text."""
        found = self._headers.get(name)
        return default if found is None else found.decode("latin-1")

    @property
    def query(self) -> bytes:
        """As it was sent."""
        query: bytes = self._scope["query_string"]
        return query

    @property
    def query_params(self) -> dict[str, str]:
        """Of several of a name the last."""
        if self._query is None:
            query = self._scope["query_string"]
            self._query = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)) if query else {}
        return self._query

    @property
    def presence(self) -> Presence:
        """Of whoever asked."""
        presence: Presence = self._scope["extensions"][PRESENCE]
        return presence

    def share(self, headers: RawHeaders) -> None:
        """More headers for whatever the answer is."""
        self._shared = headers

    def start(self, status: int, headers: RawHeaders) -> Message:
        """The message that begins the answer: the one place where every answer gets what all answers have."""
        self.status = status
        return {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, *self._shared, (b"x-request-id", self.id)],
        }
