"""A task under way on this node, and how its end is made and kept."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from reynard.core.errors import GenerationError, StoreUnavailable
from reynard.core.generation import Generation, weight
from reynard.core.task import Task
from reynard.engine.work import Work
from reynard.ports.clock import Clock

T = TypeVar("T")

log = logging.getLogger(__name__)

STORE_RETRY_S: Final = 0.5


class Run:
    """A task under way on this node."""

    __slots__ = ("cancelling", "ended", "job", "marking", "settling", "task", "weight", "work")

    def __init__(self, task: Task, generation: Generation) -> None:
        self.task = task
        self.work = Work(task, generation)
        self.weight = weight(generation)
        self.job: asyncio.Task[object] | None = None  # set while it can be cancelled
        self.cancelling = False
        self.settling = False  # its end is on the way to the store: too late for anything else
        self.marking: asyncio.Task[bool] | None = None  # the first reader's mark, on its way to the store
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_marked(self) -> bool:
        """Whether the store knows that the stream is read, and the end is not on its way there."""
        return self.task.read and self.marking is None and not self.settling

    def cancel(self) -> None:
        """Cuts the upstream call, unless the end is already being written down."""
        self.cancelling = True
        if self.job is not None:
            self.job.cancel()


async def until_kept(keep: Callable[[], Awaitable[T]], task_id: str) -> T:
    """What `keep` returns, after as many tries as it takes the store to be there again; the first failure is logged."""
    told = False
    while True:
        try:
            return await keep()
        except StoreUnavailable:
            if not told:
                log.error("the store cannot keep the end of task %s yet; trying until it can", task_id)
            told = True
            await asyncio.sleep(STORE_RETRY_S)


async def in_time(work: Awaitable[T], task: Task, clock: Clock) -> T:
    """What `work` comes to; it is cut at the task's deadline, if it has one. Raises `GenerationError` then."""
    deadline = task.deadline
    if deadline is None:
        return await work
    try:
        async with asyncio.timeout(max(0.0, deadline - clock.now())):
            return await work
    except TimeoutError:
        raise overdue() from None


def overdue() -> GenerationError:
    """For a task whose deadline has come."""
    return GenerationError(
        "generation_timeout", "The answer was not there within `timeout_s`. Allow more time, or ask for less."
    )
