"""`: ping` while nothing flows (spec section 2.5)."""

from typing import Any, cast

import pytest
from tests.served import client_of

from reynard.core.errors import OffsetOutOfRange, Overloaded, ReynardError, StoreUnavailable, StreamExpired
from reynard.core.task import Task
from reynard.engine.engine import Engine
from reynard.http import app, generations
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


class Troubled(Quiet):
    """An engine that cannot be read of for a while, and then no more."""

    def __init__(self, last: ReynardError | Batch) -> None:
        super().__init__()
        self.offsets: list[int] = []
        self.answers: list[ReynardError | Batch] = [
            Batch((b'{"n":0}',)),
            StoreUnavailable("away"),
            Overloaded("full"),
            Batch((b'{"n":1}',)),
            last,
        ]

    async def read(self, task_id: str, offset: int, wait_s: float) -> Batch:
        self.offsets.append(offset)
        answer = self.answers.pop(0)
        if isinstance(answer, ReynardError):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("last", "end"),
    [
        (Batch((), StreamEnd(2)), 'event: done\ndata: {"total_chunks": 2}\n\n'),
        (
            StreamExpired("It is past."),
            'event: error\ndata: {"message":"It is past.","code":"stream_expired","type":"invalid_request_error"}\n\n',
        ),
        (
            OffsetOutOfRange("No."),
            'event: error\ndata: {"message":"No.","code":"offset_out_of_range","type":"invalid_request_error"}\n\n',
        ),
    ],
)
async def test_a_subscriber_waits_while_the_store_is_away_and_is_told_of_any_other_end(
    last: ReynardError | Batch, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations, "RETRY_S", 0.0)
    engine = Troubled(last)
    served = app.build(cast("Engine", engine), FakeClock(), max_body_bytes=1000, cors_origins=["*"])
    async with client_of(served) as client:
        response = await client.get("/v1/llm/generations/task-1/stream")
    first, second = (f'event: chunk\nid: {n}\ndata: {{"n":{n}}}\n\n' for n in range(2))
    assert response.text == f"{first}: ping\n\n: ping\n\n{second}{end}"
    assert engine.offsets == [0, 1, 1, 1, 2]


async def test_a_subscriber_of_a_response_is_told_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generations, "RETRY_S", 0.0)
    engine = Troubled(QUIET)
    engine.answers = [QUIET, StoreUnavailable("away"), StreamExpired("It is past.")]
    served = app.build(cast("Engine", engine), FakeClock(), max_body_bytes=1000, cors_origins=["*"])
    async with client_of(served) as client:
        response = await client.get(f"/v1/responses/resp_{'1' * 32}", params={"stream": "true"})
    assert response.text.count(": ping") == 1
    assert "event: response.failed" in response.text
    assert "It is past." in response.text


async def test_a_quiet_stream_pings_every_15_seconds() -> None:
    engine = Quiet()
    served = app.build(cast("Engine", engine), FakeClock(), max_body_bytes=1000, cors_origins=["*"])
    async with client_of(served) as client:
        response = await client.get("/v1/llm/generations/task-1/stream")
    ended = 'event: chunk\nid: 0\ndata: {"n":0}\n\nevent: done\ndata: {"total_chunks": 1}\n\n'
    assert response.text == ": ping\n\n: ping\n\n" + ended
    assert engine.waits == [0.0, 15.0, 15.0, 15.0]
