"""What follows when the store has the end of a task; whoever brought the end about."""

import asyncio
from weakref import WeakValueDictionary

from reynard.core.task import Status, Task
from reynard.engine.admission import Admission
from reynard.engine.webhooks import Webhooks
from reynard.ports.chunks import ChunkLog
from reynard.ports.telemetry import UNOBSERVED, Observer


class Endings:
    """Counts it, gives back what the task held of its key's limits, and tells those who wait for its end."""

    def __init__(
        self, admission: Admission, chunks: ChunkLog, webhooks: Webhooks, observer: Observer = UNOBSERVED
    ) -> None:
        self._admission = admission
        self._chunks = chunks
        self._webhooks = webhooks
        self._observer = observer
        self._awaited: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()  # those who wait hold them

    async def seen(self, task_id: str, wait_s: float) -> None:
        """Returns when the task's end was followed on this node, or `wait_s` have passed."""
        event = self._awaited.get(task_id)
        if event is None:
            event = self._awaited[task_id] = asyncio.Event()
        try:
            async with asyncio.timeout(wait_s):
                await event.wait()
        except TimeoutError:
            return

    async def follow(self, task: Task) -> None:
        """Once for each end. A task that has none is left alone."""
        if task.ended is None:
            return
        self._observer.ended(task)
        await self._admission.ended(task)
        if task.terms.callback_url is not None:
            self._webhooks.wake(task.ended)
        if task.stream and not task.sync:
            await self._chunks.close_stream(task.id, error=task.error, cancelled=task.status is Status.CANCELLED)
        event = self._awaited.pop(task.id, None)
        if event is not None:
            event.set()
