"""What HTTP/1.1 asks of a server beyond one request and one answer (`http.connection`, `http.exchange`)."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.served import listening

from reynard.http import connection
from reynard.http.asgi import PRESENCE, ASGIApp, Receive, Scope, Send
from reynard.http.exchange import Exchange

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n"

Act = Callable[[Scope, Receive, Send], Awaitable[None]]


async def body_of(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        assert message["type"] == "http.request"
        body, more = body + message["body"], message["more_body"]
    return body


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Path and body."""
    said = scope["path"].encode() + b" " + await body_of(receive)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]})
    await send({"type": "http.response.body", "body": said})


async def streamed(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for piece in (b"", b"one", b"two"):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"three"})


def answering(headers: list[tuple[bytes, bytes]], *pieces: bytes) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": piece is not pieces[-1]})

    return app


async def told(app: ASGIApp, *sent: bytes) -> bytes:
    """All that `app` says to the end of the connection, which the last request asks for."""
    async with listening(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for part in sent:
            writer.write(part)
            await writer.drain()
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return answer


def closing(request: bytes) -> bytes:
    return request.replace(b"host: x\r\n", b"host: x\r\nconnection: close\r\n", 1)


async def test_requests_sent_ahead_are_answered_in_their_order() -> None:
    paths = [b"/%d" % number for number in range(50)]
    sent = [POST.replace(b" / ", b" %b " % path) + b"\r\nbody" for path in paths]
    answer = await told(echo, b"".join([*sent, closing(GET)]))
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 51
    places = [answer.index(b"\r\n\r\n%b body" % path) for path in paths]
    assert places == sorted(places)


async def test_a_request_may_come_byte_by_byte() -> None:
    sent = closing(POST) + b"\r\nbody"
    answer = await told(echo, *[sent[at : at + 1] for at in range(len(sent))])
    assert answer.endswith(b"\r\n\r\n/ body")


async def test_an_answer_without_a_length_comes_in_chunks() -> None:
    answer = await told(streamed, closing(GET))
    assert b"\r\ntransfer-encoding: chunked\r\n" in answer
    assert answer.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n")


@pytest.mark.parametrize("app", [echo, streamed])
async def test_head_is_answered_with_headers_alone(app: ASGIApp) -> None:
    answer = await told(app, GET.replace(b"GET", b"HEAD") + closing(GET))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    first, _, rest = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in first
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("request_", [GET.replace(b"1.1", b"1.0"), closing(GET)])
async def test_the_last_answer_says_that_it_is(request_: bytes) -> None:
    answer = await told(echo, request_)
    assert answer.count(b"\r\nconnection: close\r\n") == 1


async def test_leave_to_send_a_body_is_given_when_it_is_asked_for() -> None:
    async with listening(echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(POST + b"expect: 100-Continue\r\n\r\n")
            assert await asyncio.wait_for(reader.readline(), 5) == b"HTTP/1.1 100 Continue\r\n"
            assert await reader.readline() == b"\r\n"
            writer.write(b"body")
            assert (await asyncio.wait_for(reader.readuntil(b"/ body"), 5)).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.write(closing(POST) + b"expect: 100-continue\r\n\r\nbody")
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()


async def test_an_upgrade_that_there_is_not_is_passed_over() -> None:
    asked = GET.replace(b"host: x\r\n", b"host: x\r\nconnection: upgrade, close\r\nupgrade: h2c\r\n")
    assert (await told(echo, asked)).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "app",
    [
        answering([(b"x-a", b"b\r\nset-cookie: c")], b"d"),
        answering([(b"content-length", b"1")], b"ab"),
        answering([(b"content-length", b"2")], b"a"),
        answering([]),
    ],
    ids=["a header that ends", "too long", "too short", "no end"],
)
async def test_what_is_no_http_is_not_sent(app: ASGIApp, caplog: pytest.LogCaptureFixture) -> None:
    answer = await told(app, GET)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b'"code":"server_error"}}')
    assert b"set-cookie" not in answer
    assert len(caplog.records) == 1


