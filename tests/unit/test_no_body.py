"""A request whose head came and whose body does not (`http.connection`)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.served import listening

from reynard.http import connection
from reynard.http.asgi import Receive, Scope, Send

POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n"


class App:
    """Reads the body, waits for the first request's leave, and says the body again."""

    def __init__(self) -> None:
        self.leave = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        if scope["path"] == "/held":
            await self.leave.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[App, int]]:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.2)
    app = App()
    async with listening(app) as port:
        yield app, port


async def test_it_is_told_and_let_go(served: tuple[App, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served[1])
    writer.write(POST)
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b'"code":"body_stalled"}}')
    writer.close()


async def test_one_that_has_begun_is_not_the_servers_to_watch(served: tuple[App, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served[1])
    writer.write(POST + b"ab")
    await asyncio.sleep(0.5)  # more than twice the patience
    writer.write(b"cd")
    assert (await asyncio.wait_for(reader.readuntil(b"abcd"), 5)).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_the_answer_before_it_is_not_cut(served: tuple[App, int]) -> None:
    app, port = served
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n" + POST)
    await asyncio.sleep(0.5)
    app.leave.set()
    answers = await asyncio.wait_for(reader.read(), 5)
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert answers.count(b"HTTP/1.1 408 ") == 1
    writer.close()
