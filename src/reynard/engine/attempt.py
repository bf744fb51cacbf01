"""One attempt: one generation, one channel, one upstream call, with its clocks."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final

from reynard.core.assembly import Assembly, says_nothing
from reynard.core.chat import Chunk, Completion, encode
from reynard.core.errors import GenerationError
from reynard.engine.routes import Route
from reynard.engine.work import Identity, Sink
from reynard.ports.transport import ConnectFailed, ConnectionBroken, WireRequest, WireResponse

MAX_ANSWER_BYTES: Final = 64_000_000
MAX_ERROR_BYTES: Final = 64_000
LINGER_S: Final = 0.5


async def complete(request: WireRequest, route: Route, identity: Identity, key_id: str) -> Completion:
    """The whole answer in one body. Raises `GenerationError`."""
    async with _clocked(route, key_id, route.channel.answer_timeout_s), route.transport.send(request) as response:
        body = await _body(response, route)
    completion = route.codec.decode(body)
    completion.id, completion.created, completion.model = identity.id, identity.created, identity.model
    return with_content(completion)


async def stream(
    request: WireRequest,
    route: Route,
    identity: Identity,
    key_id: str,
    sink: Sink,
    assembly: Assembly,
    *,
    shows_usage: bool,
) -> Completion:
    """Chunk after chunk into `sink`; what they amounted to is in `assembly`, and returned. Raises `GenerationError`."""
    decoder = route.codec.stream_decoder()
    delivery = _Delivery(identity, sink, assembly, shows_usage)
    first_s = route.channel.first_byte_timeout_s
    async with _clocked(route, key_id, first_s) as clock, route.transport.send(request) as response:
        if response.status != 200:
            await _body(response, route)
        async with aclosing(response.parts()) as parts:
            async for part in parts:
                clock.hold()  # how fast the reader is, is not the provider's affair
                await delivery.take(decoder.feed(part))
                clock.tick()
                if decoder.done:
                    clock.stop()
                    await _drain(parts)
                    break
    await delivery.take(decoder.close())
    whole = delivery.assembly.completion(id=identity.id, created=identity.created, model=identity.model)
    return with_content(whole)


async def _drain(parts: AsyncIterator[bytes]) -> None:
    """The end of the body, if it comes at once: then the connection can be used again."""
    with suppress(TimeoutError, ConnectionBroken):
        async with asyncio.timeout(LINGER_S):
            await anext(parts, None)


class _Delivery:
    """Names the chunks, keeps count of what they amount to, and hands them on as bytes."""

    __slots__ = ("_identity", "_shows_usage", "_sink", "_size", "assembly")

    def __init__(self, identity: Identity, sink: Sink, assembly: Assembly, shows_usage: bool) -> None:
        self.assembly = assembly
        self._identity = identity
        self._sink = sink
        self._shows_usage = shows_usage
        self._size = 0

    async def take(self, chunks: Iterable[Chunk]) -> None:
        """Delivers `chunks`, also those in front of a failure."""
        encoded: list[bytes] = []
        try:
            encoded.extend(encode(chunk) for chunk in chunks if self._is_shown(chunk))
            self._size += sum(map(len, encoded))
            if self._size > MAX_ANSWER_BYTES:
                raise GenerationError("upstream_error", "The provider's answer is longer than the gateway takes.")
        finally:
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

    def hold(self) -> None:
        """Only the total time runs."""
        self._timeout.reschedule(self._deadline)

    def stop(self) -> None:
        """All that was wanted is there."""
        self._timeout.reschedule(None)

    def tick(self) -> None:
        """Something came."""
        self._timeout.reschedule(min(self._loop.time() + self._idle_s, self._deadline))


@asynccontextmanager
async def _clocked(route: Route, key_id: str, first_s: float) -> AsyncIterator[_Clock]:
    """A place on the channel, and a clock that has `first_s` until its first tick; wire failures become the task's."""
    async with route.place(key_id):
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


def with_content(completion: Completion) -> Completion:
    """`completion`, if there is anything in it. Raises `GenerationError`."""
    if not says_nothing(completion):
        return completion
    if any(choice.finish_reason == "content_filter" for choice in completion.choices):
        raise GenerationError("content_policy_violation", "The provider withheld the whole answer. Change the request.")
    raise GenerationError(
        "generation_failed_no_content",
        "The provider answered with nothing. Try again, or change the request.",
        failover=True,
    )


async def _beginning(response: WireResponse, limit: int) -> bytes:
    """As much of the body as there is, and as is worth reading."""
    found = b""
    with suppress(ConnectionBroken):
        async with aclosing(response.parts()) as parts:
            async for part in parts:
                found += part
                if len(found) >= limit:
                    break
    return found[:limit]


async def _body(response: WireResponse, route: Route) -> bytes:
    """The body of a 200. Raises what the dialect makes of any other status."""
    if response.status == 200:
        return await response.read(MAX_ANSWER_BYTES)
    error = route.codec.decode_error(response.status, await _beginning(response, MAX_ERROR_BYTES))
    if response.retry_after_s is not None:  # else what the body asks for stands
        error.retry_after_s = response.retry_after_s
    raise error
