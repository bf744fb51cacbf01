"""Many who wait share one timer: nobody waits for too long, and whom news comes to does not wait."""

import asyncio
import time

import pytest

from reynard.ports.chunks import Batch
from reynard.storage.chunks_memory import MemoryChunkLog
from reynard.storage.waits import GRAIN_S, Waits
from reynard.testing.clock import FakeClock

READERS = 30_000  # looking for each among all of them takes some eight seconds


def future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


async def test_a_wait_ends_at_its_time() -> None:
    waits, now = Waits(), asyncio.get_running_loop().time
    began = now()
    await waits.end(future(), 0.03)
    assert 0.028 <= now() - began < 5


async def test_each_wait_ends_at_its_own_time() -> None:
    waits, now = Waits(), asyncio.get_running_loop().time
    began = now()
    ended: list[tuple[float, float]] = []

    async def one(wait_s: float) -> None:
        await waits.end(future(), wait_s)
        ended.append((wait_s, now() - began))

    await asyncio.gather(*map(one, (0.3, 0.02, 0.15, 0.021)))
    assert all(wait_s - 0.002 <= at for wait_s, at in ended)
    assert [wait_s for wait_s, _ in ended] == sorted(wait_s for wait_s, _ in ended)
    assert ended[-1][1] < 0.3 + GRAIN_S + 5


async def test_news_ends_it_at_once() -> None:
    waits, news = Waits(), future()
    asyncio.get_running_loop().call_soon(news.set_result, None)
    async with asyncio.timeout(5):
        await waits.end(news, 60)
        await waits.end(future(), 0.01)  # a timer that was set for later does not keep it


async def test_who_is_cancelled_waits_no_more() -> None:
    waits, given_up = Waits(), future()
    waiting = asyncio.ensure_future(waits.end(given_up, 0.01))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await waits.end(future(), 0.02)
    assert given_up.cancelled()


async def test_thousands_who_read_one_stream_leave_without_being_looked_for() -> None:
    log = MemoryChunkLog(FakeClock(), retention_s=60, max_bytes=10**9, max_stream_bytes=10**9)
    await log.open("task")

    async def read() -> None:
        for offset in range(2):
            assert await log.read("task", offset, 60) == Batch([b"x"])

    readers = [asyncio.ensure_future(read()) for _ in range(READERS)]
    await asyncio.sleep(0)
    begun = time.process_time()
    await log.append("task", [b"x"])
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # all wait for the next chunk by now
    assert time.process_time() - begun < 3
    await log.append("task", [b"x"])
    await asyncio.gather(*readers)
