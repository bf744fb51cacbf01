"""The client for providers, against servers on real sockets that answer as they should not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest

from reynard.ports.transport import ConnectFailed, ConnectionBroken
from reynard.providers.upstream.address import Address
from reynard.providers.upstream.answer import MOST_HELD, Answer
from reynard.providers.upstream.connection import MOST_DRY
from reynard.providers.upstream.pool import MOST_IDLE, Pool

OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED: Final = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
LIMIT: Final = 10_000_000


class Line:
    """A connection, as its server sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.requests: list[tuple[bytes, bytes]] = []

    async def request(self) -> bool:
        """The next one; whether there was one."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        length = next((int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"content-length: ")), 0)
        self.requests.append((head, await self.reader.readexactly(length)))
        return True

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def is_cut(self) -> bool:
        """Waits until the other side is gone."""
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True


Serve = Callable[[Line], Awaitable[None]]


class Served:
    """A server, with the lines that it had."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.lines: list[Line] = []
        self.ended = asyncio.Event()


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[Served]:
    """Closes a connection when `serve` is done with it."""
    served: Served | None = None
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert served is not None
        line = Line(reader, writer)
        served.lines.append(line)
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(line)
        except ConnectionError:
            pass
        finally:
            writer.close()
            served.ended.set()
            tasks.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    served = Served(Address.of(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    try:
        yield served
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    made = Pool(5.0)
    yield made
    made.close()


async def ask(pool: Pool, served: Served, body: bytes | None = b"{}") -> Answer:
    head = served.address.head("POST", "/x", {"content-type": "application/json"})
    return await pool.ask(served.address.origin, head, body)


async def read(pool: Pool, served: Served, limit: int = LIMIT) -> bytes:
    """One answer, whole."""
    answer = await ask(pool, served)
    try:
        return await answer.read(limit)
    finally:
        answer.let_go()


async def streamed(answer: Answer) -> list[bytes]:
    return [part async for part in answer.parts()]


def says(*pieces: bytes) -> Serve:
    """Answers each request with `pieces`, one after the other, then closes."""

    async def serve(line: Line) -> None:
        await line.request()
        for piece in pieces:
            await line.write(piece)

    return serve


async def keeps_on(line: Line) -> None:
    """Answers whatever is asked."""
    while await line.request():
        await line.write(OK)


async def test_a_request_is_what_it_says(pool: Pool) -> None:
    async with serving(keeps_on) as served:
        assert await read(pool, served) == b"ok"
        head, body = served.lines[0].requests[0]
    assert head.startswith(b"POST /x HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"\r\ncontent-type: application/json\r\n" in head
    assert b"\r\naccept-encoding: identity\r\n" in head
    assert body == b"{}"


async def test_a_large_body_arrives_as_it_was_sent(pool: Pool) -> None:
    body = bytes(range(256)) * 20_000
    async with serving(keeps_on) as served:
        answer = await ask(pool, served, body)
        assert await answer.read(LIMIT) == b"ok"
        answer.let_go()
        assert served.lines[0].requests[0][1] == body


async def test_a_connection_is_used_again(pool: Pool) -> None:
    async with serving(keeps_on) as served:
        for _ in range(3):
            assert await read(pool, served) == b"ok"
        assert len(served.lines) == 1


async def test_two_at_once_have_two_connections(pool: Pool) -> None:
    async with serving(keeps_on) as served:
        assert await asyncio.gather(*(read(pool, served) for _ in range(2))) == [b"ok", b"ok"]
        assert len(served.lines) == 2


@pytest.mark.parametrize("cut", range(1, len(OK)))
async def test_an_answer_in_two_pieces(pool: Pool, cut: int) -> None:
    async with serving(says(OK[:cut], OK[cut:])) as served:
        assert await read(pool, served) == b"ok"


@pytest.mark.parametrize(
    "answer",
    [
        CHUNKED + b"1\r\no\r\n1;x=y\r\nk\r\n0\r\nsome: trailer\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\n\r\nok",
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK,
    ],
    ids=["chunks and trailers", "until it closes", "HTTP/1.0", "two interim answers"],
)
async def test_bodies_as_http_has_them(pool: Pool, answer: bytes) -> None:
    async with serving(says(answer)) as served:
        answered = await ask(pool, served)
        assert answered.status == 200
        assert await answered.read(LIMIT) == b"ok"
        assert not [name for name, _ in answered.fields if name in (b"link", b"some")]
        answered.let_go()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
    ],
    ids=[
        "nothing", "half a head", "interim alone", "another protocol", "no HTTP", "two lengths",
        "two framings", "no length",
    ],
)  # fmt: skip
async def test_what_is_no_answer(pool: Pool, answer: bytes) -> None:
    async with serving(says(answer)) as served:
        with pytest.raises(ConnectionBroken):
            await ask(pool, served)


@pytest.mark.parametrize(
    "answer",
    [
        OK[:-1],
        CHUNKED + b"2\r\nok\r\n",
        CHUNKED + b"2\r\nok\r\n0\r\n",
        CHUNKED + b"5\r\nok",
        CHUNKED + b"no number\r\n",
    ],
    ids=[
        "short", "no last chunk", "no last line", "half a chunk", "no chunk",
    ],
)  # fmt: skip
async def test_a_cut_body_is_no_whole_one(pool: Pool, answer: bytes) -> None:
    async with serving(says(answer)) as served:
        answered = await ask(pool, served)
        with pytest.raises(ConnectionBroken):
            await answered.read(LIMIT)
        answered.let_go()


@pytest.mark.parametrize(
    ("begins", "goes_on"),
    [
        (b"HTTP/1.1 200 OK\r\nx:", b"y" * 10_000),
        (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 1_000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000),
        (CHUNKED + b"1;", b"x" * 10_000),
        (CHUNKED + b"0\r\nx:", b"y" * 10_000),
    ],
    ids=["a line", "a head", "interim answers", "an extension", "a trailer"],
)
async def test_what_does_not_end(pool: Pool, begins: bytes, goes_on: bytes) -> None:
    """It is let go of, and the line cut, before it comes to much."""
    sent = 0

    async def serve(line: Line) -> None:
        nonlocal sent
        await line.request()
        await line.write(begins)
        while True:
            await line.write(goes_on)
            sent += len(goes_on)

    async with serving(serve) as served:
        with pytest.raises(ConnectionBroken):
            await read(pool, served)
        await served.ended.wait()
    assert sent < MOST_DRY + 20_000_000  # what the kernel takes is not read


async def test_a_stream_has_its_parts_before_it_breaks(pool: Pool) -> None:
    async with serving(says(CHUNKED + b"2\r\nok\r\n")) as served:
        answered = await ask(pool, served)
        parts = answered.parts()
        assert await anext(parts) == b"ok"
        with pytest.raises(ConnectionBroken):
            await anext(parts)
        answered.let_go()


async def test_an_answer_that_is_too_long_is_not_read(pool: Pool) -> None:
    async with serving(says(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200)) as served:
        with pytest.raises(ConnectionBroken, match="longer"):
            await read(pool, served, 199)


async def test_an_answer_that_will_be_too_long_is_not_waited_for(pool: Pool) -> None:
    async def serve(line: Line) -> None:
        await line.request()
        await line.write(b"HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\n")
        assert await line.is_cut()

    async with serving(serve) as served:
        with pytest.raises(ConnectionBroken, match="longer"):
            await read(pool, served, 199)
        await served.ended.wait()


async def test_an_answer_larger_than_what_is_held_is_read_whole(pool: Pool) -> None:
    body = b"x" * (MOST_HELD * 5)
    async with serving(says(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body), body)) as served:
        assert await read(pool, served) == body


