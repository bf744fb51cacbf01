"""A client that takes nothing of its answer (`http.line`)."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from tests.served import listening

from reynard.http import line
from reynard.http.asgi import Receive, Scope, Send

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
PIECE = bytes(100_000)
UNREAD_S = 0.3


class App:
    """Writes without an end, until the client is gone."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.written = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        writing = asyncio.ensure_future(self._write(send))
        while (await receive())["type"] != "http.disconnect":
            pass
        writing.cancel()
        self.gone.set()

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            self.written += len(PIECE)


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[App, socket.socket]]:
    monkeypatch.setattr(line, "UNREAD_S", UNREAD_S)
    app = App()
    async with listening(app) as port:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.connect(("127.0.0.1", port))
            client.setblocking(False)
            client.sendall(GET)
            yield app, client


async def test_one_that_takes_nothing_is_cut_off(served: tuple[App, socket.socket]) -> None:
    await asyncio.wait_for(served[0].gone.wait(), 10)


async def test_the_kernel_keeps_nothing_for_one_that_was_cut_off(served: tuple[App, socket.socket]) -> None:
    app, client = served
    await asyncio.wait_for(app.gone.wait(), 10)

    async def read() -> None:
        while await asyncio.get_running_loop().sock_recv(client, 65_536):
            pass

    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(read(), 10)


async def test_one_that_reads_on_is_not(served: tuple[App, socket.socket]) -> None:
    app, client = served
    loop = asyncio.get_running_loop()
    until = loop.time() + 4 * UNREAD_S
    while loop.time() < until:
        await loop.sock_recv(client, 1_000_000)
        await asyncio.sleep(UNREAD_S / 50)
    assert not app.gone.is_set()
    assert app.written > len(PIECE)
