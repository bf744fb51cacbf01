"""An attempt's chunks on their way to the sink, and what becomes of a stream that broke off after it was read."""

import asyncio
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from reynard.core.assembly import Assembly, begins
from reynard.core.chat import Chunk, encode
from reynard.core.errors import GenerationError
from reynard.engine.health import Call
from reynard.engine.work import Identity, Journal, Sink

MAX_ANSWER_BYTES: Final = 64_000_000
MOST_HELD_BACK: Final = 16
"""Chunks in front of the first that says something: a role and the like."""


class Diverged(Exception):
    """The generation is not the one of which a part was delivered."""


class Outrun(Exception):
    """Another attempt was faster to start."""


class Race:
    """Attempts side by side, of which the first to have something to say is the one that goes on."""

    __slots__ = ("started", "winner")

    def __init__(self) -> None:
        self.winner: object = None
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def claim(self, runner: object) -> None:
        """`runner` has something to say. Raises `Outrun`."""
        if self.winner is None:
            self.winner = runner
            if not self.started.done():
                self.started.set_result(None)
        elif self.winner is not runner:
            raise Outrun


class Delivered:
    """What the sink was given of a stream, chunk by chunk, as hashes: eight bytes each.

    Python's own hash of bytes is SipHash with a key of the process's: another chunk has the same once in 2^64.
    """

    __slots__ = ("_hashes",)

    def __init__(self) -> None:
        self._hashes = array("q")

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, chunks: Iterable[bytes]) -> None:
        """More of it."""
        self._hashes.extend(map(hash, chunks))

    def clear(self) -> None:
        """The stream begins again from nothing."""
        del self._hashes[:]

    def agrees(self, chunk: bytes, position: int) -> bool:
        """Whether `chunk` is the one that was delivered there."""
        return self._hashes[position] == hash(chunk)


class Handover:
    """Names the chunks of one attempt, keeps count of what they amount to, and hands them on as bytes.

    `repeats`: the first so many chunks were delivered by an earlier attempt. They are compared, and not delivered
    again; the first that differs ends it with `Diverged`. The journal is told who answers when the first new chunk is.
    `delivered` is None where nobody will ask for it.

    What says nothing yet is held back until something does, or until the end: a provider that names its role and falls
    silent, or ends there, has not begun.
    """

    __slots__ = (
        "_answers",
        "_call",
        "_channel",
        "_delivered",
        "_flows",
        "_held_back",
        "_identity",
        "_journal",
        "_position",
        "_race",
        "_repeats",
        "_shows_usage",
        "_sink",
        "_size",
        "_speaks",
        "assembly",
    )

    def __init__(
        self,
        identity: Identity,
        sink: Sink,
        journal: Journal,
        call: Call,
        *,
        channel: str,
        shows_usage: bool,
        delivered: Delivered | None = None,
        repeats: int = 0,
        race: Race | None = None,
    ) -> None:
        self.assembly = Assembly()
        self._identity = identity
        self._sink = sink
        self._journal = journal
        self._call = call
        self._channel = channel
        self._shows_usage = shows_usage
        self._delivered = delivered
        self._repeats = repeats
        self._race = race
        self._position = 0
        self._size = 0
        self._answers = False
        self._speaks = False
        self._flows = False  # whatever comes next is new, and goes out at once
        self._held_back: list[bytes] = []

    async def take(self, chunks: Iterable[Chunk]) -> None:
        """Delivers `chunks`, also those in front of a failure. Raises `Diverged`, `Outrun`."""
        encoded: list[bytes] = []
        try:
            for chunk in chunks:
                if self._is_shown(chunk):
                    data = encode(chunk)
                    self._size += len(data)
                    encoded.append(data)
            if self._size > MAX_ANSWER_BYTES:
                raise GenerationError("upstream_error", "The provider's answer is longer than the gateway takes.")
        finally:
            if self._flows:
                if encoded:
                    await self._deliver(encoded)
            elif encoded:
                await self._put(self._ready(encoded))

    async def end(self) -> None:
        """The stream is whole. Raises `Diverged` if it is shorter than what was delivered, `Outrun`."""
        self._speaks = True
        await self._put(self._ready([]))
        if self._position < self._repeats:
            raise Diverged
        self._answer()

    def _ready(self, encoded: list[bytes]) -> list[bytes]:
        """What may go out now, in order, if `encoded` comes next."""
        if not self._speaks and len(self._held_back) + len(encoded) <= MOST_HELD_BACK:
            self._held_back += encoded
            return []
        self._speaks = True
        if self._held_back:
            encoded, self._held_back = self._held_back + encoded, []
        return encoded

    async def _put(self, encoded: Sequence[bytes]) -> None:
        if not encoded:
            return
        self._call.show()
        if self._position < self._repeats:
            encoded = self._unseen(encoded)
            if not encoded:
                return
        self._answer()
        self._flows = self._speaks
        await self._deliver(encoded)

    async def _deliver(self, encoded: Sequence[bytes]) -> None:
        if self._delivered is not None:
            self._delivered.add(encoded)
        await self._sink.put(encoded)

    def _unseen(self, encoded: Sequence[bytes]) -> Sequence[bytes]:
        """What follows on what was delivered."""
        seen = 0
        for chunk in encoded[: self._repeats - self._position]:
            if self._delivered is None or not self._delivered.agrees(chunk, self._position):
                raise Diverged
            self._position += 1
            seen += 1
        return encoded[seen:]

    def _answer(self) -> None:
        """From here on it is this attempt whose answer it is."""
        if self._answers:
            return
        if self._race is not None:
            self._race.claim(self._call)
        self._answers = True
        self._journal.channel, self._journal.model = self._channel, self._identity.model
        self._journal.assembly = self.assembly

    def _is_shown(self, chunk: Chunk) -> bool:
        """Names and counts `chunk`. The gateway asks for the usage itself; a client that did not is not shown it."""
        identity = self._identity
        chunk.id, chunk.created, chunk.model = identity.id, identity.created, identity.model
        self.assembly.add(chunk)
        if not self._speaks:
            self._speaks = begins(chunk)
        if chunk.usage is not None and not self._shows_usage:
            chunk.usage = None
            return bool(chunk.choices)
        return True
