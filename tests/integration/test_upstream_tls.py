"""The client for providers over TLS, against servers on real sockets with certificates of their own."""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from tests.certificates import Authority, self_signed
from tests.lines import CHUNKED, LIMIT, OK, streamed

from reynard.ports.transport import ConnectFailed, ConnectionBroken
from reynard.providers.upstream.address import Address
from reynard.providers.upstream.answer import MOST_HELD, Answer
from reynard.providers.upstream.pool import Pool

pytestmark = pytest.mark.timeout(120, method="thread")  # a signal does not break off uvloop

LARGE = 10_000_000


class Server:
    """A server with a thread for each connection, and Python's own TLS: what it closes is not closed politely."""

    def __init__(self, port: int) -> None:
        self.address = Address.of(f"https://localhost:{port}")
        self.accepted = 0
        self.ended = threading.Semaphore(0)

    async def end(self) -> None:
        """Of one more connection."""
        assert await asyncio.to_thread(self.ended.acquire, timeout=5)


Serve = Callable[[ssl.SSLSocket], None]


@asynccontextmanager
async def serving(
    certificate: Path, serve: Serve, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> AsyncIterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.maximum_version = version
    threads: list[threading.Thread] = []

    def talk(connection: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as wrapped:
            serve(wrapped)
        connection.close()
        server.ended.release()

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                connection.settimeout(10)
                server.accepted += 1
                threads.append(threading.Thread(target=talk, args=(connection,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(listening.getsockname()[1])
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield server
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            for thread in (accepting, *threads):
                await asyncio.to_thread(thread.join, 15)


def request(line: ssl.SSLSocket) -> bytes:
    """The body of the next one. Raises `ConnectionError` if there is none."""
    said = b""
    while b"\r\n\r\n" not in said:
        said += line.recv(65_536) or _gone()
    head, _, body = said.partition(b"\r\n\r\n")
    length = int(head.lower().rpartition(b"content-length: ")[2])
    pieces, size = [body], len(body)
    while size < length:
        pieces.append(line.recv(1_000_000) or _gone())
        size += len(pieces[-1])
    return b"".join(pieces)


def _gone() -> bytes:
    raise ConnectionError


def keeps_on(line: ssl.SSLSocket) -> None:
    """Answers whatever is asked."""
    while True:
        request(line)
        line.sendall(OK)


def says(*pieces: bytes) -> Serve:
    """Answers with `pieces`, and farewell."""

    def serve(line: ssl.SSLSocket) -> None:
        request(line)
        for piece in pieces:
            line.sendall(piece)
        line.unwrap()

    return serve


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Path:
    return authority.certificate("localhost")


@pytest.fixture
async def pool(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pool]:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))  # which OpenSSL reads for the system's own
    made = Pool(5.0)
    yield made
    made.close()


async def ask(pool: Pool, server: Server, body: bytes = b"{}") -> Answer:
    return await pool.ask(server.address.origin, server.address.head("POST", "/x", {}), body)


async def read(pool: Pool, server: Server, body: bytes = b"{}") -> bytes:
    """One answer, whole."""
    answer = await ask(pool, server, body)
    try:
        return await answer.read(LIMIT)
    finally:
        answer.let_go()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_connection_is_used_again(pool: Pool, certificate: Path, version: ssl.TLSVersion) -> None:
    """The session tickets of TLS 1.3 come unasked, and are no reason to give it up."""
    async with serving(certificate, keeps_on, version) as server:
        assert [await read(pool, server) for _ in range(5)] == [b"ok"] * 5
        assert server.accepted == 1
        pool.close()


async def test_a_streamed_body(pool: Pool, certificate: Path) -> None:
    async with serving(certificate, says(CHUNKED, *[b"2\r\nok\r\n"] * 1000, b"0\r\n\r\n")) as server:
        answer = await ask(pool, server)
        assert b"".join(await streamed(answer)) == b"ok" * 1000
        answer.let_go()


async def test_large_bodies_both_ways(pool: Pool, certificate: Path) -> None:
    def echoes(line: ssl.SSLSocket) -> None:
        while True:
            body = request(line)
            line.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    body = bytes(range(256)) * (LARGE // 256)
    async with serving(certificate, echoes) as server:
        assert await read(pool, server, body) == body
        assert await read(pool, server) == b"{}"
        assert server.accepted == 1
        pool.close()


async def refused(pool: Pool, certificate: Path) -> str:
    """What is said of a server with that certificate; no request comes to it."""
    asked: list[bytes] = []
    async with serving(certificate, lambda line: asked.append(request(line))) as server:
        with pytest.raises(ConnectFailed) as failed:
            await ask(pool, server)
        await server.end()
    assert not asked
    assert "localhost" not in str(failed.value)
    assert str(server.address.origin.port) not in str(failed.value)
    return str(failed.value)


async def test_another_name(pool: Pool, authority: Authority) -> None:
    assert "certificate is for another name" in await refused(pool, authority.certificate("example.com"))


async def test_expired(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    expired = authority.certificate("localhost", timedelta(days=1))
    assert "certificate has expired" in await refused(pool, expired)


async def test_of_nobody(pool: Pool, tmp_path: Path) -> None:
    assert "certificate is signed by nobody" in await refused(pool, self_signed(tmp_path))


def ends(line: ssl.SSLSocket) -> None:
    """Without the farewell of TLS."""
    socket.socket.shutdown(line, socket.SHUT_WR)
    line.settimeout(5)
    with suppress(OSError):
        line.recv(1)


def resets(line: ssl.SSLSocket) -> None:
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def bids_farewell(line: ssl.SSLSocket) -> None:
    line.unwrap()


@pytest.mark.parametrize("cut", [ends, resets, bids_farewell])
@pytest.mark.parametrize(
    "begins", [OK[:-1], CHUNKED + b"2\r\nok\r\n", b"HTTP/1.1 200 OK\r\ncontent-le"], ids=["length", "chunks", "head"]
)
async def test_a_cut_answer_is_no_whole_one(pool: Pool, certificate: Path, cut: Serve, begins: bytes) -> None:
    def serve(line: ssl.SSLSocket) -> None:
        request(line)
        line.sendall(begins)
        cut(line)

    async with serving(certificate, serve) as server:
        with pytest.raises(ConnectionBroken):
            await read(pool, server)


@pytest.mark.parametrize(("cut", "is_whole"), [(ends, False), (resets, False), (bids_farewell, True)])
async def test_a_body_until_it_closes_ends_with_a_farewell(
    pool: Pool, certificate: Path, cut: Serve, is_whole: bool
) -> None:
    """Whoever is in between can end the connection, and not say so for the provider (RFC 9112 9.8)."""

    def serve(line: ssl.SSLSocket) -> None:
        request(line)
        line.sendall(b"HTTP/1.1 200 OK\r\n\r\nok")
        cut(line)

    async with serving(certificate, serve) as server:
        if is_whole:
            assert await read(pool, server) == b"ok"
        else:
            with pytest.raises(ConnectionBroken):
                await read(pool, server)


async def test_cancelled_in_the_handshake_it_is_cut(pool: Pool) -> None:
    cut = threading.Event()

    def serve(listening: socket.socket) -> None:
        with listening.accept()[0] as connection:
            connection.settimeout(5)
            assert connection.recv(10_000)
            loop.call_soon_threadsafe(asking.cancel)
            with suppress(ConnectionError):
                while connection.recv(10_000):
                    pass
            cut.set()

    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = Address.of(f"https://localhost:{listening.getsockname()[1]}")
        asking = asyncio.create_task(pool.ask(address.origin, address.head("POST", "", {}), b"{}"))
        thread = asyncio.create_task(asyncio.to_thread(serve, listening))
        with pytest.raises(asyncio.CancelledError):
            await asking
        await thread
    assert cut.is_set()


async def test_let_go_in_the_midst_it_is_cut(pool: Pool, certificate: Path) -> None:
    def serve(line: ssl.SSLSocket) -> None:
        request(line)
        line.sendall(CHUNKED + b"2\r\nok\r\n")
        with suppress(ConnectionError):
            assert not socket.socket.recv(line, 10)  # and nothing is waited for

    async with serving(certificate, serve) as server:
        answer = await ask(pool, server)
        assert await anext(answer.parts()) == b"ok"
        answer.let_go()
        await server.end()


@pytest.mark.parametrize("header", [b"connection: close\r\n", b""], ids=["to be closed", "idle"])
async def test_no_farewell_is_waited_for(pool: Pool, certificate: Path, header: bytes) -> None:
    gone = threading.Event()

    def serve(line: ssl.SSLSocket) -> None:
        request(line)
        line.sendall(OK.replace(b"content", header + b"content"))
        with suppress(ConnectionError):
            while socket.socket.recv(line, 10_000):  # the farewell, which is not answered
                pass
        gone.set()

    async with serving(certificate, serve) as server:
        assert await read(pool, server) == b"ok"
        pool.close()
        assert await asyncio.to_thread(gone.wait, 3)


async def test_one_that_was_closed_meanwhile_is_not_used(pool: Pool, certificate: Path) -> None:
    """Also when the event loop has not yet come to tell: then there is a farewell to be read."""
    closing, closed = threading.Event(), threading.Event()

    def serve(line: ssl.SSLSocket) -> None:
        request(line)
        line.sendall(OK)
        if server.accepted == 1:
            assert closing.wait(5)
            line.sendall(b"")
            with suppress(OSError):
                line.settimeout(0.1)
                line.unwrap()
            closed.set()

    async with serving(certificate, serve) as server:
        assert await read(pool, server) == b"ok"
        closing.set()
        assert closed.wait(5)  # the loop stands still
        assert await read(pool, server) == b"ok"
        assert server.accepted == 2


@pytest.mark.parametrize("closes", [False, True])
async def test_a_reader_that_takes_its_time(pool: Pool, certificate: Path, closes: bool) -> None:
    """What waits in the gateway is bounded, and nothing is lost, though the provider has long gone."""
    length, sent = 64_000_000 if not closes else MOST_HELD + 200_000, 0

    def serve(line: ssl.SSLSocket) -> None:
        nonlocal sent
        request(line)
        line.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % length)
        while sent < length:
            sent += line.send(b"x" * min(100_000, length - sent))
        if closes:
            ends(line)

    async with serving(certificate, serve) as server:
        answer = await ask(pool, server)
        before = -1
        while before != sent:  # until the server is held up
            before = sent
            await asyncio.sleep(0.2)
        assert answer._size < MOST_HELD + 1_000_000
        assert closes or sent < length / 2
        assert sum(map(len, await streamed(answer))) == length
        answer.let_go()
        pool.close()


async def test_one_that_answers_before_it_was_asked_whole_is_not_used_again(pool: Pool, certificate: Path) -> None:
    def serve(line: ssl.SSLSocket) -> None:
        line.recv(1000)
        line.sendall(OK)
        with suppress(ConnectionError):
            while socket.socket.recv(line, 1_000_000):
                pass

    async with serving(certificate, serve) as server:
        assert await read(pool, server, b"x" * 50_000_000) == b"ok"
        await server.end()
