"""One way for media: every source of a request, resolved once an attempt into what the channel takes.

An address is passed on where the provider reads it itself; else its bytes are fetched, once for all attempts of a task,
and sent along, or uploaded to the provider where the request would become too large.
"""

import asyncio
import binascii
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NamedTuple, Protocol
from weakref import WeakValueDictionary

from msgspec import Struct

from reynard.core.catalogue import Model, check_fetched
from reynard.core.channels import Channel
from reynard.core.errors import GenerationError
from reynard.core.formats import TYPE_OF_FORMAT, type_of
from reynard.core.generation import Generation
from reynard.core.media import Intake, Media, MediaSource, Resolved, as_said, is_public, sources
from reynard.engine.room import Room
from reynard.engine.routes import Route
from reynard.ports.clock import Clock
from reynard.ports.media import Fetcher, Uploaded

NOTHING: Final[Resolved] = {}
SNIFFED: Final = 64
MOST_UPLOADS_KNOWN: Final = 10_000
UPLOAD_MARGIN_S: Final = 3_600.0


UploadKey = tuple[str, bytes]
"""The channel's name, and the digest of the bytes."""

Reserve = Callable[[int], Awaitable[None]]
"""Waits until so many more bytes may be held."""


class MediaLimits(Struct, frozen=True, kw_only=True):
    """`max_bytes`: of one source. `max_held_bytes`: of all media that is in memory for attempts under way, or for
    further ones. `fetches_at_once`: downloads, of which a key has half at most. `gather_s`: for all that an attempt
    needs, the waiting for room and for a turn included.
    """

    max_bytes: int = 100_000_000
    max_held_bytes: int = 256_000_000
    fetches_at_once: int = 16
    gather_s: float = 60.0


class OwnFiles(Fetcher, Protocol):
    """The files that this gateway keeps itself, opened with no network."""

    def owns(self, url: str) -> bool:
        """Whether `url` is one of this gateway's own."""
        ...


class Fetched(Struct, frozen=True):
    """A whole body, and the content type that came with it."""

    data: bytes
    type: str


class NoRoom(Exception):
    """There is none at once, and it is another's turn to wait."""


