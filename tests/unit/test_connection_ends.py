"""How requests and connections end that are not as they should be (`http.connection`, `http.line`)."""

import asyncio
import socket

import pytest
from tests.served import listening
from tests.unit.test_connection import GET, POST, Leaving, answering, closing, echo, streamed, told

from reynard.http import connection, line
from reynard.http.asgi import PRESENCE, ASGIApp, Receive, Scope, Send

UPGRADE = b"connection: upgrade\r\nupgrade: h2c\r\n"
GARBAGE = b"\x00 no request\r\n\r\n"
WITHOUT_HTTP = b"HTTP/1.1 400 Bad Request\r\n"
REFUSED = answering([(b"content-length", b"2")], b"no")  # without a look at the body


class Held:
    """Answers `/held` when it may, and everything else at once."""

    def __init__(self, app: ASGIApp = echo) -> None:
        self.began = asyncio.Event()
        self.leave = asyncio.Event()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/held":
            self.began.set()
            await self.leave.wait()
        await self._app(scope, receive, send)


HELD = GET.replace(b" / ", b" /held ")


@pytest.mark.parametrize(
    ("framing", "body"),
    [(b"content-length: %d\r\n" % len(GET), GET), (b"transfer-encoding: chunked\r\n", b"%x\r\n%b\r\n0\r\n\r\n")],
    ids=["length", "chunks"],
)
@pytest.mark.parametrize("cut", [0, 1, 10, 10_000])
async def test_the_body_of_an_upgrade_that_there_is_not_is_no_request(framing: bytes, body: bytes, cut: int) -> None:
    body = body if body == GET else body % (len(GET), GET)
    head = b"POST /first HTTP/1.1\r\nhost: x\r\n" + UPGRADE + framing + b"\r\n"
    rest = body + closing(GET)
    answer = await told(echo, head + rest[:cut], rest[cut:])
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert b"/first " + GET in answer


async def test_what_follows_an_upgrade_that_there_is_not_is_answered() -> None:
    asked = GET.replace(b"host: x\r\n", b"host: x\r\n" + UPGRADE)
    assert (await told(echo, asked * 2_000 + closing(GET))).count(b"HTTP/1.1 200 OK\r\n") == 2_001


async def half_closed(app: ASGIApp, sent: bytes) -> bytes:
    async with listening(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return answer


@pytest.mark.parametrize("app", [echo, streamed])
async def test_a_client_that_sends_no_more_is_answered(app: ASGIApp) -> None:
    async def later(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.02)  # its end has come by then
        await app(scope, receive, send)

    answer = await half_closed(later, GET + (POST + b"\r\nbody") * 3)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 4
    assert answer.count(b"\r\nconnection: close\r\n") == 1


async def test_a_call_that_ends_with_its_client_ends_when_that_sends_no_more() -> None:
    app = Leaving()
    async with listening(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await asyncio.wait_for(app.began.wait(), 5)
        writer.write(GET)  # a request sent ahead hides it no more
        writer.write_eof()
        await asyncio.wait_for(app.gone.wait(), 5)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_call_does_not_begin_for_a_client_that_sends_no_more(caplog: pytest.LogCaptureFixture) -> None:
    gone: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.02)
        gone.append(scope["extensions"][PRESENCE].is_gone)

    assert await half_closed(app, GET) == b""
    assert (gone, caplog.records) == ([True], [])


@pytest.mark.parametrize("behind", [GARBAGE, POST + b"content-length: 5\r\n\r\n"])
async def test_a_request_is_refused_after_those_ahead_of_it_are_answered(behind: bytes) -> None:
    app = Held()
    async with listening(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HELD)
        await asyncio.wait_for(app.began.wait(), 5)
        writer.write(GET + behind)
        await writer.drain()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        app.leave.set()
        answers = await asyncio.wait_for(reader.read(), 5)
        assert [part.split()[0] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"400"]
        writer.close()


async def test_a_bad_body_of_a_request_that_is_refused_runs_nothing() -> None:
    asked: list[str] = []
    app = Held()

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["path"])
        await app(scope, receive, send)

    bad = b"POST /bad HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nno\r\n"
    async with listening(noted) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HELD + bad)
        await asyncio.wait_for(app.began.wait(), 5)
        app.leave.set()
        answers = await asyncio.wait_for(reader.read(), 5)
        assert [part.split()[0] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200", b"400"]
        writer.close()
    assert asked == ["/held"]


async def test_a_request_has_one_answer() -> None:
    bad = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    async with listening(REFUSED) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(bad)
        answer = await asyncio.wait_for(reader.readuntil(b"no"), 5)
        writer.write(b"no chunk\r\n")
        answer += await asyncio.wait_for(reader.read(), 5)
        assert answer.count(b"HTTP/1.1 ") == 1
        writer.close()


async def test_a_head_behind_a_long_answer_does_not_cut_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.1)
    app = Held()
    async with listening(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HELD + GET[:10])
        await asyncio.wait_for(app.began.wait(), 5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.5)
        app.leave.set()
        assert (await asyncio.wait_for(reader.read(), 5)).count(b"HTTP/1.1 200 OK\r\n") == 1
        writer.close()


