"""What follows when the store has the end of a task; whoever brought the end about."""

from reynard.core.task import Status, Task
from reynard.engine.admission import Admission
from reynard.ports.chunks import ChunkLog


class Endings:
    """Gives back what the task held of its key's limits, and tells those who wait for its end."""

    def __init__(self, admission: Admission, chunks: ChunkLog) -> None:
        self._admission = admission
        self._chunks = chunks

    async def follow(self, task: Task) -> None:
        """Once for each end. A task that has none is left alone."""
        if not task.is_ended:
            return
        await self._admission.ended(task)
        if task.stream and not task.sync:
            await self._chunks.close_stream(task.id, error=task.error, cancelled=task.status is Status.CANCELLED)