async def test_an_answer_that_breaks_off_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        raise ValueError

    assert (await told(app, GET)).endswith(b"\r\n\r\n3\r\none\r\n")


class Leaving:
    """Notes who is told that the client goes, and waits for that."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.gone = asyncio.Event()
        self.asked: list[str] = []
        self.late: list[Any] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["path"])
        assert await body_of(receive) in (b"", b"body")
        presence = scope["extensions"][PRESENCE]
        assert not presence.is_gone
        presence.watch(self.gone.set)
        self.began.set()
        await self.gone.wait()
        self.late += [presence.is_gone, (await receive())["type"]]
        await send({"type": "http.response.start", "status": 200, "headers": []})


@pytest.mark.parametrize("ahead", [b"", POST + b"\r\nbody", POST + b"\r\nb"], ids=["alone", "another", "half another"])
async def test_whoever_is_answered_is_told_when_the_client_goes(ahead: bytes) -> None:
    app = Leaving()
    async with listening(app) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET.replace(b" / ", b" /first ") + ahead)
        await asyncio.wait_for(app.began.wait(), 5)
        writer.close()
        await asyncio.wait_for(app.gone.wait(), 5)
    assert (app.asked, app.late) == (["/first"], [True, "http.disconnect"])


async def test_a_client_that_sends_more_than_is_read_has_to_wait() -> None:
    read = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read.wait()
        await echo(scope, receive, send)

    size = 30_000_000
    async with listening(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(closing(POST).replace(b": 4", b": %d" % size) + b"\r\n" + bytes(size))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.drain(), 1)
        read.set()
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n/ "), 10)
        assert len(await asyncio.wait_for(reader.readexactly(size), 10)) == size
        writer.close()


async def test_a_connection_that_nobody_uses_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEP_ALIVE_S", 0.3)
    async with listening(echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        loop = asyncio.get_running_loop()
        for _ in range(3):
            writer.write(GET)
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n/ "), 5)
            await asyncio.sleep(0.2)  # together longer than it may be idle
        writer.write(GET)
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n/ "), 5)
        began = loop.time()
        assert await asyncio.wait_for(reader.read(), 5) == b""
        assert 0.2 < loop.time() - began < 2
        writer.close()


async def test_an_answer_may_take_longer_than_any_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEP_ALIVE_S", 0.1)
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.1)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.5)
        await echo(scope, receive, send)

    async with listening(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(POST + b"\r\nbody")
            assert await asyncio.wait_for(reader.readuntil(b"/ body"), 5)
        writer.close()


@pytest.mark.parametrize("before", [b"", GET])
async def test_a_head_that_dribbles_is_given_up(monkeypatch: pytest.MonkeyPatch, before: bytes) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.3)
    async with listening(echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(before + b"GET / HTTP/1.1\r\n")
        reading = asyncio.ensure_future(reader.read())
        loop = asyncio.get_running_loop()
        until = loop.time() + 5
        while not reading.done() and loop.time() < until:
            writer.write(b"x-a: b\r\n")
            await asyncio.sleep(0.05)
        assert (await reading).count(b"HTTP/1.1 200") == (1 if before else 0)
        assert loop.time() < until
        writer.close()


async def test_a_large_body_ahead_of_a_head_does_not_make_it_large() -> None:
    body = bytes(100_000)
    sent = POST.replace(b": 4", b": %d" % len(body)) + b"\r\n" + body + closing(GET)
    answer = await told(echo, sent[:-20], sent[-20:])
    assert answer.count(b"HTTP/1.1 200") == 2


async def test_a_request_leaves_nothing_for_the_collector() -> None:
    def here() -> int:
        return sum(isinstance(one, Exchange) for one in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        answer = await told(echo, POST + b"\r\nbody", (POST + b"\r\nbody") * 20, closing(GET))
        assert answer.count(b"HTTP/1.1 200") == 22
        assert here() == 0
    finally:
        gc.enable()
