"""`: ping` while nothing flows (spec section 2.5)."""

from typing import Any, cast

import httpx2

from reynard.core.task import Task
from reynard.engine.engine import Engine
from reynard.engine.jobs import Jobs
from reynard.http import app
from reynard.ports.chunks import Batch, StreamEnd
from reynard.testing.clock import FakeClock

QUIET, LAST = Batch(()), Batch((b'{"n":0}',), StreamEnd(1))


class Quiet:
    """An engine whose stream says nothing twice, then ends; it notes how long it was asked to wait."""

    def __init__(self) -> None:
        self.access = self
        self.id = "key-1"
        self.waits: list[float] = []
        self.batches = [QUIET, QUIET, QUIET, LAST]

    async def authenticate(self, secret: str | None) -> Any:
        return self

    async def stream(self, task_id: str, caller: Any) -> Task:
        return Task(id=task_id, key_id="k", model="m", form="text", stream=True, created=0)

    async def read(self, task_id: str, offset: int, wait_s: float) -> Batch:
        self.waits.append(wait_s)
        return self.batches.pop(0)


async def test_a_quiet_stream_pings_every_15_seconds() -> None:
    engine = Quiet()
    served = app.build(cast("Engine", engine), Jobs(), FakeClock(), max_body_bytes=1000, cors_origins=["*"])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=served), base_url="http://x") as client:
        response = await client.get("/v1/llm/generations/task-1/stream")
    ended = 'event: chunk\nid: 0\ndata: {"n":0}\n\nevent: done\ndata: {"total_chunks": 1}\n\n'
    assert response.text == ": ping\n\n: ping\n\n" + ended
    assert engine.waits == [0.0, 15.0, 15.0, 15.0]
