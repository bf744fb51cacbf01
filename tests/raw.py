"""A provider that sends whatever bytes a test likes, over a real socket."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Answer = Callable[[socket.socket], None]


@contextmanager
def provider(answer: Answer) -> Iterator[str]:
    """Its address. `answer` gets each connection once the request is there; the connection closes after it."""
    stopped = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            read_request(connection)
            try:
                answer(connection)
            except OSError:
                return  # the gateway hung up

    def accept() -> None:
        while not stopped.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        stopped.set()
        listening.shutdown(socket.SHUT_RDWR)


def read_request(connection: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65_536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65_536)


STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
"""The head of a stream that ends with its connection."""


def event(content: str, finish_reason: str | None = None) -> bytes:
    """One chunk."""
    finish = "null" if finish_reason is None else f'"{finish_reason}"'
    return (
        f'data: {{"choices":[{{"index":0,"delta":{{"content":"{content}"}},"finish_reason":{finish}}}]}}\n\n'.encode()
    )
