"""Many who wait share one timer: nobody waits for too long, and whom news comes to does not wait."""

import asyncio

import pytest

from reynard.storage.waits import GRAIN_S, Waits


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
