"""Two channels beside each other: what begins an answer, who goes on, and what is left when the winner breaks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from tests.unit.test_walk import (
    HANG,
    Provider,
    Reader,
    failed,
    failover,
    outcomes,
    route,
    slow_first,
    words,
    work,
)

from reynard.engine.routes import Route
from reynard.ports.transport import WireRequest

ROLE: Final = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
EMPTY: Final = words()
"""A finish reason, and the end, of nothing."""


def with_role(*scripts: Any) -> Provider:
    """A provider that names itself before it says anything, as most do."""
    provider = Provider(*scripts)
    provider.parts_of = lambda parts: [ROLE, *parts]
    return provider


def delayed(of: Route, delay_s: float) -> Route:
    send = of.transport.send

    @asynccontextmanager
    async def held(request: WireRequest) -> AsyncIterator[Any]:
        await asyncio.sleep(delay_s)
        async with send(request) as response:
            yield response

    of.transport.send = held  # type: ignore[method-assign]
    return of


@pytest.mark.parametrize("reads", [0, 99])
async def test_when_the_winner_breaks_the_one_that_it_outran_is_asked_again(reads: int) -> None:
    slow, this, sink = Provider([HANG], words("y", "z")), work(), Reader(reads)
    await failover(slow_first(slow, Provider(words("y", finish=False)))).generate(this, sink)
    assert (sink.text, this.journal.channel, len(slow.asked)) == ("yz", "slow", 2)
    assert sorted(outcome for _, outcome, _ in outcomes(this)) == ["completed", "failed", "outrun"]


async def test_the_one_that_was_outrun_comes_before_the_rest_of_the_queue() -> None:
    slow, third, this = Provider([HANG], words("y")), Provider(words("y")), work()
    routes = [*slow_first(slow, Provider(words("y", finish=False))), route("third", third, priority=2)]
    await failover(routes).generate(this, Reader(99))
    assert (this.journal.channel, third.asked) == ("slow", [])


async def test_races_that_only_fail_come_to_an_end() -> None:
    slow, fast = Provider([HANG], words("y", finish=False)), Provider(words("y", finish=False))
    this = work()
    await failed(failover(slow_first(slow, fast)), this, Reader(99))
    assert (len(slow.asked), len(fast.asked)) == (2, 1)


async def test_the_winners_failure_is_what_is_told() -> None:
    slow, this, sink = Provider(400), work(), Reader()
    routes = slow_first(slow, Provider(words("y", finish=False)))
    error = await failed(failover([delayed(routes[0], 0.02), delayed(routes[1], 0.06)]), this, sink)
    assert (error.code, sink.text) == ("stream_interrupted", "y")


async def test_a_role_alone_begins_nothing() -> None:
    slow, fast, this, sink = with_role(words("x")), with_role([HANG]), work(), Reader()
    routes = slow_first(slow, fast)
    await failover([delayed(routes[0], 0.05), routes[1]]).generate(this, sink)
    assert (sink.text, fast.cut, this.journal.channel) == ("x", 1, "slow")
    assert [b'"role"' in chunk for chunk in sink.chunks] == [True, False, False]


async def test_a_role_alone_is_no_first_token() -> None:
    one, seen = route("a", with_role(["x", HANG])), asyncio.Event()

    class Noting(Reader):
        async def put(self, chunks: Any) -> None:
            await super().put(chunks)
            seen.set()

    sink = Noting()
    running = asyncio.ensure_future(failover([one]).generate(work(), sink))
    await seen.wait()
    assert b'"x"' in b"".join(sink.chunks)
    running.cancel()
    await asyncio.wait([running])


async def test_an_empty_stream_was_never_begun() -> None:
    this, sink = work(), Reader()
    routes = [route("a", with_role(EMPTY)), route("b", with_role(words("y")), priority=1)]
    await failover(routes).generate(this, sink)
    assert (sink.text, this.journal.channel) == ("y", "b")
    sink, this = Reader(), work()
    error = await failed(failover(routes[:1]), this, sink)
    assert (error.code, sink.chunks, this.produced()) == ("generation_failed_no_content", [], None)


async def test_what_is_held_back_is_bounded() -> None:
    many, sink = Provider(["x", HANG]), Reader()
    many.parts_of = lambda parts: [ROLE * 1_000] if parts else []
    one = route("a", many, idle_timeout_s=0.05)
    await failed(failover([one]), work(), sink)
    assert len(sink.chunks) == 1_000


async def test_one_that_was_read_goes_on_behind_a_role_too() -> None:
    sink, this = Reader(), work()
    routes = [
        route("a", with_role(words("x", finish=False))),
        route("b", with_role(EMPTY), priority=1),
        route("c", with_role(words("x", "y")), priority=2),
    ]
    await failover(routes).generate(this, sink)
    assert (sink.text, this.journal.channel) == ("xy", "c")