class Gatherer:
    """Fetches, holds and uploads for all tasks of this node, within the limits."""

    def __init__(self, fetcher: Fetcher, own: OwnFiles, clock: Clock, limits: MediaLimits) -> None:
        self.limits = limits
        self.room = Room(limits.max_held_bytes, self._evict)
        self._fetcher = fetcher
        self._own = own
        self._clock = clock
        self._fetching = asyncio.Semaphore(limits.fetches_at_once)
        self._shares: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._held: OrderedDict[tuple[int, str], Fetched] = OrderedDict()
        self._uploads: OrderedDict[UploadKey, Uploaded] = OrderedDict()
        self._uploading: WeakValueDictionary[UploadKey, asyncio.Lock] = WeakValueDictionary()

    def begin(self, generation: Generation, model: Model, key_id: str) -> "Gathered":
        """The media of a task of that key, for all its attempts."""
        return Gathered(self, sources(generation), model, key_id)

    def is_passed_on(self, source: MediaSource, intake: Intake, channel: Channel) -> bool:
        """Whether the provider reads the address itself. One that is no public server is handed none: it would read
        from inside of the operator's network."""
        if source.origin == "data":
            return False
        if source.origin == "youtube":
            return intake.youtube
        if intake.blind:
            return True
        formats = intake.formats.get(source.kind)
        if source.kind not in intake.fetches or (formats is not None and source.format not in formats):
            return False
        return is_public(source.said) and is_public(channel.base_url) and not self._own.owns(source.said)

    def is_own(self, source: MediaSource) -> bool:
        """Whether it is a file that is kept here, which is read anew each time."""
        return self._own.owns(source.said)

    async def read(self, source: MediaSource, limit: int, key_id: str, reserve: Reserve) -> Fetched:
        """What an address leads to, read when it is its key's turn. Raises `GenerationError`."""
        if self.is_own(source):
            return await _read(self._own, source.said, limit, reserve)
        half = max(1, self.limits.fetches_at_once // 2)
        share = self._shares.setdefault(key_id, asyncio.Semaphore(half))
        async with share, self._fetching:
            return await _read(self._fetcher, source.said, limit, reserve)

    def hold(self, key: tuple[int, str], fetched: Fetched) -> None:
        """Keeps it for a further attempt, for as long as nobody needs the room."""
        self._held[key] = fetched

    def regain(self, key: tuple[int, str]) -> Fetched | None:
        """What was held, in use again; None if it is to be fetched anew."""
        return self._held.pop(key, None)

    def _evict(self) -> bool:
        """Drops what has been held longest."""
        if not self._held:
            return False
        _, dropped = self._held.popitem(last=False)
        self.room.used -= len(dropped.data)
        return True

    async def upload(self, piece: "_Piece", route: Route) -> "_Kept":
        """`piece`, put where the provider of `route` reads it; once for as long as it is kept there."""
        if route.uploader is None:
            raise too_large()
        data = piece.data
        digest = await asyncio.to_thread(lambda: hashlib.sha256(data).digest())
        key = (route.channel.name, digest)
        async with self._uploading.setdefault(key, asyncio.Lock()):  # who comes second finds it done
            known = self._uploads.get(key)
            is_old = known is not None and known.expires - UPLOAD_MARGIN_S >= self._clock.now()
            if known is None or not is_old:
                known = self._uploads[key] = await route.uploader.upload(data, piece.type)
        while len(self._uploads) > MOST_UPLOADS_KNOWN:
            self._uploads.popitem(last=False)
        return _Kept(key, Media(kind=piece.source.kind, type=piece.type, url=known.uri), is_old)

    def forget(self, keys: Iterable[UploadKey]) -> None:
        """These uploads may be gone: whoever wants them puts them there anew."""
        for key in keys:
            self._uploads.pop(key, None)


class _Kept(NamedTuple):
    """Media in a provider's keeping; `is_old`: since an earlier attempt, or another task."""

    key: UploadKey
    media: Media
    is_old: bool


class _Piece(Struct, frozen=True):
    """Bytes to send to a provider: as they were fetched, or in base64, as the client sent them."""

    source: MediaSource
    type: str
    content: bytes | str

    @property
    def size(self) -> int:
        """In base64."""
        return len(self.content) if isinstance(self.content, str) else (len(self.content) + 2) // 3 * 4

    @property
    def data(self) -> bytes:
        """The bytes themselves."""
        return binascii.a2b_base64(self.content) if isinstance(self.content, str) else self.content

    def inline(self) -> Media:
        """In base64, inside of the request."""
        text = self.content
        if isinstance(text, bytes):
            text = binascii.b2a_base64(text, newline=False).decode("ascii")
        return Media(kind=self.source.kind, type=self.type, data=text)


class Gathered:
    """The media of one task."""

    __slots__ = ("_fetched", "_gatherer", "_has_turn", "_key_id", "_model", "_reserved", "_sources", "_trusted")

    def __init__(self, gatherer: Gatherer, found: list[MediaSource], model: Model, key_id: str) -> None:
        self._gatherer = gatherer
        self._model = model
        self._key_id = key_id
        self._sources: dict[str, list[MediaSource]] = {}
        for source in found:
            self._sources.setdefault(source.said, []).append(source)
        self._reserved = 0  # bytes of the attempt under way
        self._has_turn = False  # to wait for room
        self._fetched: dict[str, Fetched] = {}  # in use by it, and worth keeping for the next
        self._trusted: list[UploadKey] = []  # uploads of before, that it relies on

    async def resolve(self, route: Route) -> Resolved:
        """Every source, as the channel takes it; until `rest`, its bytes count. Raises `GenerationError`."""
        if not self._sources:
            return NOTHING
        self._trusted = []
        try:
            async with asyncio.timeout(self._gatherer.limits.gather_s):
                return await self._resolved(route)
        except TimeoutError:
            raise GenerationError(
                "generation_timeout", "The media of the request was not there in time. Try again later."
            ) from None

    async def _resolved(self, route: Route) -> Resolved:
        intake = route.codec.intake(route.channel)
        resolved: dict[str, Media] = {}
        wanted: list[list[MediaSource]] = []
        for said, alike in self._sources.items():
            if all(self._gatherer.is_passed_on(source, intake, route.channel) for source in alike):
                resolved[said] = as_said(alike[0])
            else:
                wanted.append(alike)
        try:
            pieces = await self._pieces(wanted)
        except NoRoom:
            self._give_back()
            async with self._gatherer.room.turn:
                self._has_turn = True
                pieces = [await self._piece(alike) for alike in wanted]
        size = sum(piece.size for piece in pieces)
        for piece in sorted(pieces, key=_size, reverse=True):
            if size > intake.inline_bytes:  # the largest go first
                size -= piece.size
                kept = await self._gatherer.upload(piece, route)
                resolved[piece.source.said] = kept.media
                self._trusted += [kept.key] if kept.is_old else []
            else:
                resolved[piece.source.said] = piece.inline()
        return resolved

    async def _pieces(self, wanted: list[list[MediaSource]]) -> list["_Piece"]:
        """All of them side by side; the first that fails ends the others."""
        this = asyncio.current_task()
        cancelled = 0 if this is None else this.cancelling()
        try:
            async with asyncio.TaskGroup() as group:
                found = [group.create_task(self._piece(alike)) for alike in wanted]
        except ExceptionGroup as failed:
            while this is not None and this.cancelling() > cancelled:
                this.uncancel()  # Python 3.11's groups leave their own cancellation standing, and a timeout counts them
            raise failed.exceptions[0] from None
        return [piece.result() for piece in found]

    async def _piece(self, alike: list[MediaSource]) -> "_Piece":
        """One source, which may stand in several places of the request, as several kinds of media."""
        source = alike[0]
        if source.origin == "data":
            await self._reserve(len(source.said))
            media = as_said(source)
            return _Piece(source, media.type, media.data or "")
        if source.origin == "youtube":
            raise GenerationError("invalid_parameters", "The provider does not read YouTube addresses.", failover=True)
        try:
            fetched = await self._bytes(source)
        except GenerationError as error:
            raise GenerationError(error.code, f"`{source.param}`: {error.message}", failover=error.failover) from error
        first, *_ = [checked_type(place, fetched, self._model) for place in alike]
        return _Piece(source, first, fetched.data)

    async def _bytes(self, source: MediaSource) -> Fetched:
        """What the address leads to, fetched unless it is held."""
        gatherer = self._gatherer
        held = gatherer.regain((id(self), source.said))
        if held is not None:
            self._reserved += len(held.data)
        most = gatherer.limits.max_bytes
        limit = min(most, self._model.max_media_bytes.get(source.kind, most))
        fetched = held or await gatherer.read(source, limit, self._key_id, self._reserve)
        if not gatherer.is_own(source):
            self._fetched[source.said] = fetched
        return fetched

    async def _reserve(self, size: int) -> None:
        if self._reserved + size > self._gatherer.limits.max_held_bytes:
            raise too_large()
        if self._has_turn:
            await self._gatherer.room.take(size)
        elif not self._gatherer.room.take_now(size):
            raise NoRoom
        self._reserved += size

    def _give_back(self) -> None:
        self._fetched = {}
        self._gatherer.room.give(self._reserved)
        self._reserved = 0

    def rest(self) -> None:
        """The attempt is over: what was fetched is held for the next one, the rest is given back."""
        if not self._sources:
            return
        kept = sum(len(fetched.data) for fetched in self._fetched.values())
        for said, fetched in self._fetched.items():
            self._gatherer.hold((id(self), said), fetched)
        self._fetched = {}
        self._has_turn = False
        if self._reserved:
            self._gatherer.room.give(self._reserved - kept)
            self._reserved = 0

    def distrust(self) -> bool:
        """Whether the last attempt, which failed, relied on earlier uploads: they may be gone, and are forgotten."""
        self._gatherer.forget(self._trusted)
        return bool(self._trusted)

    def let_go(self) -> None:
        """Nothing of it is needed any more."""
        for said in self._sources:
            dropped = self._gatherer.regain((id(self), said))
            if dropped is not None:
                self._gatherer.room.give(len(dropped.data))


def checked_type(source: MediaSource, fetched: Fetched, model: Model) -> str:
    """The media type of what was fetched: by content, then by the address, then by what the server said.

    Raises `GenerationError` if it is nothing that the model takes there.
    """
    media_type = (
        type_of(fetched.data[:SNIFFED], source.kind)
        or TYPE_OF_FORMAT.get(source.format or "")
        or fetched.type.partition(";")[0].strip().lower()
    )
    check_fetched(source, media_type, len(fetched.data), model)
    return media_type


async def _read(fetcher: Fetcher, url: str, limit: int, reserve: Reserve) -> Fetched:
    """The whole body, for which room is made before it comes; or as it comes, if nobody says how long it is."""
    parts: list[bytes] = []
    async with fetcher.open(url, limit) as opened:
        await reserve(opened.size or 0)
        async for part in opened.parts():
            if opened.size is None:
                await reserve(len(part))
            parts.append(part)
        return Fetched(b"".join(parts), opened.type)


def too_large() -> GenerationError:
    """More than fits into a request to the provider."""
    return GenerationError(
        "media_too_large", "The media of the request is larger than the provider takes in one request. Make it smaller."
    )


def _size(piece: _Piece) -> int:
    return piece.size
