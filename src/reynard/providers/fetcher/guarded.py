"""Reads what a client's URL leads to, and nothing that it must not. Why so: docs/decisions/0010.

One client of wreq for each hop, which knows one name and its checked addresses, and is thrown away after it.
"""

import asyncio
import datetime
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import wreq
from msgspec import Struct
from wreq import exceptions as wire
from wreq.dns import DnsOptions

from reynard.core.addresses import Address, Refused, Target, is_name_open, is_open, onward, parsed, target
from reynard.core.errors import GenerationError
from reynard.providers.fetcher.lookup import Lookup

log = logging.getLogger(__name__)

Resolver = Callable[[str, int], Awaitable[list[str]]]
"""Host and port to addresses, in bounded time. May raise `Refused`, `TimeoutError`."""

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS: Final = 5
MOST_ADDRESSES: Final = 8
"""Pinned for one name; all are checked."""
PART_BYTES: Final = 65_536
FREE_PIECES: Final = 4_096
LEAST_PIECE_BYTES: Final = 64
LONGEST_TYPE: Final = 256
HEADERS: Final = {"accept": "*/*", "accept-encoding": "identity"}
WIRE: Final = (
    wire.BodyError,
    wire.BuilderError,
    wire.ConnectionError,
    wire.ConnectionResetError,
    wire.DecodingError,
    wire.ProxyConnectionError,
    wire.RedirectError,
    wire.RequestError,
    wire.RustPanic,
    wire.StatusError,
    wire.TimeoutError,
    wire.TlsError,
    wire.UpgradeError,
)
FAILED: Final = (
    "The gateway could not fetch the address. Check that it is public (http or https) and answers a plain GET with the "
    "file and status 200, without a login; or send the bytes themselves."
)


class FetchRules(Struct, frozen=True, kw_only=True):
    """`timeout_s`: for everything, look-ups and redirects included. `lookup_s`: for a name, and as long for its turn.
    `head_s`: for one hop, up to its headers.

    `pace_bytes` must come in each `pace_s`, until the body ends.
    """

    allow_private_networks: bool = False
    timeout_s: float = 30.0
    lookup_s: float = 5.0
    connect_s: float = 5.0
    head_s: float = 10.0
    pace_bytes: int = 4_096
    pace_s: float = 5.0


class GuardedFetcher:
    """The fetcher of `ports.media`. It shares no connection, cookie, key or proxy with the channels."""

    def __init__(self, rules: FetchRules, resolve: Resolver | None = None) -> None:
        self._rules = rules
        self._resolve = resolve or lookup_of(rules)

    @asynccontextmanager
    async def open(self, url: str, limit: int) -> AsyncIterator["Body"]:
        """See the port. Every failure reads the same, but for what is too large."""
        deadline = asyncio.get_running_loop().time() + self._rules.timeout_s
        with _told():
            async with asyncio.timeout_at(deadline):
                response = await self._answer(target(url))
        async with response:
            with _told():
                _check(response, limit)
            yield Body(response, limit, deadline, self._rules)

    async def _answer(self, goal: Target) -> wreq.Response:
        """At the end of all redirects."""
        for _ in range(MOST_REDIRECTS + 1):
            response = await self._get(goal)
            if response.status.as_int() not in REDIRECTS:
                return response
            async with response:
                goal = onward(goal, bytes(response.headers.get("location") or b""))
        raise Refused("too many redirects")

    async def _get(self, goal: Target) -> wreq.Response:
        """One hop, to an address that was checked, and to no other."""
        pinned = await addresses(goal, self._rules, self._resolve)
        async with asyncio.timeout(self._rules.head_s):
            return await client(goal.host, pinned, self._rules.connect_s).get(goal.url, headers=HEADERS)


def lookup_of(rules: FetchRules) -> Lookup:
    """The system's resolver, of which a third of the whole time is left, whatever it takes."""
    return Lookup(absolute=not rules.allow_private_networks, lookup_s=min(rules.lookup_s, rules.timeout_s / 3))


