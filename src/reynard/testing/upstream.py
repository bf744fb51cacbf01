"""A simulated upstream as a server of its own: `python -m reynard.testing.upstream`.

It speaks the real wire protocols of OpenAI, Anthropic and Google, on their own paths and on those of Azure and Vertex
AI, plays `core.simulation` with its pace and faults, and checks what it receives: a request that the provider would
refuse is refused in the provider's own shape and remembered. `GET /_state` tells what it saw; `PUT /_simulation`
changes how it behaves from then on; a model name may carry its own behaviour: `any-model?tokens=5&fail.rate=1`,
percent-encoded where the name is in the path.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

import click
import httptools
import msgspec
import uvloop

from reynard.core.playback import Cut, Head, Pause, Piece, Stall, Step
from reynard.core.simulation import Simulation
from reynard.engine.jobs import Jobs
from reynard.testing.provider import Denied, Played, Provider
from reynard.testing.wires.exchange import Request

MOST_BYTES: Final = 128 * 1024 * 1024
REASONS: Final = {200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 404: b"Not Found"}


class Upstream:
    """The server: a provider, and what is being played."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.jobs = Jobs()

    def protocol(self) -> "Connection":
        """For `loop.create_server`."""
        return Connection(self.provider, self.jobs)


class Connection(asyncio.Protocol):
    """One client connection; requests on it are answered one after the other."""

    def __init__(self, provider: Provider, jobs: Jobs) -> None:
        self._provider = provider
        self._jobs = jobs
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
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the path."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        """A piece of the body; one that no provider would read to its end is not kept."""
        self._size += len(body)
        if self._size > MOST_BYTES:
            self._transport.abort()
            self._body.clear()
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._size > MOST_BYTES:
            return
        method = self._parser.get_method().decode()
        request = Request(method, self._target.decode("latin-1"), self._headers, b"".join(self._body))
        if request.path.startswith("/_"):
            self._control(request)
            return
        try:
            if self._provider.files.serves(request):
                reply = self._provider.file(request)
                self._answer(200, reply.body, reply.headers)
            else:
                self._generate(request)
        except Denied as denied:
            self._provider.refuse(denied.refused)
            self._answer(denied.refused.status, denied.body)

    def _generate(self, request: Request) -> None:
        """Raises `Denied`."""
        self._provider.remember(request.body)
        wire, route = self._provider.routed(request)
        known = self._provider.known(request)
        if known is not None:
            self._transport.write(known)
            return
        played = self._provider.play(request, wire, route)
        if played.at_once:
            self._at_once(played)
        else:
            self._playing = self._jobs.start(self._play(played.steps))

    def _at_once(self, played: Played) -> None:
        steps = list(played.steps)
        answer = b"".join(_wire(step, steps[0]) for step in steps) + _ending(steps[0])
        self._provider.keep(played, answer)
        self._provider.state.finished += 1
        self._transport.write(answer)

    async def _play(self, steps: Iterable[Step]) -> None:
        state = self._provider.state
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
                        # what was sent of an answer arrives: a reset would take it along
                        (self._transport.abort if head is None else self._transport.close)()
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

    def _control(self, request: Request) -> None:
        if request.path == "/_simulation":
            self._provider.behave(msgspec.json.decode(request.body, type=Simulation))
        self._answer(200, self._provider.shown())

    def _answer(self, status: int, body: bytes, headers: Iterable[tuple[str, str]] = ()) -> None:
        self._transport.write(_head(Head(status, len(body)), headers) + body)


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


def _head(head: Head, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    lines = [b"HTTP/1.1 %d %b" % (head.status, REASONS.get(head.status, b"Error"))]
    lines += [f"{name}: {value}".encode("latin-1") for name, value in headers]
    if head.retry_after_s is not None:
        lines.append(b"retry-after: %g" % head.retry_after_s)
    lines.append(b"content-type: text/event-stream" if head.stream else b"content-type: application/json")
    lines.append(b"transfer-encoding: chunked" if head.length is None else b"content-length: %d" % head.length)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _ending(head: Step | None) -> bytes:
    return b"0\r\n\r\n" if isinstance(head, Head) and head.length is None else b""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=0, show_default=True, help="The port; 0 picks a free one.")
@click.option("--key", help="The only key that is taken.")
@click.option("--simulation", "simulated", default="{}", help="How it behaves, as JSON.")
def main(host: str, port: int, key: str | None, simulated: str) -> None:
    """Serve a simulated upstream that speaks the openai, anthropic and gemini dialects.

    \b
    Example:
      python -m reynard.testing.upstream --port 9000 --simulation '{"tokens": 50, "tokens_per_s": 20}'
    """
    upstream = Upstream(Provider(msgspec.json.decode(simulated, type=Simulation), key))

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
