"""A body as it comes: a client that stalls or dribbles is given up, and all large bodies together are bounded."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from reynard.core.errors import BodyStalled, Overloaded
from reynard.engine.shares import Shares
from reynard.http.asgi import ClientGone, Message, Receive

PACE_BYTES: Final = 30_720
PACE_S: Final = 30.0
"""Each `PACE_BYTES` must come in this time: 1 KB/s. What the gateway itself takes to keep them is not counted."""
FREE_BYTES: Final = 1_000_000  # of each body; only what is larger counts
MOST_BYTES: Final = 512_000_000
LARGEST_OF_ALL: Final = 8  # how many of the largest bodies there is room for at least


class Incoming:
    """The messages of one request's body."""

    def __init__(self, receive: Receive, stalled: type[BodyStalled]) -> None:
        self._receive = receive
        self._stalled = stalled
        self._begun = False
        self._came = 0
        self._left_s = PACE_S

    async def next(self) -> tuple[bytes, bool]:
        """What came, and whether there is more. Raises `ClientGone`, `BodyStalled`."""
        message = await (self._watched() if self._begun else self._receive())
        self._begun = True  # for the first message, `http.connection` has a watch already; most bodies have no other
        if message["type"] == "http.disconnect":
            raise ClientGone
        body = message.get("body", b"")
        self._came += len(body)
        if self._came >= PACE_BYTES:
            self._go_on()
        return body, message.get("more_body", False)

    async def _watched(self) -> Message:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._left_s):
                message = await self._receive()
        except TimeoutError:
            raise self._stalled(
                f"Less than {PACE_BYTES} bytes of the body came in {PACE_S:g} seconds; it was given up."
            ) from None
        self._left_s -= loop.time() - began
        return message

    def _go_on(self) -> None:
        """A new stretch begins."""
        self._came = 0
        self._left_s = PACE_S


class Room:
    """For the large bodies that are being read: so many bytes in all, and half of them for one key.

    What has come counts, not what is announced: who only announces takes nothing from others.
    """

    def __init__(self, largest: int) -> None:
        most = max(MOST_BYTES, LARGEST_OF_ALL * largest)
        self._shares = Shares(most, most // 2)

    @contextmanager
    def held(self, key_id: str, announced: int) -> Iterator["Held"]:
        """Room for a body of `announced` bytes, as far as that is known. Raises `Overloaded`."""
        if announced > FREE_BYTES and not self._shares.has(announced, key_id):
            raise _full()
        held = Held(self._shares, key_id)
        try:
            yield held
        finally:
            held.let_go()


class Held:
    """What one body has of the room."""

    def __init__(self, shares: Shares, key_id: str) -> None:
        self._shares = shares
        self._key_id = key_id
        self._bytes = 0

    def grow(self, size: int) -> None:
        """The body has `size` bytes now. Raises `Overloaded`."""
        if size <= FREE_BYTES:
            return
        if not self._shares.take(size - self._bytes, self._key_id):
            raise _full()
        self._bytes = size

    def let_go(self) -> None:
        """It has been read, or given up."""
        if self._bytes:
            self._shares.give_back(self._bytes, self._key_id)
            self._bytes = 0


def _full() -> Overloaded:
    return Overloaded("As many large bodies are being read as the gateway takes. Try again in a moment.")
