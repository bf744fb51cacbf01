"""A sync call's client is answered, whatever becomes of the keeping of its end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from reynard.core.chat import Completion
from reynard.core.errors import StoreUnavailable
from reynard.core.generation import Generation
from reynard.core.messages import UserMessage
from reynard.core.task import Attempt, RunPolicy, Task
from reynard.engine import calls as calls_module
from reynard.engine import run as run_module
from reynard.engine.calls import Calls
from reynard.engine.capacity import Capacity
from reynard.engine.jobs import Jobs
from reynard.engine.run import Run
from reynard.testing.clock import FakeClock
from reynard.testing.conformance.store import new_task

GENERATION = Generation(model="gpt-5.5", messages=(UserMessage(content="Hi"),))


class Parts:
    """Whatever a call needs; notes what came of it."""

    def __init__(self) -> None:
        self.ended: list[Task] = []
        self.followed: list[Task] = []
        self.broken = False

    async def generate(self, *_: object) -> Completion:
        return Completion(id="c", created=1, model="gpt-5.5", choices=[])

    def whole(self, *_: object) -> None:
        return None

    async def follow(self, task: Task) -> None:
        self.followed.append(task)


class Admission:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def ended(self, task: Task) -> None:
        self._parts.ended.append(task)
        if self._parts.broken:
            raise RuntimeError("that too")


@pytest.fixture
async def jobs() -> AsyncIterator[Jobs]:
    found = Jobs()
    yield found
    await found.close()


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def calls(parts: Parts, jobs: Jobs) -> Calls:
    names = ("store", "repeats")
    return Calls(
        "worker-a",
        admission=cast("Any", Admission(parts)),
        endings=cast("Any", parts),
        failover=cast("Any", parts),
        billing=cast("Any", parts),
        clock=FakeClock(),
        jobs=jobs,
        capacity=Capacity(),
        policy=RunPolicy(),
        **dict.fromkeys(names, cast("Any", SimpleNamespace())),
    )


def placed(calls: Calls) -> Run:
    return calls._place(cast("Any", SimpleNamespace(task=new_task(1), generation=GENERATION)))


def answering(calls: Calls, run: Run, keep: Any) -> "asyncio.Task[bytes]":
    return asyncio.ensure_future(calls._answer(run, None, keep))


def is_forgotten(calls: Calls, run: Run) -> bool:
    return run.ended.done() and not calls.runs and not calls._places._all and not calls._bytes._all


@pytest.mark.parametrize("broken", [False, True])
async def test_a_defect_in_keeping_is_told_and_what_was_taken_is_given_back(
    calls: Calls, parts: Parts, broken: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def keep(*_: object) -> None:
        raise ValueError("a defect")

    parts.broken = broken
    run = placed(calls)
    with caplog.at_level(logging.ERROR):
        async with asyncio.timeout(calls_module.KEEP_S / 2):
            with pytest.raises(ValueError, match="a defect"):
                await answering(calls, run, keep)
    assert len(parts.ended) == 1
    assert not parts.followed
    assert is_forgotten(calls, run)


async def test_a_client_that_leaves_while_the_end_is_kept_leaves_nothing_behind(calls: Calls, parts: Parts) -> None:
    keeping, may = asyncio.Event(), asyncio.Event()

    async def keep(task: Task, result: bytes | None, attempts: list[Attempt]) -> None:
        keeping.set()
        await may.wait()

    run = placed(calls)
    call = answering(calls, run, keep)
    await keeping.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not run.ended.done()
    may.set()
    await run.ended
    assert [task.status for task in parts.followed] == ["completed"]
    assert is_forgotten(calls, run)


async def test_who_waits_for_a_store_that_is_away_is_told_and_the_end_is_kept_later(
    calls: Calls, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls_module, "KEEP_S", 0.01)
    monkeypatch.setattr(run_module, "STORE_RETRY_S", 0.0)
    is_there = False

    async def keep(*_: object) -> None:
        if not is_there:
            raise StoreUnavailable("away")

    run = placed(calls)
    with pytest.raises(StoreUnavailable):
        await answering(calls, run, keep)
    assert not parts.followed
    is_there = True
    await run.ended
    assert len(parts.followed) == 1
    assert is_forgotten(calls, run)


@pytest.mark.parametrize("has_begun", [False, True])
async def test_a_stop_that_cuts_the_keeping_keeps_nobody_waiting(calls: Calls, jobs: Jobs, has_begun: bool) -> None:
    begun = asyncio.Event()

    async def keep(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    call = answering(calls, placed(calls), keep)
    while not jobs._running:
        await asyncio.sleep(0)
    if has_begun:
        await begun.wait()
    await jobs.close()
    assert begun.is_set() is has_begun
    done, _ = await asyncio.wait((call,), timeout=calls_module.KEEP_S / 2)
    assert done
    assert call.cancelled()
