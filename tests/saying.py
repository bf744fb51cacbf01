"""A server as a process of its own: `python -m tests.saying certificate closes pieces...`. It prints its port.

Each request is answered with the same pieces, each in a turn of its own; then it hangs up, if it `closes`.
`certificate`: for TLS, or nothing.
"""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from reynard.providers.upstream.address import Address


@contextmanager
def saying(*pieces: bytes, closes: bool = False, certificate: Path | None = None) -> Iterator[Address]:
    """Its address."""
    said = [str(certificate or ""), "closes" if closes else "", *(piece.hex() for piece in pieces)]
    command = [sys.executable, "-m", "tests.saying", *said]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield Address.of(f"https://localhost:{port}" if certificate else f"http://127.0.0.1:{port}")
        process.kill()


class Says(asyncio.Protocol):
    """One connection."""

    def __init__(self, pieces: Sequence[bytes], closes: bool) -> None:
        self._pieces = pieces
        self._closes = closes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"{}"):
            self._say(0)

    def _say(self, number: int) -> None:
        if number < len(self._pieces):
            self._transport.write(self._pieces[number])
            asyncio.get_running_loop().call_soon(self._say, number + 1)
        elif self._closes:
            self._transport.close()


async def serve(certificate: str, closes: str, *pieces: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
    if context is not None:
        context.load_cert_chain(certificate)
    says = [bytes.fromhex(piece) for piece in pieces]
    server = await asyncio.get_running_loop().create_server(
        lambda: Says(says, bool(closes)), "127.0.0.1", 0, ssl=context
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
