"""How a server ends, and what time it tells (`http.server`)."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from reynard.http import server
from reynard.http.asgi import Receive, Scope, Send
from reynard.http.server import Server
from reynard.testing.clock import FakeClock

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
SATURDAY = 1_795_219_200.0
SOON_S = 5


class Slow:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.set()
        await self.go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})


class Running:
    """A server of `Slow`, and clients of it."""

    def __init__(self, clock: FakeClock, drain_s: float) -> None:
        self.app = Slow()
        self.server = Server(self.app, clock, drain_s=drain_s, max_connections=10)

    async def start(self) -> None:
        bound = server.listen("127.0.0.1", 0)
        self._port = bound.getsockname()[1]
        await self.server.open(bound)
        self.serving = asyncio.ensure_future(self.server.serve())

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def ask(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A request that is under way."""
        self.app.asked.clear()
        reader, writer = await self.connect()
        writer.write(GET)
        await self.app.asked.wait()
        return reader, writer

    async def ended(self) -> None:
        await asyncio.wait_for(asyncio.shield(self.serving), SOON_S)


@asynccontextmanager
async def running(clock: FakeClock | None = None, drain_s: float = 60) -> AsyncIterator[Running]:
    it = Running(clock or FakeClock(), drain_s)
    await it.start()
    try:
        yield it
    finally:
        it.server.stop()
        it.app.go_on.set()
        await it.ended()


async def test_who_is_being_answered_is_the_last() -> None:
    async with running() as it:
        idle, idle_writer = await it.connect()
        asked, asked_writer = await it.ask()
        it.server.stop()
        assert await asyncio.wait_for(idle.read(), SOON_S) == b""
        with pytest.raises(ConnectionRefusedError):
            await it.connect()
        assert not it.serving.done()
        it.app.go_on.set()
        answer = await asyncio.wait_for(asked.read(), SOON_S)
        assert b"\r\nconnection: close\r\n" in answer
        assert answer.endswith(b"\r\n\r\ndone")
        await it.ended()
        idle_writer.close()
        asked_writer.close()


async def test_a_connection_that_was_answered_before_is_closed() -> None:
    async with running() as it:
        it.app.go_on.set()
        reader, writer = await it.ask()
        assert (await reader.readuntil(b"done")).startswith(b"HTTP/1.1 200 OK\r\n")
        it.server.stop()
        assert await asyncio.wait_for(reader.read(), SOON_S) == b""
        await it.ended()
        writer.close()


async def test_told_twice_it_waits_for_goodbyes_alone() -> None:
    async with running() as it:
        reader, writer = await it.ask()
        it.server.stop()
        await asyncio.sleep(0)
        it.server.stop()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(it.serving), 0.05)
        it.app.go_on.set()  # as what is cut by the engine does
        assert (await asyncio.wait_for(reader.read(), SOON_S)).endswith(b"\r\n\r\ndone")
        await it.ended()
        writer.close()


async def test_told_twice_it_waits_no_longer_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GRACE_S", 0)
    async with running() as it:
        _, writer = await it.ask()
        it.server.stop()
        it.server.stop()
        await it.ended()
        writer.close()


def test_of_two_that_could_bind_one_listens() -> None:
    """Each could, until the other listened; to whom the port belongs is seen before anything is begun."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with server.listen("127.0.0.1", port), pytest.raises(OSError, match="in use"):
            other.listen()


async def test_what_takes_too_long_is_cut_short_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GRACE_S", 0)
    async with running(drain_s=0.05) as it:
        reader, writer = await it.ask()
        it.server.stop()
        await it.ended()
        assert (await asyncio.wait_for(reader.read(), SOON_S)).startswith(b"HTTP/1.1 500 ")
        writer.close()


async def test_every_answer_tells_the_time_of_the_clock() -> None:
    clock = FakeClock(SATURDAY)
    async with running(clock) as it:
        it.app.go_on.set()
        reader, writer = await it.connect()

        async def date() -> bytes:
            writer.write(GET)
            answer = await reader.readuntil(b"done")
            [line] = [line for line in answer.split(b"\r\n") if line.startswith(b"date: ")]
            return line

        assert await date() == b"date: Sat, 21 Nov 2026 00:00:00 GMT"
        clock.advance(61)
        async with asyncio.timeout(SOON_S):
            while await date() != b"date: Sat, 21 Nov 2026 00:01:01 GMT":
                pass
        writer.close()