async def test_a_reader_that_takes_its_time_holds_the_provider_up(pool: Pool) -> None:
    """What waits in the gateway is bounded, and nothing is lost."""
    length, written = 64_000_000, 0

    async def serve(line: Line) -> None:
        nonlocal written
        await line.request()
        await line.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % length)
        while written < length:
            await line.write(b"x" * 100_000)
            written += 100_000

    async with serving(serve) as served:
        answered = await ask(pool, served)
        before = -1
        while before != written:  # until the server is held up
            before = written
            for _ in range(200):
                await asyncio.sleep(0)
            await asyncio.sleep(0.01)
        assert written < length / 2
        assert answered._size < MOST_HELD + 1_000_000
        assert sum(map(len, await streamed(answered))) == length
        answered.let_go()


async def test_one_that_was_closed_meanwhile_is_not_used(pool: Pool) -> None:
    """Also when the event loop has not yet come to tell."""
    gone = asyncio.Event()

    async def serve(line: Line) -> None:
        await line.request()
        await line.write(OK)
        await gone.wait()

    async with serving(serve) as served:
        assert await read(pool, served) == b"ok"
        gone.set()
        await served.ended.wait()
        served.lines[0].writer.transport.abort()
        assert await read(pool, served) == b"ok"
        assert len(served.lines) == 2


