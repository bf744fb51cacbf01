"""The limit of an ordinary stack: uvicorn's ASGI in, the same upstream client out, and nothing in between.

Reynard's own connection (docs/decisions/0021) is some 6 µs of a request cheaper than uvicorn's, which this has.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
import wreq

from bench import servers
from bench.subject import CHAT, Start, Subject
from reynard.http.server import listen


def stack(name: str, module: str) -> Start:
    """A server of this stack without the gateway: `python -m module`, which is told the upstream's URL."""

    @contextmanager
    def start(core: int, upstream: str, folder: Path) -> Iterator[Subject]:
        with servers.server(core, module, upstream) as server:
            yield Subject(
                name=name,
                version=f"uvicorn {version('uvicorn')}, wreq {version('wreq')}",
                url=server.url,
                pids=(server.pid,),
                started_s=server.started_s,
            )

    return start


start: Start = stack("bare loop", "bench.bare")


def application(upstream: str) -> Any:
    """Forwards every body as it is."""
    pool = wreq.Client(no_proxy=True)
    headers = {"content-type": "application/json"}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        async with await pool.request(wreq.Method.POST, upstream + CHAT, headers=headers, body=body) as response:
            answer = bytes(await response.bytes())
        length = (b"content-length", str(len(answer)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": answer})

    return app


async def main() -> None:
    """Serves on a free port, and says which."""
    bound = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        application(sys.argv[1]), http="httptools", loop="none", lifespan="off", access_log=False, log_level="error"
    )
    print(f"listening on http://127.0.0.1:{bound.getsockname()[1]}", flush=True)
    await uvicorn.Server(config).serve([bound])


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
