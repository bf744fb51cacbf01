"""Work on a blob that has begun is not overtaken by what follows."""

import asyncio

import pytest

from reynard.engine.jobs import Jobs
from reynard.storage.blobs.waiting import whole


async def test_a_caller_that_is_cancelled_waits_for_the_end_of_its_work() -> None:
    work: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    caller = Jobs().start(whole(work))
    await asyncio.sleep(0)
    caller.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not caller.done()
    work.set_result(1)
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_what_the_work_raises_after_that_goes_nowhere() -> None:
    work: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    caller = Jobs().start(whole(work))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.sleep(0)
    work.set_exception(OSError("late"))
    with pytest.raises(asyncio.CancelledError):
        await caller