async def test_one_that_was_closed_is_forgotten(pool: Pool) -> None:
    async def serve(line: Line) -> None:
        await line.request()
        await line.write(OK)

    async with serving(serve) as served:
        assert await read(pool, served) == b"ok"
        async with asyncio.timeout(10):
            while pool._idle[served.address.origin]:
                await asyncio.sleep(0)


@pytest.mark.parametrize(
    "more", [OK, b"x", b"HTTP/1.1 500 No\r\n"], ids=["another answer", "something", "the beginning of one"]
)
async def test_what_comes_after_an_answer_is_nobodys(pool: Pool, more: bytes) -> None:
    """It is not taken for the answer to the next request."""

    async def serve(line: Line) -> None:
        first = len(served.lines) == 1
        while await line.request():
            await line.write(OK + more if first else OK.replace(b"ok", b"no"))

    async with serving(serve) as served:
        assert await read(pool, served) == b"ok"
        assert await read(pool, served) == b"no"
        assert len(served.lines) == 2


@pytest.mark.parametrize("header", [b"HTTP/1.1 200 OK\r\nconnection: close", b"HTTP/1.0 200 OK"])
async def test_one_that_is_to_be_closed_is_not_kept(pool: Pool, header: bytes) -> None:
    async def serve(line: Line) -> None:
        await line.request()
        await line.write(header + b"\r\ncontent-length: 2\r\n\r\nok")
        assert await line.is_cut()

    async with serving(serve) as served:
        assert await read(pool, served) == b"ok"
        await served.ended.wait()


async def test_cancelled_before_the_head_it_is_cut(pool: Pool) -> None:
    asked = asyncio.Event()

    async def serve(line: Line) -> None:
        await line.request()
        asked.set()
        assert await line.is_cut()

    async with serving(serve) as served:
        asking = asyncio.create_task(ask(pool, served))
        await asked.wait()
        asking.cancel()
        await served.ended.wait()


async def test_let_go_in_the_midst_it_is_cut(pool: Pool) -> None:
    async def serve(line: Line) -> None:
        await line.request()
        await line.write(CHUNKED + b"2\r\nok\r\n")
        assert await line.is_cut()

    async with serving(serve) as served:
        answered = await ask(pool, served)
        assert await anext(answered.parts()) == b"ok"
        answered.let_go()
        await served.ended.wait()


async def test_one_that_answers_before_it_was_asked_whole_is_not_used_again(pool: Pool) -> None:
    async def serve(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        await line.write(OK)
        while await line.reader.read(1_000_000):
            pass

    async with serving(serve) as served:
        answered = await ask(pool, served, b"x" * 50_000_000)
        assert await answered.read(LIMIT) == b"ok"
        answered.let_go()
        await served.ended.wait()


async def test_a_pool_is_bounded(pool: Pool) -> None:
    async with serving(keeps_on) as served:
        answers = await asyncio.gather(*(ask(pool, served) for _ in range(MOST_IDLE + 2)))
        for answered in answers:
            await answered.read(LIMIT)
            answered.let_go()
        assert len(pool._idle[served.address.origin]) == MOST_IDLE


async def test_what_is_idle_for_long_is_closed(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reynard.providers.upstream.pool.IDLE_S", 0.02)
    async with serving(keeps_on) as served:
        await read(pool, served)
        await served.ended.wait()
        assert not pool._idle


async def test_a_closed_pool_keeps_nothing() -> None:
    pool = Pool(5.0)
    async with serving(keeps_on) as served:
        answered = await ask(pool, served)
        pool.close()
        assert await answered.read(LIMIT) == b"ok"
        answered.let_go()
        await served.ended.wait()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://127.0.0.1:1", "http://nobody.invalid"])
async def test_nobody_there(pool: Pool, url: str) -> None:
    address = Address.of(url)
    with pytest.raises(ConnectFailed) as failed:
        await pool.ask(address.origin, address.head("POST", "/", {}), b"")
    assert address.host not in str(failed.value)


async def test_a_server_that_does_not_speak_tls(pool: Pool) -> None:
    async with serving(says(b"HTTP/1.1 400 Bad\r\n\r\n")) as served:
        origin = served.address.origin._replace(is_tls=True)
        with pytest.raises(ConnectFailed):
            await pool.ask(origin, served.address.head("POST", "/", {}), b"")


async def test_one_that_does_not_shake_hands_is_not_waited_for() -> None:
    pool = Pool(0.05)

    async def serve(line: Line) -> None:
        await line.is_cut()

    async with serving(serve) as served:
        origin = served.address.origin._replace(is_tls=True)
        with pytest.raises(ConnectFailed):
            await pool.ask(origin, served.address.head("POST", "/", {}), b"")
        await served.ended.wait()
