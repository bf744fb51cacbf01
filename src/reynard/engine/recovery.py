"""Tasks that no worker looks after: those of a dead worker, and those that waited beyond their deadline."""

import asyncio
import logging
from typing import Final

import msgspec

from reynard.core.assembly import Assembly
from reynard.core.chat import Chunk
from reynard.core.task import Bill, Event, Failed, Lost, RunPolicy, Task, TaskError, transition
from reynard.engine.billing import Billing
from reynard.engine.endings import Endings
from reynard.engine.run import overdue
from reynard.engine.work import Work
from reynard.ports.chunks import ChunkLog
from reynard.ports.clock import Clock
from reynard.ports.store import Store

log = logging.getLogger(__name__)

AT_ONCE: Final = 500

_chunks = msgspec.json.Decoder(Chunk)


class Recovery:
    """Brings each back to pending, or to the end that is the truth about it."""

    def __init__(
        self,
        worker_id: str,
        *,
        store: Store,
        chunks: ChunkLog,
        endings: Endings,
        billing: Billing,
        clock: Clock,
        policy: RunPolicy,
    ) -> None:
        self._worker_id = worker_id
        self._store = store
        self._chunks = chunks
        self._endings = endings
        self._billing = billing
        self._clock = clock
        self._policy = policy

    async def take_up(self) -> bool:
        """Takes up what dead workers left; whether there may be something to claim now. Raises `StoreUnavailable`."""
        found = False
        while orphans := await self._store.orphans(self._worker_id, self._clock.now(), AT_ONCE):
            found = True
            log.info("recovering %d tasks of a worker that is gone", len(orphans))
            read = [task for task in orphans if task.read]
            kept = await asyncio.gather(*(self._change(task, Lost()) for task in orphans if not task.read))
            kept += [await self._interrupt(task) for task in read]  # one by one: each may be long
            if not any(kept):
                break
        return found

    async def expire(self) -> None:
        """Ends what waits in the store beyond its deadline; of what runs, its run takes care."""
        failed = Failed(TaskError.of(overdue()))
        while late := await self._store.overdue(self._clock.now(), AT_ONCE):
            if not any(await asyncio.gather(*(self._change(task, failed) for task in late))):
                break

    async def _change(self, task: Task, event: Event, result: bytes | None = None) -> bool:
        changed = transition(task, event, self._clock.now(), self._policy)
        kept = await self._store.save(changed, result)
        if kept:
            await self._endings.follow(changed)
        return kept

    async def _interrupt(self, task: Task) -> bool:
        """A stream that somebody read: it ends here, with what is left of it, and is paid for as far as that goes."""
        bill, produced = await self.left(task)
        return await self._change(task, Lost(bill), produced)

    async def left(self, task: Task) -> tuple[Bill | None, bytes | None]:
        """What a dead worker's task came to as far as it was written: its price, and the answer (JSON) up to there.

        Raises `StoreUnavailable`.
        """
        generation = await self._store.generation(task.id)
        if generation is None:
            return None, None
        work = Work(task, generation)
        work.journal.model = task.model
        assembly = work.journal.assembly = Assembly()
        async for page in self._chunks.kept(task.id):
            for chunk in map(_chunks.decode, page):
                assembly.add(chunk)
                work.journal.model = chunk.model
        return self._billing.partial(work)
