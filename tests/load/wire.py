"""A client that costs little: raw sockets, so that hundreds of connections and thousands of streams fit beside what is
measured."""

import asyncio
import hashlib
import json
import resource
import socket
from pathlib import Path
from typing import Any, NamedTuple

import httptools

PING = b": ping\n\n"
ESTABLISHED = "01"  # linux/tcp_states.h
SMALL_SEGMENT = 536  # bytes; with large ones the kernel would keep megabytes for a reader on loopback


def raise_descriptors() -> None:
    """As many as the process may have; what it starts inherits them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Answered(NamedTuple):
    """One answer."""

    status: int
    body: Any


class Wire:
    """One connection that is kept; JSON goes both ways."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, url: str) -> "Wire":
        """Opens it."""
        host, _, port = url.removeprefix("http://").partition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def call(self, key: str, method: str, path: str, body: dict[str, Any] | None = None) -> Answered:
        """One request, after the other."""
        sent = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(sent)}\r\n\r\n"
        )
        self._writer.write(head.encode() + sent)
        answered = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answered.partition(b"content-length: ")[2].split(b"\r\n")[0])
        return Answered(int(answered.split()[1]), json.loads(await self._reader.readexactly(length)))

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


class Read(NamedTuple):
    """What came of a stream: how many chunks, a digest of all bytes, and the last event."""

    chunks: int
    digest: bytes
    last: bytes


class Reader(asyncio.Protocol):
    """A subscriber of one stream. It keeps a digest and a count of what it reads, and not the chunks themselves.

    `every_s` 0 reads as fast as it comes. Else it takes a little, once in so many seconds, until it is told to `hurry`.
    """

    def __init__(self, connection: socket.socket, every_s: float) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.status = 0
        self.chunks = 0
        self.last = b""  # the event that came last
        self._connection = connection
        own, other = connection.getsockname()[1], connection.getpeername()[1]
        self._ends = (f":{other:04X}", f":{own:04X}", ESTABLISHED)  # as the gateway's kernel has them
        self._every_s = every_s
        self._digest = hashlib.blake2b(digest_size=16)
        self._rest = b""
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def of(cls, url: str, path: str, key: str, every_s: float = 0.0) -> "Reader":
        """Asks for the stream at `path`."""
        loop = asyncio.get_running_loop()
        host, _, port = url.removeprefix("http://").partition(":")
        connection = socket.socket()
        connection.setblocking(False)
        if every_s:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SMALL_SEGMENT)
        await loop.sock_connect(connection, (host, int(port)))
        transport, reader = await loop.create_connection(lambda: cls(connection, every_s), sock=connection)
        transport.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n".encode())
        return reader

    @property
    def read(self) -> Read:
        """So far."""
        return Read(self.chunks, self._digest.digest(), self.last)

    @property
    def is_cut(self) -> bool:
        """Whether the gateway has let go of the connection. Nothing is read to see that."""
        rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        return not any((row[1][8:], row[2][8:], row[3]) == self._ends for row in rows)

    def hurry(self) -> None:
        """From here on, as fast as it comes."""
        self._every_s = 0.0
        self._look()

    def close(self) -> None:
        self._stop_timer()
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = transport  # type: ignore[assignment]
        self._wait()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._parser.feed_data(data)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._stop_timer()
        if not self.ended.done():
            self.ended.set_result(None)

    def on_body(self, body: bytes) -> None:
        """A piece of the stream, cut anywhere."""
        data = self._rest + body
        whole = data.rfind(b"\n\n") + 2
        if whole < 2:
            self._rest = data
            return
        events, self._rest = data[:whole], data[whole:]
        if PING in events:
            events = events.replace(PING, b"")
        if events:
            self.chunks += events.count(b"event: chunk\n")
            self.last = events[events.rfind(b"\n\n", 0, -2) + 2 if b"\n\n" in events[:-2] else 0 :]
            self._digest.update(events)

    def on_message_complete(self) -> None:
        """The stream has ended."""
        self.status = self._parser.get_status_code()
        self.close()

    def _wait(self) -> None:
        if self._every_s and not self._transport.is_closing():
            self._transport.pause_reading()
            self._timer = asyncio.get_running_loop().call_later(self._every_s, self._look)

    def _look(self) -> None:
        self._stop_timer()
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
