"""A load generator that does not flatter: raw sockets, keep-alive, and every answer read to its end and judged.

In the closed loop each connection asks again when it is answered: what a server can do at most. In the open loop
requests are due at a fixed rate, whatever the server does, and a latency counts from the moment a request was DUE:
those that could not be sent while the server stood still have waited too. A loop that counts from the moment of
sending, or that waits for answers before it asks again, hides them ("coordinated omission").
"""

import asyncio
import math
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httptools
import uvloop
from msgspec import Struct

from reynard.engine.jobs import Jobs

T = TypeVar("T")

SPECTRUM: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
SWEEP_S: Final = 0.05
PAUSE_S: Final = 0.05
"""Before one that was refused tries again."""


class Target(Struct, frozen=True):
    """What is asked. `requests`: whole HTTP requests, taken in turn. `follow`: what to ask next on the same connection,
    by the body of an answer; the latency is that of all together, and it ends with None. Raises `Unexpected`."""

    host: str
    port: int
    requests: tuple[bytes, ...]
    follow: Callable[[bytes], bytes | None] | None = None


class Unexpected(Exception):
    """An answer that is not what it should be; the message is the kind of failure."""


class Outcome(Struct):
    """One run. `answered`: within the `seconds` that were measured, without warm-up. `latencies`, in seconds, sorted:
    also of what was asked then and answered later, or given up after the timeout. `total`: all that were answered,
    warm-up and all: what the server's CPU time was spent on. `failures`: how many, by kind."""

    seconds: float
    answered: int
    total: int
    latencies: "array[float]"
    failures: Counter[str]

    @property
    def per_s(self) -> float:
        """Good answers a second."""
        return self.answered / self.seconds

    @property
    def failed(self) -> int:
        """Of all kinds."""
        return sum(self.failures.values())

    def ms(self, share: float) -> float:
        """The latency that `share` of the requests did not exceed; NaN if there is none."""
        if not self.latencies:
            return math.nan
        return 1000 * self.latencies[max(0, math.ceil(share * len(self.latencies)) - 1)]

    def spectrum(self) -> dict[str, float]:
        """In milliseconds."""
        return {name: self.ms(share) for name, share in SPECTRUM.items()}


def target(
    url: str,
    path: str,
    headers: Mapping[str, str],
    *bodies: bytes,
    method: str = "POST",
    follow: Callable[[bytes], bytes | None] | None = None,
) -> Target:
    """`method path` at `url` (http), with each of the `bodies` in turn."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    return Target(host, port, tuple(request(method, f"{host}:{port}", path, headers, b) for b in bodies), follow)


def request(method: str, host: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """As it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
    if body or method == "POST":
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def closed(
    asked: Target, *, connections: int, seconds: float, warm_s: float = 0.0, timeout_s: float = 30.0, least: int = 0
) -> Outcome:
    """`connections` at once, each asking again as soon as it is answered.

    A server that takes longer than `seconds` for its answers is given up to `timeout_s` more, for `least` answers: else
    it would seem to give none.
    """
    run = _Run(asked, seconds, warm_s, timeout_s, least)
    for _ in range(connections):
        run.connect()
    return await run.outcome()


async def at_rate(
    asked: Target, *, rate: float, seconds: float, connections: int = 256, warm_s: float = 0.0, timeout_s: float = 30.0
) -> Outcome:
    """`rate` requests a second, evenly spaced, over `connections` at most: what finds none free, waits for one."""
    run = _OpenRun(asked, seconds, warm_s, timeout_s, connections)
    ticking = asyncio.get_running_loop().run_in_executor(None, run.tick, rate, asyncio.get_running_loop())
    outcome = await run.outcome()
    await ticking
    return outcome


