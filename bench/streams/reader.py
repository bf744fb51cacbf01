"""Who reads: raw protocols on one loop, which count and look at each chunk for as little as that can be done.

A `Crowd` opens streams to one target and keeps them; what all of them saw is in its `Tally`.
"""

import asyncio
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import httptools
import msgspec
from msgspec import Struct, field

from bench.figures import UPSTREAM
from bench.subject import CHAT, Subject

GENERATIONS: Final = "/v1/llm/generations"
STAMP: Final = b'"@'
OPENING_AT_ONCE: Final = 32
PATIENCE_S: Final = 15.0
ENDINGS: Final = (b"data: [DONE]\n\n", b"event: done\ndata: ")
"""Of a stream, and of a durable one."""


class Broken(Exception):
    """A stream that was not answered, or not to its end; the message says how."""


class Target(Struct, frozen=True, kw_only=True):
    """Whom to ask, and in which way. `durable`: submitted as a task, and its stream read."""

    name: str
    subject: Subject
    durable: bool = False

    @property
    def pids(self) -> tuple[int, ...]:
        """All of its processes."""
        return self.subject.pids

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = urlsplit(self.subject.url).netloc.partition(":")
        return host, int(port)

    def request(self, words: str) -> bytes:
        """The request for a stream, as bytes on the wire; `words` tell the upstream its pace."""
        body = {
            "model": self.subject.model,
            "messages": [{"role": "user", "content": words}],
            "stream": True,
        }
        return self.call("POST", GENERATIONS if self.durable else self.subject.path, msgspec.json.encode(body))

    def call(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Any request."""
        headers = {"host": urlsplit(self.subject.url).netloc, **self.subject.headers}
        if body:
            headers |= {"content-type": "application/json", "content-length": str(len(body))}
        lines = [f"{method} {path} HTTP/1.1", *[f"{name}: {value}" for name, value in headers.items()]]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def upstream_alone(url: str) -> Target:
    """Nothing in between."""
    return Target(name=UPSTREAM, subject=Subject(name="upstream", version="", url=url, pids=(), path=CHAT))


class Tally(Struct):
    """What the streams of a crowd saw. Times in nanoseconds; `delays` are noted while `notes` is set."""

    chunks: int = 0
    ended: int = 0
    notes: bool = False
    firsts: Any = field(default_factory=lambda: array("q"))  # from the request to the first chunk
    delays: Any = field(default_factory=lambda: array("q"))  # from the provider's writing to our reading
    faults: list[str] = []


class Stream(asyncio.Protocol):
    """One connection, one stream after the other. `again`: asks anew at the end of each."""

    def __init__(self, target: Target, request: bytes, tally: Tally, *, timed: bool, again: bool) -> None:
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[None] = loop.create_future()  # the first chunk of the first stream is there
        self.done: asyncio.Future[None] = loop.create_future()
        self.again = again
        self._target = target
        self._request = request
        self._tally = tally
        self._count = self._count_stamped if timed else self._count_only
        self._told: bytes | None = None  # of the answer to a submitted task
        self._rest = self._end = b""  # the piece of an event under way, and the last whole ones
        self._next = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = transport  # type: ignore[assignment]
        self._ask()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        if not self.done.done():
            self._fail(f"the connection was closed after {self._next} chunks")

    def close(self) -> None:
        """Whatever is under way."""
        self._finish()

    # httptools

    def on_body(self, body: bytes) -> None:
        """A piece of the answer."""
        if self._told is not None:
            self._told += body
            return
        data = self._rest + body
        if data[-2:] == b"\n\n":
            self._rest = b""
        else:
            end = data.rfind(b"\n\n") + 2
            data, self._rest = (data[:end], data[end:]) if end > 1 else (b"", data)
        if data:
            self._end = data
            self._count(data)

    def on_message_complete(self) -> None:
        """The end of a stream, or of the answer to a submitted task."""
        status = self._parser.get_status_code()
        if status != 200:
            self._fail(f"status {status}: {(self._told or self._end or self._rest)[:300]!r}")
        elif self._told is not None:
            path = msgspec.json.decode(self._told)["stream"]["url"]
            self._read()
            self._transport.write(self._target.call("GET", path))
        elif not any(ending in self._end for ending in ENDINGS):
            self._fail(f"no end after {self._next} chunks: {self._end[-300:]!r}")
        else:
            self._tally.ended += 1
            if self.again:
                self._ask()
            else:
                self._finish()

    def _ask(self) -> None:
        self._asked = time.monotonic_ns()
        self._next = 0
        self._read()
        if self._target.durable:
            self._told = b""
        self._transport.write(self._request)

    def _read(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._told = None
        self._rest = self._end = b""

    def _first(self, now: int) -> None:
        self._tally.firsts.append(now - self._asked)
        if not self.begun.done():
            self.begun.set_result(None)

    def _count_stamped(self, data: bytes) -> None:
        now = time.monotonic_ns()
        stamps = data.split(STAMP)[1:]
        if not stamps:
            return
        if not self._next:
            self._first(now)
        for stamp in stamps:
            if int(stamp[20:27]) != self._next:
                self._fail(f"chunk {stamp[20:27]!r} came for {self._next}")
                return
            self._next += 1
            if self._tally.notes:
                self._tally.delays.append(now - int(stamp[:19]))
        self._tally.chunks += len(stamps)

    def _count_only(self, data: bytes) -> None:
        count = data.count(STAMP)
        if count and not self._next:
            self._first(time.monotonic_ns())
        self._next += count
        self._tally.chunks += count

    def _fail(self, why: str) -> None:
        self._tally.faults.append(f"{self._target.name}: {why}")
        self._finish()

    def _finish(self) -> None:
        for waited in (self.begun, self.done):
            if not waited.done():
                waited.set_result(None)
        self._transport.close()


class Crowd:
    """Streams to one target. `words`: the pace. `again`: each connection asks anew when a stream has ended."""

    def __init__(self, target: Target, words: str, *, timed: bool = True, again: bool = False) -> None:
        self.tally = Tally()
        self.streams: list[Stream] = []
        self._target = target
        self._request = target.request(words)
        self._timed = timed
        self._again = again

    async def join(self, count: int) -> None:
        """So many more, a few at a time; returns when each has its first chunk. Raises `Broken`."""
        waiting = iter(range(count))

        async def some() -> None:
            for _ in waiting:
                await self._open()

        async with asyncio.timeout(PATIENCE_S + count / 100):
            await asyncio.gather(*(some() for _ in range(min(count, OPENING_AT_ONCE))))
        self.check()

    async def ended(self) -> None:
        """Returns when all streams are at their end. Raises `Broken`."""
        broken = await self.broken()
        self.check()
        if broken:
            raise Broken(f"{self._target.name}: {broken} of {len(self.streams)} streams have no end")

    async def broken(self) -> int:
        """How many streams have no end, or not the right one, once there was time for it."""
        for stream in self.streams:
            stream.again = False
        await asyncio.wait([stream.done for stream in self.streams], timeout=PATIENCE_S)
        return sum(not stream.done.done() for stream in self.streams) + len(self.tally.faults)

    def close(self) -> None:
        """Leaves."""
        for stream in self.streams:
            stream.close()

    async def _open(self) -> None:
        stream = Stream(self._target, self._request, self.tally, timed=self._timed, again=self._again)
        await asyncio.get_running_loop().create_connection(lambda: stream, *self._target.address)
        self.streams.append(stream)
        await stream.begun

    def check(self) -> None:
        """Raises `Broken` if any stream was."""
        if self.tally.faults:
            raise Broken(f"{len(self.tally.faults)} streams broke; {self.tally.faults[0]}")


@asynccontextmanager
async def crowd(target: Target, words: str, *, timed: bool = True, again: bool = False) -> AsyncIterator[Crowd]:
    """Gone in the end."""
    found = Crowd(target, words, timed=timed, again=again)
    try:
        yield found
    finally:
        found.close()
