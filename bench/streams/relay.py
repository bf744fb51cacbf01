"""The limit of this stack for streams: Reynard's own connections, in and out, and with each chunk what no gateway can
leave out: it is split off, decoded, renamed, encoded, written. `bench.bare` is the same for whole answers.
"""

import asyncio
import sys
from typing import Any, Final

import msgspec
import uvloop

from bench.bare import CONNECT_S, serve
from bench.subject import CHAT
from reynard.http.asgi import ASGIApp
from reynard.providers.upstream.address import Address
from reynard.providers.upstream.pool import Pool

STREAM: Final = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
DONE: Final = b"[DONE]"


class Delta(msgspec.Struct, omit_defaults=True):
    """What a chunk adds."""

    role: str | None = None
    content: str | None = None


class Choice(msgspec.Struct):
    """One of a chunk's."""

    index: int
    delta: Delta
    finish_reason: str | None = None


class Chunk(msgspec.Struct, omit_defaults=True):
    """An OpenAI chunk."""

    id: str
    object: str
    created: int
    model: str
    choices: list[Choice]
    usage: Any = None


_chunks = msgspec.json.Decoder(Chunk)
_encoder = msgspec.json.Encoder()


def relayed(events: list[bytes]) -> bytes:
    """The events under names of our own."""
    written = []
    for event in events:
        data = event[6:]
        if data != DONE:
            chunk = _chunks.decode(data)
            chunk.id, chunk.model = "chatcmpl-relayed", "relayed"
            data = _encoder.encode(chunk)
        written.append(b"data: %b\n\n" % data)
    return b"".join(written)


def application(upstream: str) -> ASGIApp:
    """Relays every request."""
    pool, address = Pool(CONNECT_S), Address.of(upstream)
    head = address.head("POST", CHAT, {"content-type": "application/json"})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if scope["path"] != CHAT:
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})
            return
        answer = await pool.ask(address.origin, head, body)
        await send({"type": "http.response.start", "status": 200, "headers": STREAM})
        rest = b""
        async for part in answer.parts():
            *events, rest = (rest + part).split(b"\n\n")
            if events:
                await send({"type": "http.response.body", "body": relayed(events), "more_body": True})
        answer.let_go()
        await send({"type": "http.response.body", "body": b""})

    return app


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(application(sys.argv[1])))
