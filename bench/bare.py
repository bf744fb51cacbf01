"""The limit of this stack: Reynard's own connections, in and out, and nothing in between."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import uvloop

from bench import servers
from bench.subject import CHAT, Start, Subject
from reynard.bootstrap.system import SystemClock
from reynard.http.asgi import ASGIApp
from reynard.http.server import Server, listen
from reynard.providers.upstream.address import Address
from reynard.providers.upstream.pool import Pool

CONNECT_S: Final = 10.0
MOST_CONNECTIONS: Final = 20_000
MOST_BYTES: Final = 100_000_000


def stack(name: str, module: str) -> Start:
    """A server of this stack without the gateway: `python -m module`, which is told the upstream's URL."""

    @contextmanager
    def start(core: int, upstream: str, folder: Path) -> Iterator[Subject]:
        with servers.server(core, module, upstream) as server:
            yield Subject(
                name=name,
                version=f"uvloop {version('uvloop')}, httptools {version('httptools')}",
                url=server.url,
                pids=(server.pid,),
                started_s=server.started_s,
            )

    return start


start: Start = stack("bare loop", "bench.bare")


def application(upstream: str) -> ASGIApp:
    """Forwards every body as it is."""
    pool, address = Pool(CONNECT_S), Address.of(upstream)
    head = address.head("POST", CHAT, {"content-type": "application/json"})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        answer = await pool.ask(address.origin, head, body)
        whole = await answer.read(MOST_BYTES)
        answer.let_go()
        length = (b"content-length", str(len(whole)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": whole})

    return app


async def serve(app: ASGIApp) -> None:
    """On a free port, which it says."""
    bound = listen("127.0.0.1", 0)
    server = Server(app, SystemClock(), drain_s=0, max_connections=MOST_CONNECTIONS)
    await server.open(bound)
    print(f"listening on http://127.0.0.1:{bound.getsockname()[1]}", flush=True)
    await server.serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(application(sys.argv[1])))