async def addresses(goal: Target, rules: FetchRules, resolve: Resolver) -> list[Address]:
    """What the host resolves to, all of it checked. Raises `Refused`, `TimeoutError`."""
    if goal.address is not None:
        found: list[Address] = [goal.address]
    else:
        if not (rules.allow_private_networks or is_name_open(goal.host)):
            raise Refused("not a public address")
        found = parsed(await resolve(goal.host, goal.port))
    if not (rules.allow_private_networks or all(map(is_open, found))):
        raise Refused("not a public address")
    return found[:MOST_ADDRESSES]


class Body:
    """See `ports.media.Opened`."""

    __slots__ = ("_deadline", "_limit", "_response", "_rules", "size", "type")

    def __init__(self, response: wreq.Response, limit: int, deadline: float, rules: FetchRules) -> None:
        said = bytes(response.headers.get("content-type") or b"")
        self.type = said[:LONGEST_TYPE].decode("latin-1")
        self.size: int | None = response.content_length
        self._response = response
        self._limit = limit
        self._deadline = deadline
        self._rules = rules

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """The body in parts of some size, however small the pieces are in which it comes."""
        kept = bytearray()
        size = pieces = 0
        pace = _Pace(self._rules, self._deadline)
        async with self._response.stream() as stream:
            while (piece := await pace.next(stream)) is not None:
                size += len(piece)
                pieces += 1
                if size > self._limit:
                    raise _too_large(self._limit)
                if pieces > FREE_PIECES and size < pieces * LEAST_PIECE_BYTES:
                    raise _failed("sent in crumbs")
                kept += piece
                if len(kept) >= PART_BYTES:
                    yield bytes(kept)
                    kept.clear()
                    pace.go_on()
        if not size:
            raise _failed("empty")
        if kept:
            yield bytes(kept)


class _Pace:
    """Reads on while enough comes. What the reader does between two parts is not the server's time."""

    __slots__ = ("_came", "_deadline", "_loop", "_rules", "_since")

    def __init__(self, rules: FetchRules, deadline: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._rules = rules
        self._deadline = deadline
        self.go_on()

    def go_on(self) -> None:
        """A new stretch begins."""
        self._since = self._loop.time()
        self._came = 0

    async def next(self, stream: wreq.Streamer) -> memoryview | None:
        """The next piece; None at the end. Raises `GenerationError`."""
        with _told():
            async with asyncio.timeout_at(min(self._deadline, self._since + self._rules.pace_s)):
                async for piece in stream:
                    if isinstance(piece, memoryview):  # else trailers
                        self._came += len(piece)
                        if self._came >= self._rules.pace_bytes:
                            self.go_on()
                        return piece
        return None


def client(host: str, pinned: Sequence[Address], connect_s: float) -> wreq.Client:
    """For one request to one name. It unpacks nothing, follows nothing and keeps nothing."""
    names = DnsOptions(system_dns=True)
    names.add_resolve(host, pinned)
    return wreq.Client(
        dns_options=names,
        connect_timeout=datetime.timedelta(seconds=connect_s),
        pool_max_idle_per_host=0,
        redirect=wreq.redirect.Policy.none(),
        http1_only=True,
        gzip=False,
        brotli=False,
        deflate=False,
        zstd=False,
        no_proxy=True,
        cookie_store=False,
        referer=False,
        user_agent="reynard",
    )


def _check(response: wreq.Response, limit: int) -> None:
    """What the head says. Raises `Refused` and `GenerationError`."""
    if response.status.as_int() != 200:
        raise Refused(f"status {response.status.as_int()}")
    for encoding in response.headers.get_all("content-encoding"):
        if bytes(encoding).strip().lower() not in (b"", b"identity"):
            raise Refused("encoded")
    if (response.content_length or 0) > limit:
        raise _too_large(limit)


@contextmanager
def _told() -> Iterator[None]:
    """Every failure as the client may see it, with nothing in it of where the address led; the log has its kind."""
    try:
        yield
    except Refused as refused:
        raise _failed(str(refused)) from None
    except TimeoutError:
        raise _failed("too slow") from None
    except WIRE as error:
        raise _failed(type(error).__name__) from None


def _failed(reason: str) -> GenerationError:
    log.info("media was not fetched: %s", reason)
    return GenerationError("media_fetch_failed", FAILED)


def _too_large(limit: int) -> GenerationError:
    log.info("media was not fetched: too large")
    return GenerationError("media_too_large", f"What the address leads to has more than {limit} bytes. Send less.")
