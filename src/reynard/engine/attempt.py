"""One attempt: one generation, one channel, one upstream call, with its clocks."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

from msgspec import Struct

from reynard.core.assembly import Assembly
from reynard.core.chat import Chunk, Completion, encode
from reynard.core.errors import GenerationError
from reynard.core.generation import Generation
from reynard.engine.routes import Route
from reynard.ports.transport import ConnectFailed, ConnectionBroken, WireResponse

MAX_ANSWER_BYTES: Final = 64_000_000
MAX_ERROR_BYTES: Final = 64_000


class Identity(Struct, frozen=True):
    """What every piece of an answer says of itself, whoever produced it."""

    id: str
    created: int
    model: str


class Sink(Protocol):
    """Where the chunks of a stream go."""

    async def put(self, chunks: Sequence[bytes]) -> None:
        """More chunks (JSON), in order."""
        ...

    async def restart(self) -> bool:
        """Whether the stream may begin again from nothing: true only while nobody was handed a chunk of it."""
        ...


async def complete(generation: Generation, route: Route, identity: Identity) -> Completion:
    """The whole answer in one body. Raises `GenerationError`."""
    request = route.codec.encode(generation, route.channel)
    async with _clocked(route, route.channel.answer_timeout_s), route.transport.send(request) as response:
        body = await _body(response, route)
    completion = route.codec.decode(body)
    completion.id, completion.created, completion.model = identity.id, identity.created, identity.model
    return completion


async def stream(generation: Generation, route: Route, identity: Identity, sink: Sink) -> Completion:
    """Chunk after chunk into `sink`; what they amounted to is returned. Raises `GenerationError`."""
    request = route.codec.encode(generation, route.channel)
    decoder = route.codec.stream_decoder()
    delivery = _Delivery(identity, sink, generation.wants_usage)
    async with _clocked(route, route.channel.first_byte_timeout_s) as clock, route.transport.send(request) as response:
        if response.status != 200:
            await _body(response, route)
        async for part in response.parts():
            clock.tick()
            await delivery.take(decoder.feed(part))
    await delivery.take(decoder.close())
    return delivery.assembly.completion(id=identity.id, created=identity.created, model=identity.model)


class _Delivery:
    """Names the chunks, keeps count of what they amount to, and hands them on as bytes."""

    __slots__ = ("_identity", "_shows_usage", "_sink", "assembly")

    def __init__(self, identity: Identity, sink: Sink, shows_usage: bool) -> None:
        self.assembly = Assembly()
        self._identity = identity
        self._sink = sink
        self._shows_usage = shows_usage

    async def take(self, chunks: Sequence[Chunk]) -> None:
        encoded = [encode(chunk) for chunk in chunks if self._is_shown(chunk)]
        if encoded:
            await self._sink.put(encoded)

    def _is_shown(self, chunk: Chunk) -> bool:
        """Names and counts `chunk`. The gateway asks for the usage itself; a client that did not is not shown it."""
        identity = self._identity
        chunk.id, chunk.created, chunk.model = identity.id, identity.created, identity.model
        self.assembly.add(chunk)
        if chunk.usage is not None and not self._shows_usage:
            chunk.usage = None
            return bool(chunk.choices)
        return True


class _Clock:
    """First byte, idle and total time, on one timer."""

    __slots__ = ("_deadline", "_idle_s", "_loop", "_timeout")

    def __init__(self, timeout: asyncio.Timeout, route: Route) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._idle_s = route.channel.idle_timeout_s
        self._deadline = self._loop.time() + route.channel.total_timeout_s

    def tick(self) -> None:
        """Something came."""
        self._timeout.reschedule(min(self._loop.time() + self._idle_s, self._deadline))


@asynccontextmanager
async def _clocked(route: Route, first_s: float) -> AsyncIterator[_Clock]:
    """A place on the channel, and a clock that has `first_s` until its first tick; wire failures become the task's."""
    async with route.gate:
        try:
            async with asyncio.timeout(min(first_s, route.channel.total_timeout_s)) as timeout:
                yield _Clock(timeout, route)
        except TimeoutError:
            raise GenerationError(
                "generation_timeout", "The provider did not answer in time. Try again later.", failover=True
            ) from None
        except (ConnectFailed, ConnectionBroken) as error:
            raise GenerationError(
                "upstream_error", f"The provider failed: {error}. Try again.", failover=True
            ) from error


async def _body(response: WireResponse, route: Route) -> bytes:
    """The body of a 200. Raises what the dialect makes of any other status."""
    if response.status == 200:
        return await response.read(MAX_ANSWER_BYTES)
    error = route.codec.decode_error(response.status, await response.read(MAX_ERROR_BYTES))
    error.retry_after_s = response.retry_after_s
    raise error