async def test_a_body_for_which_leave_was_not_given_is_not_waited_for() -> None:
    """Its client sends the body or another request: what comes next cannot be told."""
    asked = POST + b"expect: 100-continue\r\n\r\n"
    answer = await told(REFUSED, asked)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close\r\n" in answer


@pytest.mark.parametrize(
    ("app", "head"),
    [
        (REFUSED, closing(POST.replace(b": 4", b": 30000000")) + b"\r\n"),
        (echo, b"GET / HTTP/1.1\r\nx-a: "),
        (echo, GARBAGE),
    ],
    ids=["an answer before the body", "too large a head", "no HTTP"],
)
async def test_the_last_answer_can_be_read_after_all_was_sent(app: ASGIApp, head: bytes) -> None:
    async with listening(app) as port:
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, client.sendall, head + b"y" * 30_000_000)
            answer = b""
            while part := await loop.run_in_executor(None, client.recv, 65_536):
                answer += part
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_client_that_goes_on_sending_is_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "MOST_LEAVING_BYTES", 1_000_000)

    async with listening(echo) as port:
        with (
            socket.create_connection(("127.0.0.1", port), 10) as client,
            pytest.raises((ConnectionResetError, BrokenPipeError)),
        ):
            await asyncio.get_running_loop().run_in_executor(None, client.sendall, GARBAGE + bytes(50_000_000))


async def dribble(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"more")
        await writer.drain()
        await asyncio.sleep(0.02)


async def test_a_client_that_stays_on_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "LEAVE_S", 0.1)
    async with listening(echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GARBAGE)
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(WITHOUT_HTTP)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(dribble(writer), 5)
        writer.close()


async def test_an_old_client_gets_no_chunks() -> None:
    answer = await told(streamed, GET.replace(b"1.1", b"1.0"))
    assert b"transfer-encoding" not in answer
    assert answer.endswith(b"\r\n\r\nonetwothree")


async def test_an_old_client_is_given_no_leave() -> None:
    answer = await told(echo, POST.replace(b"1.1", b"1.0") + b"expect: 100-continue\r\n\r\n", b"body")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_url_may_be_a_host_alone() -> None:
    assert (await told(echo, closing(GET.replace(b" / ", b" http://x?a=b ")))).endswith(b"\r\n\r\n/ ")


@pytest.mark.parametrize("size", [3_000_000, 8_000_000])
async def test_the_rest_of_the_last_answer_does_not_wait_forever(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(line, "UNREAD_S", 0.2)
    lost = asyncio.Event()
    lose = connection.Connection.connection_lost

    def noted(self: connection.Connection, error: Exception | None) -> None:
        lose(self, error)
        lost.set()

    monkeypatch.setattr(connection.Connection, "connection_lost", noted)
    app = answering([(b"content-length", b"%d" % size)], bytes(size))
    async with listening(app) as port:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.connect(("127.0.0.1", port))
            client.sendall(closing(GET))
            await asyncio.wait_for(lost.wait(), 5)
