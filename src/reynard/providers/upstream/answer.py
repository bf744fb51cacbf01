"""An answer on its way: what has come of it, and waiting for more."""

import asyncio
from collections.abc import AsyncGenerator
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

from reynard.ports.transport import ConnectionBroken

LONGEST_WAIT_S: Final = 86_400.0
MOST_HELD: Final = 262_144
"""Bytes of a body that wait for their reader; with more, nothing is read of the connection."""


class Source(Protocol):
    """The connection that an answer comes from."""

    def hold(self) -> None:
        """Reads nothing until `go_on`."""
        ...

    def go_on(self) -> None:
        """Reads again."""
        ...

    def leave(self) -> None:
        """Nobody reads this answer any more."""
        ...


class Answer:
    """A `WireResponse`. Its connection fills it; `read` and `parts` empty it, one of them, once.

    `status` is 0 until the head is whole. A body without a length ends with its connection: nobody can tell whether
    such a one was cut (RFC 9112 6.3).
    """

    __slots__ = ("_held", "_news", "_size", "_source", "failure", "fields", "is_complete", "status")

    def __init__(self, source: Source) -> None:
        self.status = 0
        self.fields: list[tuple[bytes, bytes]] = []  # of the head: names as they came, and values
        self.is_complete = False
        self.failure: ConnectionBroken | None = None  # why no more will come
        self._source = source
        self._held: list[bytes] = []
        self._size = 0  # bytes of it
        self._news: asyncio.Future[None] | None = None

    # What the connection tells.

    def put(self, data: bytes) -> None:
        """A piece of the body."""
        self._held.append(data)
        self._size += len(data)
        if self._size > MOST_HELD:
            self._source.hold()

    def end(self) -> None:
        """The body is whole."""
        self.is_complete = True

    def break_off(self, why: str) -> None:
        """Nothing more comes."""
        if not self.is_complete and self.failure is None:
            self.failure = ConnectionBroken(why)
            self.tell()

    def tell(self) -> None:
        """Something is new."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    # What the reader asks.

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header; `name` in small letters."""
        return next((value for field, value in self.fields if field.lower() == name), None)

    @property
    def retry_after_s(self) -> float | None:
        """`Retry-After`, as seconds or as a date (RFC 9110 10.2.3), which the answer's own `Date` is compared with; a
        day at the most."""
        value = self.header(b"retry-after")
        return None if value is None else asked_wait(value, self.header(b"date") or b"")

    async def read(self, limit: int) -> bytes:
        """See the port."""
        if self._announced() > limit:
            raise ConnectionBroken("the answer is longer than the gateway reads")
        while not self.is_complete and self._size <= limit:
            await self.more()
        if self._size > limit:
            raise ConnectionBroken("the answer is longer than the gateway reads")
        return self._taken()

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """See the port."""
        while True:
            if self._held:
                yield self._taken()
            elif self.is_complete:
                return
            else:
                await self.more()

    async def more(self) -> None:
        """Waits until something is new. Raises `ConnectionBroken`."""
        if self.failure is not None:
            raise self.failure
        self._source.go_on()
        self._news = asyncio.get_running_loop().create_future()
        await self._news

    def let_go(self) -> None:
        """The connection is free again; cut, if its answer has not come to its end."""
        self._source.leave()

    def _announced(self) -> int:
        length = self.header(b"content-length")
        return 0 if length is None else int(length)

    def _taken(self) -> bytes:
        found = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held.clear()
        self._size = 0
        return found


def asked_wait(value: bytes, date: bytes) -> float | None:
    """How long a `Retry-After` asks to wait, in seconds; `date` is when the answer was sent."""
    if value.isdigit():
        return min(float(value), LONGEST_WAIT_S)
    try:
        left = parsedate_to_datetime(value.decode("ascii")) - parsedate_to_datetime(date.decode("ascii"))
    except (ValueError, TypeError):  # no dates, or one that names its zone and one that does not
        return None
    return min(max(0.0, left.total_seconds()), LONGEST_WAIT_S)
