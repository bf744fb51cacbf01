"""A server of media that does whatever a test likes, byte by byte, over a real socket."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

Play = Callable[[socket.socket, threading.Event], None]
"""Gets a connection whose request was read, and what is set at the end of the test."""

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
OK = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n"


class MediaServer:
    """`seen`: the heads of all requests; `accepted`: all connections."""

    def __init__(self, host: str, plays: Mapping[str, Play]) -> None:
        self._plays = plays
        self._listening = socket.create_server((host, 0))
        self.port = self._listening.getsockname()[1]
        self.url = f"http://{host}:{self.port}"
        self.accepted = 0
        self.seen: list[str] = []
        self.ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self.ended.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                head = b""
                while b"\r\n\r\n" not in head:
                    part = connection.recv(65_536)
                    if not part:
                        return
                    head += part
                    if head.startswith(b"\x16"):  # TLS
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                        return
                self.seen.append(head.decode("latin-1"))
                path = head.split(b" ", 2)[1].decode("latin-1").partition("?")[0]
                self._plays[path](connection, self.ended)
            except OSError:
                return  # the fetcher hung up

    def close(self) -> None:
        self.ended.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@contextmanager
def media_server(plays: Mapping[str, Play], host: str = "127.0.0.1") -> Iterator[MediaServer]:
    """Closed at the end, whatever it plays."""
    server = MediaServer(host, plays)
    try:
        yield server
    finally:
        server.close()


def says(*parts: bytes) -> Play:
    """Sends `parts`, and closes."""

    def play(connection: socket.socket, ended: threading.Event) -> None:
        for part in parts:
            connection.sendall(part)

    return play


def whole(body: bytes, head: bytes = OK) -> Play:
    """An answer with its length."""
    return says(head + b"content-length: %d\r\n\r\n" % len(body) + body)


def floods(head: bytes, unit: bytes) -> Play:
    """Never ends by itself."""

    def play(connection: socket.socket, ended: threading.Event) -> None:
        connection.sendall(head)
        block = unit * max(1, 65_536 // len(unit))
        while not ended.is_set():
            connection.sendall(block)

    return play


def drips(head: bytes, unit: bytes, every_s: float) -> Play:
    """One `unit` now and then."""

    def play(connection: socket.socket, ended: threading.Event) -> None:
        connection.sendall(head)
        while not ended.wait(every_s):
            connection.sendall(unit)

    return play


def redirects(location: str, status: int = 302) -> Play:
    """To another place."""
    return says(f"HTTP/1.1 {status} Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode())
