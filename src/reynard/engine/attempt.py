"""One attempt: one generation, one channel, one upstream call, with its clocks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, suppress
from typing import Final

from reynard.core.assembly import says_nothing
from reynard.core.chat import Completion
from reynard.core.errors import GenerationError
from reynard.engine.deadlines import Deadlines
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
        async with (
            asyncio.timeout(min(channel.answer_timeout_s, channel.total_timeout_s)),
            route.transport.send(request) as response,
        ):
            call.status = response.status
            call.answering = response.status == OK
            if call.answering:
                call.begin()
            body = await _body(response, route)
    except TimeoutError:
        raise _silent() from None
    except (ConnectFailed, ConnectionBroken) as error:
        raise _failed(error) from error
    completion = route.codec.decode(body)
    completion.id, completion.created, completion.model = identity.id, identity.created, identity.model
    return with_content(completion)


async def stream(request: WireRequest, route: Route, identity: Identity, call: Call, handover: Handover) -> Completion:
    """Chunk after chunk into `handover`; what they amounted to is returned.

    Raises `GenerationError`, `Diverged`, `Outrun`.
    """
    decoder, clock = route.codec.stream_decoder(), Deadlines(route.channel)
    try:
        async with clock, AsyncExitStack() as answer:
            response = await answer.enter_async_context(route.transport.send(request))
            call.status = response.status
            if response.status != OK:
                await _body(response, route)
            parts = await answer.enter_async_context(aclosing(response.parts()))
            await asyncio.get_running_loop().create_task(_relay(parts, decoder, call, handover, clock))
            if decoder.done and route.may_linger:
                route.linger(_drained(parts, answer.pop_all()))
    except TimeoutError:
        raise (_unread() if clock.is_held else _silent()) from None
    except (ConnectFailed, ConnectionBroken) as error:
        raise _failed(error) from error.with_traceback(None)  # its frames hold the sink
    await handover.take(decoder.close())
    whole = with_content(handover.assembly.completion(id=identity.id, created=identity.created, model=identity.model))
    await handover.end()
    return whole


async def _relay(
    parts: AsyncIterator[bytes], decoder: StreamDecoder, call: Call, handover: Handover, clock: Deadlines
) -> None:
    """The parts of a body up to the mark of its end.

    A task of its own: else every part would go through each of the coroutines that the call lies in, some thirty, and
    no cache has their frames any more when the next one comes.
    """
    async for part in parts:
        call.answering = True
        clock.is_held = True  # how fast the reader is, is not the provider's affair
        await handover.take(decoder.feed(part))
        clock.tick(decoder)
        if decoder.done:
            return


async def _drained(parts: AsyncIterator[bytes], answer: AsyncExitStack) -> None:
    """The end of the body, if it comes soon: then the connection can be used again. Nobody waits for it."""
    async with answer:
        with suppress(TimeoutError, ConnectionBroken):
            async with asyncio.timeout(LINGER_S):
                await anext(parts, None)


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
