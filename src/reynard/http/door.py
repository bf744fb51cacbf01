"""How many connections come in, and what those beyond are told: at once, and without the application."""

import asyncio
import logging
import resource
from collections.abc import Sequence
from typing import Final

from reynard.http import sharing
from reynard.http.request_ids import new_request_id

log = logging.getLogger(__name__)

FULL: Final = (
    b'{"error":{"message":"As many connections are open as the gateway takes. Try again in a moment.",'
    b'"type":"service_unavailable_error","code":"overloaded"}}'
)
ANSWER: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"retry-after: 1\r\nx-request-id: %b\r\n%bcontent-length: %d\r\n\r\n"
)
HEADROOM: Final = 64  # descriptors for the store, files, logs, and connections that are refused
MOST: Final = 32_768  # connections, where the settings say nothing: some hundreds of megabytes
MOST_DESCRIPTORS: Final = 1_048_576  # where the limit is none, or as good as none
LEAVE_S: Final = 2.0
MOST_LEAVING: Final = HEADROOM // 4  # at a time, that are waited for
LOG_S: Final = 10.0


def descriptors() -> int:
    """How many the process may have open now."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else min(soft, MOST_DESCRIPTORS)


def raise_descriptors() -> int:
    """To as many as the process may give itself; the soft limit that systems begin with is for `select`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return descriptors()


def headroom(limit: int) -> int:
    """What is kept back of `limit` descriptors."""
    return min(HEADROOM, limit // 4)


def most_connections(limit: int) -> int:
    """Half of `limit` descriptors: whoever waits for an answer has a connection to a provider as well."""
    return min(MOST, (limit - headroom(limit)) // 2)


class Door:
    """Lets in `most` connections, and none that takes one of the last descriptors, whoever has the others."""

    def __init__(self, most: int, origins: Sequence[str] = ()) -> None:
        self._most = most
        self._shared = sharing.raw_headers(origins)
        self._leaving: set[Refused] = set()
        self._refused = 0
        self._said_at = -LOG_S

    def lets_in(self, transport: asyncio.Transport, others: int) -> bool:
        """Whether there is room beside `others`. A new descriptor has the lowest free number (POSIX `open`)."""
        if others >= self._most:
            return False
        limit = descriptors()
        descriptor: int = transport.get_extra_info("socket").fileno()
        return descriptor < limit - headroom(limit)

    def refuse(self, transport: asyncio.Transport) -> None:
        """Tells the client so, and lets go of the connection; of very many at a time, without their thanks."""
        self._tell()
        guest = Refused(transport, self._leaving, self._shared)
        transport.set_protocol(guest)
        if len(self._leaving) > MOST_LEAVING:
            guest.leave()

    def _tell(self) -> None:
        """A line now and then, however many come."""
        self._refused += 1
        now = asyncio.get_running_loop().time()
        if now - self._said_at >= LOG_S:
            log.warning("no room for more connections: %d refused since this was last said", self._refused)
            self._refused, self._said_at = 0, now


class Refused(asyncio.Protocol):
    """A connection for which there is no room: it is answered when it asks, and closed once it has read that.

    One that is closed with a request unread is reset, and its client may never see the answer (RFC 9112 9.6).
    """

    def __init__(self, transport: asyncio.Transport, leaving: "set[Refused]", shared: bytes) -> None:
        self._transport = transport
        self._leaving = leaving
        self._shared = shared
        self._answered = False
        self._patience = asyncio.get_running_loop().call_later(LEAVE_S, self.leave)
        leaving.add(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio. What is asked makes no difference; a browser that asks for leave has it, to read the refusal."""
        if not self._answered:
            self._answer(sharing.PREFLIGHT if self._shared and sharing.is_preflight(data) else refusal(self._shared))
            self._transport.write_eof()

    def leave(self) -> None:
        """At once."""
        self._patience.cancel()
        self._leaving.discard(self)
        if not self._answered:
            self._answer(refusal(self._shared))
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._patience.cancel()
        self._leaving.discard(self)

    def _answer(self, said: bytes) -> None:
        self._answered = True
        self._transport.write(said)


def refusal(shared: bytes) -> bytes:
    """What a connection for which there is no room is told. `shared`: of `sharing.raw_headers`."""
    return ANSWER % (new_request_id(), shared, len(FULL)) + FULL
