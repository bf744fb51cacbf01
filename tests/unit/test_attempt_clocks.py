"""The clocks of an attempt: whose fault it is that one runs out, and what comes before the end of the body."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.unit.test_walk import Provider, Reader, failed, failover, outcomes, route, sse, words, work

from reynard.core.circuit import CircuitRule
from reynard.ports.transport import ConnectionBroken, WireRequest


class Stuck(Reader):
    """Nobody reads."""

    async def put(self, chunks: Sequence[bytes]) -> None:
        await asyncio.Event().wait()


async def test_a_client_that_does_not_read_is_not_the_providers_fault() -> None:
    one = route("a", Provider(words("x")), total_timeout_s=0.05, circuit=CircuitRule(failures=1))
    other = Provider(words("x"))
    error = await failed(failover([one, route("b", other, priority=1)]), work(), Stuck())
    assert (error.code, "read" in error.message) == ("generation_timeout", True)
    assert (one.health.circuit.state(0), one.health.vitals.error_rate(0), other.asked) == ("closed", 0.0, [])


async def test_a_provider_that_takes_too_long_is_at_fault() -> None:
    one = route("a", Provider(["x", "hang"]), total_timeout_s=0.05, circuit=CircuitRule(failures=1, open_s=50))
    error = await failed(failover([one]), work(), Reader(99))
    assert error.code == "generation_timeout"
    assert one.health.circuit.state(asyncio.get_running_loop().time()) == "open"


async def test_one_that_falls_silent_is_given_up_long_before_its_first_byte_would_have_been_late() -> None:
    one = route("a", Provider(["x", "hang"]), idle_timeout_s=0.05, first_byte_timeout_s=60)
    async with asyncio.timeout(10):
        error = await failed(failover([one]), work(), Reader(99))
    assert error.code == "generation_timeout"


async def pausing() -> AsyncGenerator[bytes, None]:
    for part in (sse("y"), sse("z"), sse("stop") + sse("[DONE]")):
        await asyncio.sleep(0.06)
        yield part


async def test_each_part_lets_the_next_one_take_its_time() -> None:
    slow: Any = Body(pausing())
    sink = Reader()
    await failover([route("a", slow, idle_timeout_s=0.1, first_byte_timeout_s=0.1)]).generate(work(), sink)
    assert sink.text == "yz"


class Body:
    """A stream whose parts come at times of the test's own."""

    status = 200
    retry_after_s = None

    def __init__(self, parts: AsyncGenerator[bytes, None]) -> None:
        self._parts = parts
        self.left = asyncio.Event()

    @asynccontextmanager
    async def send(self, request: WireRequest) -> AsyncIterator[Any]:
        try:
            yield self
        finally:
            self.left.set()

    def parts(self) -> AsyncGenerator[bytes, None]:
        return self._parts

    async def close(self) -> None: ...


async def comments() -> AsyncGenerator[bytes, None]:
    while True:
        yield b": still here\n\n"
        await asyncio.sleep(0.01)


async def test_one_that_only_sends_comments_is_silent() -> None:
    silent: Any = Body(comments())
    routes = [
        route("a", silent, first_byte_timeout_s=0.1),
        route("b", Provider(words("y")), priority=1),
    ]
    this = work()
    await failover(routes).generate(this, Reader())
    assert outcomes(this) == [("a", "failed", "generation_timeout"), ("b", "completed", None)]


async def dripping() -> AsyncGenerator[bytes, None]:
    yield b": wait\n\n"
    for byte in sse("y") + sse("stop") + sse("[DONE]"):
        yield bytes([byte])
        await asyncio.sleep(0.002)


async def test_one_whose_first_event_is_on_its_way_is_not() -> None:
    slow: Any = Body(dripping())
    this, sink = work(), Reader()
    await failover([route("a", slow, first_byte_timeout_s=0.1)]).generate(this, sink)
    assert sink.text == "y"


class Ending:
    """The end of a body, which comes when the test says so, if at all."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.let = asyncio.Event()
        self.reached = False
        self._failure = failure

    async def parts(self) -> AsyncGenerator[bytes, None]:
        yield sse("y") + sse("stop") + sse("[DONE]")
        await self.let.wait()
        if self._failure is not None:
            raise self._failure
        self.reached = True


@pytest.mark.parametrize("failure", [None, ConnectionBroken("cut")])
async def test_the_end_does_not_wait_for_the_end_of_the_body(failure: Exception | None) -> None:
    ending = Ending(failure)
    body: Any = Body(ending.parts())
    one, sink = route("a", body), Reader()
    await failover([one]).generate(work(), sink)
    assert (sink.text, body.left.is_set(), one.quiet.is_set(), one.gate.is_full) == ("y", False, False, False)
    ending.let.set()
    await body.left.wait()
    await one.quiet.wait()
    assert ending.reached is (failure is None)


async def test_a_body_without_an_end_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reynard.engine.attempt.LINGER_S", 0.01)
    body: Any = Body(Ending().parts())
    one = route("a", body)
    await failover([one]).generate(work(), Reader())
    await body.left.wait()
    await one.quiet.wait()


async def test_no_more_calls_linger_than_may_be_under_way() -> None:
    body: Any = Body(Ending().parts())
    one = route("a", body, concurrency=1)
    await failover([one]).generate(work(), Reader())
    assert not body.left.is_set()
    body = one.transport = Body(Ending().parts())
    await failover([one]).generate(work(), Reader())
    assert body.left.is_set()
    assert not one.quiet.is_set()
