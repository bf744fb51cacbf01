"""Servers on real sockets that answer as they like, and the client for providers beside them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from reynard.providers.upstream.address import Address
from reynard.providers.upstream.answer import Answer
from reynard.providers.upstream.pool import Pool

OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED: Final = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
LIMIT: Final = 20_000_000


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
async def serving(serve: Serve, host: str = "127.0.0.1") -> AsyncIterator[Served]:
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

    server = await asyncio.start_server(accept, host, 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    served = Served(Address.of(f"http://{f'[{host}]' if ':' in host else host}:{port}"))
    try:
        yield served
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ask(pool: Pool, served: Served, body: bytes | None = b"{}") -> Answer:
    head = served.address.head("POST", "/x", {"content-type": "application/json"})
    return await pool.ask(served.address.origin, head, body)


async def read(pool: Pool, served: Served, limit: int = LIMIT, body: bytes = b"{}") -> bytes:
    """One answer, whole."""
    answer = await ask(pool, served, body)
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
