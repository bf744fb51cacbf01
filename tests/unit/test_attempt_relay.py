"""What a stream is relayed by is a task of its own: it ends with the call, whoever ends it and whenever that is."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from tests.unit.test_attempt_clocks import Body
from tests.unit.test_walk import Reader, failed, failover, route, sse, work

from reynard.ports.transport import ConnectionBroken

TURNS = 40  # of the loop: more than such a call takes


@pytest.fixture(scope="module", autouse=True)
def _left_by_others() -> None:
    """The collector does not look at it each time."""
    gc.collect()
    gc.freeze()


class Slow(Reader):
    """Takes a turn of the loop for each piece."""

    async def put(self, chunks: Sequence[bytes]) -> None:
        await asyncio.sleep(0)
        await super().put(chunks)


class Answering:
    """An answer in pieces, a turn of the loop for each. `is_open`: it has begun, and was not left in order."""

    def __init__(self, failure: Exception | None) -> None:
        self.is_open = False
        self._failure = failure

    async def parts(self) -> AsyncGenerator[bytes, None]:
        self.is_open = True
        try:
            for word in ("a", "b", "c"):
                await asyncio.sleep(0)
                yield sse(word)
            await asyncio.sleep(0)
            if self._failure is not None:
                raise self._failure
            yield sse("stop") + sse("[DONE]")
        finally:
            self.is_open = False


@pytest.mark.parametrize("failure", [None, ConnectionBroken("cut"), ValueError("a defect")])
@pytest.mark.parametrize("turns", range(TURNS))
async def test_whenever_a_call_is_cancelled_nothing_of_it_is_left(turns: int, failure: Exception | None) -> None:
    found: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: found.append(context))
    answer, before = Answering(failure), asyncio.all_tasks()
    body: Any = Body(answer.parts())
    call = asyncio.ensure_future(failover([route("a", body)]).generate(work(), Slow()))
    for _ in range(turns):
        await asyncio.sleep(0)
    in_time = call.cancel()
    [ended] = await asyncio.gather(call, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError) or not in_time
    assert asyncio.all_tasks() - before <= {call}
    assert not answer.is_open
    assert body.left.is_set() or turns == 0
    if turns == TURNS - 1:
        assert not in_time
    del ended, call
    gc.collect()
    assert not found


async def test_a_part_that_comes_does_not_put_off_the_total_time() -> None:
    async def endless() -> AsyncGenerator[bytes, None]:
        while True:
            yield sse("x")
            await asyncio.sleep(0.001)

    body: Any = Body(endless())
    began = asyncio.get_running_loop().time()
    error = await failed(failover([route("a", body, total_timeout_s=0.05)]), work(), Reader(99))
    assert (error.code, body.left.is_set()) == ("generation_timeout", True)
    assert asyncio.get_running_loop().time() - began >= 0.049


class Held(Reader):
    """Is slow to take the second piece."""

    def __init__(self, held_s: float) -> None:
        super().__init__(99)
        self._held_s = held_s

    async def put(self, chunks: Sequence[bytes]) -> None:
        await super().put(chunks)
        if len(self.chunks) == 2:
            await asyncio.sleep(self._held_s)


async def test_silence_counts_from_when_the_reader_let_go() -> None:
    """A timer that rang while the reader was waited for is set to the total time; what comes then sets it back."""

    async def silent() -> AsyncGenerator[bytes, None]:
        yield sse("x")
        yield sse("y")
        await asyncio.Event().wait()

    body: Any = Body(silent())
    now = asyncio.get_running_loop().time
    began = now()
    async with asyncio.timeout(20):
        error = await failed(failover([route("a", body, idle_timeout_s=0.05)]), work(), Held(0.2))
    assert (error.code, "read" in error.message) == ("generation_timeout", False)
    assert now() - began >= 0.249
