"""Background work that cannot fail unseen: the one home of `asyncio.create_task`."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Jobs:
    """Starts coroutines, holds on to them, logs what they raise, and ends them together."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """`work`, in the background."""
        job = asyncio.create_task(work)  # noqa: TID251
        self._running.add(job)
        job.add_done_callback(self._ended)
        return job

    async def close(self) -> None:
        """Cancels what runs, and waits until it has ended."""
        running = [job for job in self._running if job is not asyncio.current_task()]
        for job in running:
            job.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ended(self, job: asyncio.Task[Any]) -> None:
        self._running.discard(job)
        if not job.cancelled() and job.exception() is not None:
            log.error("background work failed", exc_info=job.exception())
