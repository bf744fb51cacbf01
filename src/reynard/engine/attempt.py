"""One attempt: one generation, one channel, one upstream call, with its clocks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from typing import Final

from reynard.core.assembly import says_nothing
from reynard.core.chat import Completion
from reynard.core.errors import GenerationError
from reynard.engine.handover import MAX_ANSWER_BYTES, Handover
from reynard.engine.health import Call
from reynard.engine.routes import Route
from reynard.engine.work import Identity
from reynard.ports.codec import StreamDecoder
from reynard.ports.transport import ConnectFailed, ConnectionBroken, WireRequest, WireResponse

OK: Final = 200
MAX_ERROR_BYTES: Final = 64_000
LINGER_S: Final = 0.5


async def complete(request: WireRequest, route: Route, identity: Identity, call: Call) -> Completion:
    """The whole answer in one body. Raises `GenerationError`."""
    channel = route.channel
    try:
        async with asyncio.timeout(min(channel.answer_timeout_s, channel.total_timeout_s)):
            body = await _whole(request, route, call)
    except TimeoutError:
        raise _silent() from None
    except (ConnectFailed, ConnectionBroken) as error:
        raise _failed(error) from error
    completion = route.codec.decode(body)
    completion.id, completion.created, completion.model = identity.id, identity.created, identity.model
    return with_content(completion)


async def _whole(request: WireRequest, route: Route, call: Call) -> bytes:
    async with route.transport.send(request) as response:
        call.status = response.status
        call.answering = response.status == OK
        if call.answering:
            call.begin()
        return await _body(response, route)


async def stream(request: WireRequest, route: Route, identity: Identity, call: Call, handover: Handover) -> Completion:
    """Chunk after chunk into `handover`; what they amounted to is returned.

    Raises `GenerationError`, `Diverged`, `Outrun`.
    """
    decoder = route.codec.stream_decoder()
    async with _clocked(route, route.channel.first_byte_timeout_s) as clock, AsyncExitStack() as answer:
        response = await answer.enter_async_context(route.transport.send(request))
        call.status = response.status
        if response.status != OK:
            await _body(response, route)
        parts = await answer.enter_async_context(aclosing(response.parts()))
        async for part in parts:
            call.answering = True
            clock.hold()  # how fast the reader is, is not the provider's affair
            await handover.take(decoder.feed(part))
            clock.tick(decoder)
            if decoder.done:
                if route.may_linger:
                    route.linger(_drained(parts, answer.pop_all()))
                break
    await handover.take(decoder.close())
    whole = with_content(handover.assembly.completion(id=identity.id, created=identity.created, model=identity.model))
    await handover.end()
    return whole


async def _drained(parts: AsyncIterator[bytes], answer: AsyncExitStack) -> None:
    """The end of the body, if it comes soon: then the connection can be used again. Nobody waits for it."""
    async with answer:
        with suppress(TimeoutError, ConnectionBroken):
            async with asyncio.timeout(LINGER_S):
                await anext(parts, None)


class _Clock:
    """First byte, idle and total time, on one timer. `is_held`: it is the reader that is waited for."""

    __slots__ = ("_first", "_idle_s", "_loop", "_timeout", "_total", "is_held")

    def __init__(self, timeout: asyncio.Timeout, route: Route, first_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._idle_s = route.channel.idle_timeout_s
        began = self._loop.time()
        self._first = began + first_s
        self._total = began + route.channel.total_timeout_s
        self.is_held = False

    def hold(self) -> None:
        """Only the total time runs."""
        self.is_held = True
        self._timeout.reschedule(self._total)

    def tick(self, decoder: StreamDecoder) -> None:
        """Something came. A provider that only keeps the connection open is silent all the same."""
        self.is_held = False
        limit = min(self._first, self._total) if decoder.is_silent else self._total
        self._timeout.reschedule(min(self._loop.time() + self._idle_s, limit))


@asynccontextmanager
async def _clocked(route: Route, first_s: float) -> AsyncIterator[_Clock]:
    """A clock that has `first_s` until its first tick; wire failures become the task's."""
    clock = None
    try:
        async with asyncio.timeout(min(first_s, route.channel.total_timeout_s)) as timeout:
            clock = _Clock(timeout, route, first_s)
            yield clock
    except TimeoutError:
        raise (_unread() if clock is not None and clock.is_held else _silent()) from None
    except (ConnectFailed, ConnectionBroken) as error:
        raise _failed(error) from error


def _failed(error: ConnectFailed | ConnectionBroken) -> GenerationError:
    return GenerationError("upstream_error", f"The provider failed: {error}. Try again.", failover=True)


def _silent() -> GenerationError:
    return GenerationError("generation_timeout", "The provider did not answer in time. Try again later.", failover=True)


def _unread() -> GenerationError:
    """The channel is well, and another would be read as slowly."""
    return GenerationError(
        "generation_timeout", "The answer was read too slowly to end in the time that it may take. Read it faster."
    )


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
