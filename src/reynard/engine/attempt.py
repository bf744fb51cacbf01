"""One attempt: one generation, one channel, one upstream call, with its clocks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final

from reynard.core.assembly import says_nothing
from reynard.core.chat import Completion
from reynard.core.errors import GenerationError
from reynard.engine.delivery import MAX_ANSWER_BYTES, Delivery
from reynard.engine.health import Call
from reynard.engine.routes import Route
from reynard.engine.work import Identity
from reynard.ports.transport import ConnectFailed, ConnectionBroken, WireRequest, WireResponse

OK: Final = 200
MAX_ERROR_BYTES: Final = 64_000
LINGER_S: Final = 0.5


async def complete(request: WireRequest, route: Route, identity: Identity, call: Call) -> Completion:
    """The whole answer in one body. Raises `GenerationError`."""
    async with _clocked(route, route.channel.answer_timeout_s), route.transport.send(request) as response:
        call.status = response.status
        call.answering = response.status == OK
        if call.answering:
            call.begin()
        body = await _body(response, route)
    completion = route.codec.decode(body)
    completion.id, completion.created, completion.model = identity.id, identity.created, identity.model
    return with_content(completion)


async def stream(request: WireRequest, route: Route, identity: Identity, call: Call, delivery: Delivery) -> Completion:
    """Chunk after chunk into `delivery`; what they amounted to is returned.

    Raises `GenerationError`, `Diverged`, `Outrun`.
    """
    decoder = route.codec.stream_decoder()
    async with _clocked(route, route.channel.first_byte_timeout_s) as clock, route.transport.send(request) as response:
        call.status = response.status
        if response.status != OK:
            await _body(response, route)
        async with aclosing(response.parts()) as parts:
            async for part in parts:
                call.answering = True
                clock.hold()  # how fast the reader is, is not the provider's affair
                await delivery.take(decoder.feed(part))
                clock.tick()
                if decoder.done:
                    clock.stop()
                    await _drain(parts)
                    break
    await delivery.take(decoder.close())
    whole = with_content(
        delivery.assembly.completion(id=identity.id, created=identity.created, model=identity.model)
    )
    await delivery.end()
    return whole


async def _drain(parts: AsyncIterator[bytes]) -> None:
    """The end of the body, if it comes at once: then the connection can be used again."""
    with suppress(TimeoutError, ConnectionBroken):
        async with asyncio.timeout(LINGER_S):
            await anext(parts, None)


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
async def _clocked(route: Route, first_s: float) -> AsyncIterator[_Clock]:
    """A clock that has `first_s` until its first tick; wire failures become the task's."""
    try:
        async with asyncio.timeout(min(first_s, route.channel.total_timeout_s)) as timeout:
            yield _Clock(timeout, route)
    except TimeoutError:
        raise GenerationError(
            "generation_timeout", "The provider did not answer in time. Try again later.", failover=True
        ) from None
    except (ConnectFailed, ConnectionBroken) as error:
        raise GenerationError("upstream_error", f"The provider failed: {error}. Try again.", failover=True) from error


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
    if response.status == OK:
        return await response.read(MAX_ANSWER_BYTES)
    error = route.codec.decode_error(response.status, await _beginning(response, MAX_ERROR_BYTES))
    if response.retry_after_s is not None:  # else what the body asks for stands
        error.retry_after_s = response.retry_after_s
    raise error
