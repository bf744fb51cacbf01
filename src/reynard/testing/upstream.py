"""A simulated upstream as a server of its own: `python -m reynard.testing.upstream`.

It speaks the real wire protocol, plays `core.simulation` with its pace and faults, and checks what it receives: a
request that OpenAI would refuse is answered 400 and remembered. `GET /_state` tells what it saw; `PUT /_simulation`
changes how it behaves from then on; a model name may carry its own behaviour: `any-model?tokens=5&fail.rate=1`.
"""

import asyncio
import random
from typing import Any, Final
from urllib.parse import parse_qsl

import click
import httptools
import msgspec
import uvloop
from msgspec import Struct
from msgspec.structs import asdict

from reynard.core import playback, simulation
from reynard.core.forms import CustomForm
from reynard.core.messages import Json
from reynard.core.playback import Cut, Head, Pause, Piece, Stall, Step
from reynard.core.simulation import Simulation
from reynard.engine.jobs import Jobs

PATH: Final = b"/v1/chat/completions"
MOST_REMEMBERED: Final = 1_000
MOST_BODIES: Final = 64
REASONS: Final = {200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 404: b"Not Found"}


class Received(CustomForm, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """OpenAI Chat as it comes over the wire, with the words for reasoning that relatives of the dialect have."""

    thinking: Json | None = None
    chat_template_kwargs: Json | None = None


class State(Struct):
    """What the upstream has seen. `cut`: answers whose client closed the connection before their end."""

    requests: int = 0
    open: int = 0
    finished: int = 0
    cut: int = 0
    refused: list[str] = []
    bodies: list[msgspec.Raw] = []


class Upstream:
    """The server: one simulation for all that do not bring their own, one state."""

    def __init__(self, simulated: Simulation, key: str | None) -> None:
        self.simulation = simulated
        self.key = key
        self.state = State()
        self.jobs = Jobs()
        self.instant: dict[bytes, bytes] = {}  # whole answers by body, where nothing is left to chance or time

    def protocol(self) -> "Connection":
        """For `loop.create_server`."""
        return Connection(self)

    def refusal(self, method: bytes, path: bytes, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        """What is wrong with a request before its body is read."""
        if method != b"POST" or path != PATH:
            return 404, f"{method.decode()} {path.decode()} is not an OpenAI path"
        if self.key is not None and headers.get(b"authorization") != b"Bearer " + self.key.encode():
            return 401, "the key is wrong"
        if headers.get(b"content-type") != b"application/json":
            return 400, "the content type is not JSON"
        return None

    def steps(self, body: bytes) -> "tuple[list[Step] | Any, bool]":
        """What to play for `body`, and whether it is the same every time. Raises `msgspec.ValidationError`."""
        received = _requests.decode(body)
        model, _, behaviour = received.model.partition("?")
        simulated = _behaving(self.simulation, behaviour) if behaviour else self.simulation
        played = simulation.script(received, simulated, random.random())  # noqa: S311
        fixed = simulated.fail == NO_FAULT and not simulated.first_token_ms and not simulated.tokens_per_s
        return playback.steps(played, simulated, model=model, stream=received.stream), fixed

    def remember(self, body: bytes) -> None:
        """The last bodies received, for a test to look at."""
        self.state.requests += 1
        self.state.bodies.append(msgspec.Raw(body))
        del self.state.bodies[:-MOST_BODIES]


NO_FAULT: Final = Simulation().fail
_requests = msgspec.json.Decoder(Received)


class Connection(asyncio.Protocol):
    """One client connection; requests on it are answered one after the other."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._playing: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: what was playing for it is cut."""
        if self._playing is not None:
            self._playing.cancel()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    # httptools

    def on_message_begin(self) -> None:
        """A request begins."""
        self._path = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        """A piece of the path."""
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        body = b"".join(self._body)
        if self._path.startswith(b"/_"):
            self._control(self._path, body)
            return
        self._upstream.remember(body)
        known = self._upstream.instant.get(body)
        if known is not None:
            self._upstream.state.finished += 1
            self._transport.write(known)
            return
        refusal = self._upstream.refusal(self._parser.get_method(), self._path, self._headers)
        if refusal is not None:
            self._refuse(*refusal)
            return
        try:
            steps, fixed = self._upstream.steps(body)
        except (msgspec.DecodeError, ValueError) as error:
            self._refuse(400, str(error))
            return
        if fixed:
            self._at_once(body, list(steps))
        else:
            self._playing = self._upstream.jobs.start(self._play(steps))

    def _at_once(self, body: bytes, steps: list[Step]) -> None:
        answer = b"".join(_wire(step, steps[0]) for step in steps) + _ending(steps[0])
        if len(self._upstream.instant) < MOST_REMEMBERED:
            self._upstream.instant[body] = answer
        self._upstream.state.finished += 1
        self._transport.write(answer)

    async def _play(self, steps: Any) -> None:
        state = self._upstream.state
        state.open += 1
        head: Step | None = None
        try:
            for step in steps:
                head = step if isinstance(step, Head) else head
                match step:
                    case Pause(seconds):
                        await asyncio.sleep(seconds)
                    case Stall():
                        await asyncio.Event().wait()
                    case Cut():
                        self._transport.abort()
                        return
                    case _:
                        self._transport.write(_wire(step, head))
            self._transport.write(_ending(head))
            state.finished += 1
        except asyncio.CancelledError:
            state.cut += 1
            raise
        finally:
            state.open -= 1
            self._playing = None

    def _refuse(self, status: int, reason: str) -> None:
        self._upstream.state.refused.append(reason)
        del self._upstream.state.refused[:-MOST_REMEMBERED]
        self._answer(status, msgspec.json.encode({"error": {"message": reason, "type": "invalid_request_error"}}))

    def _control(self, path: bytes, body: bytes) -> None:
        if path == b"/_simulation":
            self._upstream.simulation = msgspec.json.decode(body, type=Simulation)
            self._upstream.instant.clear()
        self._answer(200, msgspec.json.encode(self._upstream.state))

    def _answer(self, status: int, body: bytes) -> None:
        self._transport.write(_head(Head(status, len(body))) + body)


def _wire(step: Step, head: Step | None) -> bytes:
    match step:
        case Head():
            return _head(step)
        case Piece(data) if isinstance(head, Head) and head.length is None:
            return b"%x\r\n%b\r\n" % (len(data), data)
        case Piece(data):
            return data
        case _:
            return b""


def _head(head: Head) -> bytes:
    lines = [b"HTTP/1.1 %d %b" % (head.status, REASONS.get(head.status, b"Error"))]
    if head.retry_after_s is not None:
        lines.append(b"retry-after: %g" % head.retry_after_s)
    if head.length is None:
        lines += [b"content-type: text/event-stream", b"transfer-encoding: chunked"]
    else:
        lines += [b"content-type: application/json", b"content-length: %d" % head.length]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _ending(head: Step | None) -> bytes:
    return b"0\r\n\r\n" if isinstance(head, Head) and head.length is None else b""


def _behaving(simulated: Simulation, behaviour: str) -> Simulation:
    """`tokens=5&fail.rate=1`, on top of what is in force."""
    changes: dict[str, Any] = dict(parse_qsl(behaviour))
    failures = {name[5:]: changes.pop(name) for name in list(changes) if name.startswith("fail.")}
    fail = msgspec.convert({**asdict(simulated.fail), **failures}, type(simulated.fail), strict=False)
    return msgspec.convert({**asdict(simulated), **changes, "fail": asdict(fail)}, Simulation, strict=False)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=0, show_default=True, help="The port; 0 picks a free one.")
@click.option("--key", help="The only key that is taken.")
@click.option("--simulation", "simulated", default="{}", help="How it behaves, as JSON.")
def main(host: str, port: int, key: str | None, simulated: str) -> None:
    """Serve a simulated upstream of the openai dialect.

    \b
    Example:
      python -m reynard.testing.upstream --port 9000 --simulation '{"tokens": 50, "tokens_per_s": 20}'
    """
    upstream = Upstream(msgspec.json.decode(simulated, type=Simulation), key)

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(upstream.protocol, host, port, backlog=4096)
        bound = server.sockets[0].getsockname()[1]
        click.echo(f"listening on http://{host}:{bound}")
        async with server:
            await server.serve_forever()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


if __name__ == "__main__":
    main()