def on_loop(work: Coroutine[Any, Any, T]) -> T:
    """`work`, to its end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


class _Run:
    """What the connections of one run share: its clock, its figures, and the turn of the requests."""

    def __init__(self, asked: Target, seconds: float, warm_s: float, timeout_s: float, least: int = 0) -> None:
        self.asked = asked
        self.timeout_s = timeout_s
        self.begin = time.perf_counter() + warm_s
        self.end = self.begin + seconds
        self.latencies = array("d")
        self.failures: Counter[str] = Counter()
        self.busy = 0
        self.open: set[_Connection] = set()
        self._answered = 0
        self._total = 0
        self._next = 0
        self._jobs = Jobs()
        self._seconds = seconds
        self._least = least
        self._latest = self.end + timeout_s
        self._warm_s = warm_s

    def request(self) -> bytes:
        """The next one."""
        requests = self.asked.requests
        self._next = (self._next + 1) % len(requests)
        return requests[self._next]

    def good(self, due: float, now: float) -> None:
        """One answer."""
        self._total += 1
        if due >= self.begin:
            self.latencies.append(now - due)
        if self.begin <= now < self.end:
            self._answered += 1

    def bad(self, kind: str, due: float, now: float) -> None:
        """One failure; of those in the warm-up too, since nothing may fail there."""
        self.failures[kind] += 1
        if kind == "timeout" and due >= self.begin:
            self.latencies.append(now - due)  # it has waited for so long, whatever came of it

    def free(self, connection: "_Connection") -> None:
        """Answered: the next request, in the closed loop at once."""
        now = time.perf_counter()
        if now < self.end:
            connection.send(now)

    def lost(self) -> None:
        """A connection is gone: another one takes its place, if there is time left."""
        if time.perf_counter() < self.end:
            self.connect()

    def refused(self, kind: str, begun: float) -> None:
        """No connection was to be had."""
        self.bad(kind, begun, time.perf_counter())
        self.lost()

    def connect(self) -> None:
        """One more connection."""
        self._jobs.start(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        begun = time.perf_counter()
        made = loop.create_connection(lambda: _Connection(self), self.asked.host, self.asked.port)
        try:
            _, connection = await asyncio.wait_for(made, self.timeout_s)
        except TimeoutError:
            self.refused("timeout", begun)
        except OSError:
            await asyncio.sleep(PAUSE_S)
            self.refused("refused", begun)
        else:
            self.free(connection)

    @property
    def is_over(self) -> bool:
        """Nothing is asked any more, and nothing is waited for."""
        return time.perf_counter() >= self.end and not self.busy

    async def outcome(self) -> Outcome:
        """Runs, to its end: what was asked in time is waited for, until its timeout."""
        while not self.is_over:
            await asyncio.sleep(min(SWEEP_S, max(0.001, self.end - time.perf_counter())))
            self._sweep(time.perf_counter())
        await self._jobs.close()
        for connection in tuple(self.open):
            connection.close()
        latencies = array("d", sorted(self.latencies))
        return Outcome(self.end - self.begin, self._answered, self._total, latencies, self.failures)

    def _sweep(self, now: float) -> None:
        for connection in tuple(self.open):
            if connection.is_busy and now - connection.sent > self.timeout_s:
                connection.fail("timeout", now)
        if self._answered < self._least and self.end - 2 * SWEEP_S < now < self._latest:
            self.end = now + 3 * SWEEP_S


class _OpenRun(_Run):
    """Requests that are due wait here for a connection that is free."""

    def __init__(self, asked: Target, seconds: float, warm_s: float, timeout_s: float, connections: int) -> None:
        super().__init__(asked, seconds, warm_s, timeout_s)
        self._waiting: deque[float] = deque()
        self._idle: list[_Connection] = []
        self._room = connections
        self._all_due = False

    def tick(self, rate: float, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread of its own, since the timers of the loop are exact to a millisecond only."""
        for number in range(-round(self._warm_s * rate), round(self._seconds * rate)):
            due = self.begin + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            loop.call_soon_threadsafe(self._due, due)
        loop.call_soon_threadsafe(self._was_last)

    def free(self, connection: "_Connection") -> None:
        """For what has waited longest, if anything has."""
        if self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def lost(self) -> None:
        """Opened again when something waits."""
        self._room += 1
        self._idle = [connection for connection in self._idle if connection in self.open]
        if self._waiting:
            self._room -= 1
            self.connect()

    def refused(self, kind: str, begun: float) -> None:
        """What has waited longest is what failed."""
        if self._waiting:
            self.bad(kind, self._waiting.popleft(), time.perf_counter())
        self.lost()

    @property
    def is_over(self) -> bool:
        """Everything that was due is answered, or given up."""
        return self._all_due and not self._waiting and not self.busy

    def _due(self, due: float) -> None:
        if self._idle:
            self._idle.pop().send(due)
            return
        self._waiting.append(due)
        if self._room:
            self._room -= 1
            self.connect()

    def _was_last(self) -> None:
        self._all_due = True

    def _sweep(self, now: float) -> None:
        super()._sweep(now)
        while self._waiting and now - self._waiting[0] > self.timeout_s:
            self.bad("timeout", self._waiting.popleft(), now)


class _Connection(asyncio.Protocol):
    """One connection: a request at a time."""

    def __init__(self, run: _Run) -> None:
        self.is_busy = False
        self.sent = 0.0
        self._run = run
        self._due = 0.0
        self._body: list[bytes] = []
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self if run.asked.follow is None else _Keeping(self))

    def send(self, due: float) -> None:
        """The next request, which was due then."""
        self._due = due
        self.is_busy = True
        self._run.busy += 1
        self._write(self._run.request())

    def fail(self, kind: str, now: float) -> None:
        """What is asked has failed, and the connection with it."""
        if self.is_busy:
            self._rest()
            self._run.bad(kind, self._due, now)
        self._transport.abort()

    def close(self) -> None:
        """Nothing more is asked."""
        self._run.open.discard(self)
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = transport  # type: ignore[assignment]
        self._run.open.add(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.fail("not HTTP", time.perf_counter())

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio. Unasked, between two requests, it is no failure."""
        if self in self._run.open:
            self._run.open.discard(self)
            self.fail("connection lost", time.perf_counter())
            self._run.lost()

    def on_message_complete(self) -> None:
        """The answer is whole."""
        now = time.perf_counter()
        status = self._parser.get_status_code()
        if not self.is_busy:
            self.fail("unasked", now)
            return
        try:
            following = self._following(status)
        except Unexpected as unexpected:
            self.fail(str(unexpected), now)
            return
        if following is not None:
            self._write(following)
            return
        self._rest()
        if status == 200:
            self._run.good(self._due, now)
        else:
            self._run.bad(f"status {status}", self._due, now)
        if self._parser.should_keep_alive():
            self._run.free(self)
        else:
            self._transport.close()

    def keep(self, body: bytes) -> None:
        """A piece of a body that says what follows."""
        self._body.append(body)

    def _following(self, status: int) -> bytes | None:
        follow = self._run.asked.follow
        if follow is None or status != 200:
            return None
        body = b"".join(self._body)
        self._body.clear()
        return follow(body)

    def _rest(self) -> None:
        self.is_busy = False
        self._run.busy -= 1

    def _write(self, data: bytes) -> None:
        self.sent = time.perf_counter()
        self._transport.write(data)


class _Keeping:
    """For the parser, which makes bytes of a body only for who takes them."""

    def __init__(self, connection: _Connection) -> None:
        self.on_body = connection.keep
        self.on_message_complete = connection.on_message_complete
