"""What must be true after every restart, of everything that clients were ever told. The one checker of all kills."""

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import httpx2
from tests.crash.books import ENDS, Books, Row, under_way
from tests.crash.clients import Chunk, Crowd, Told, call, submit, whole_events
from tests.crash.doomed import FAULTY
from tests.integration.test_answers import wait_for
from tests.processes import Gateway, text_of

from reynard.core.ledger import MICRO


def check(gateway: Gateway, crowd: Crowd, told: Iterable[Told] | None = None) -> None:
    """All of it; of the clients' own view `told`, by default everybody's. Waits until every task has ended."""
    told = list(crowd.told if told is None else told)
    books(gateway)
    with crowd.client(gateway.url) as client:
        for each in told:
            check_repetition(client, each)
        until_ended(gateway)
        for each in told:
            check_told(client, each)
    check_ended(gateway, crowd)


def books(gateway: Gateway) -> Books:
    """The money is right at every moment."""
    found = Books.read(gateway.folder / "data")
    faults = list(found.faults())
    assert not faults, "\n".join(faults)
    return found


def until_ended(gateway: Gateway) -> None:
    """A query that waits would look once a second at what is not under way yet."""
    wait_for(lambda: not under_way(gateway.folder / "data"), within_s=60)


def check_ended(gateway: Gateway, crowd: Crowd) -> None:
    """Accepted is ended, holds are settlements and refunds, and no request was charged twice."""
    found = books(gateway)
    with crowd.client(gateway.url) as client:
        shown = client.get("/v1/account/credits").json()["data"]["token"]
        amounts = (shown["remaining_credits"], shown["reserved_credits"], shown["used_credits"])
        assert tuple(round(amount * MICRO) for amount in amounts) == found.account
    assert found.account[1] == 0
    crowd.hooks.check(found)
    by_number = defaultdict(list)
    for task in found.tasks:
        by_number[task.number].append(task)
    for told in crowd.told:
        check_tasks(told, by_number[told.number])


def check_tasks(told: Told, tasks: list[Row]) -> None:
    """What the store has of one request: one task, but for a sync call that was never answered and sent again."""
    earlier, last = tasks[:-1], tasks[-1:]
    if told.task_id is not None:
        assert [task.id for task in last] == [told.task_id], (told, tasks)
    if not told.is_sync or told.name is None:
        assert not earlier, (told, tasks)
    for task in earlier:
        assert (task.status, task.cost) == ("failed", 0), (told, tasks)
        assert task.error is not None
        assert task.error["code"] == "server_restarted", (told, tasks)


def check_repetition(client: httpx2.Client, told: Told) -> None:
    """The same Idempotency-Key once more: the same task, and the same answer."""
    if told.name is None:
        return
    if not told.is_sync:
        submit(client, told)
        return
    before = told.task_id if told.completion is not None else None
    wait_for(lambda: is_answered(client, told))
    assert before in (None, told.task_id), told


def is_answered(client: httpx2.Client, told: Told) -> bool:
    """Whether the call, made once more, is not told that it is under way."""
    call(client, told)
    return told.completion is not None or told.refused is not None


def check_told(client: httpx2.Client, told: Told) -> None:
    """One client, who asks for all that it was told."""
    if told.task_id is None:
        return
    response = client.get(f"/v1/tasks/{told.task_id}", params={"wait": 60})
    assert response.status_code == 200, (told, response.text)
    task = response.json()
    assert task["status"] in ENDS, (told, task)
    assert told.final in (None, task), (told, task)  # an end is one
    told.final = task
    if task["status"] == "failed" and told.body["model"] != FAULTY:
        assert task["error"]["code"] in codes(told), (told, task)
    if told.completion is not None:
        assert task["results"] == [told.completion], (told, task)
    if told.cancelled:
        assert task["status"] == "cancelled", (told, task)
    if told.is_stream:
        check_stream(client, told, task)
    elif told.read and task["status"] == "completed":
        assert said(task).startswith(text(told.read)), (told, task)
    if told.is_sync and told.end is not None and told.end.data == "[DONE]":
        assert task["status"] == "completed", (told, task)
        assert said(task) == text(told.read), (told, task)


def codes(told: Told) -> set[str]:
    """How a request may fail whose provider does not."""
    return {"server_restarted", "stream_interrupted"} if told.is_stream else {"server_restarted"}


def check_stream(client: httpx2.Client, told: Told, task: dict[str, Any]) -> None:
    """Below the offset that was read, nothing is missing or rewritten; else the end is told in its place."""
    whole, end = replayed(client, told, 0)
    common = min(len(whole), len(told.read))
    assert whole[:common] == told.read[:common], (told, whole)
    assert [int(chunk.id) for chunk in whole] == list(range(len(whole))), (told, whole)
    if len(whole) < len(told.read):
        assert end.event == "error", (told, whole, end)
    if told.end is not None:
        assert end == told.end, (told, end)
    assert end.event == ("done" if task["status"] == "completed" else "error"), (told, task, end)
    if task["status"] == "completed":
        assert text(whole) == said(task), (told, task)
    again, same = replayed(client, told, len(told.read))
    assert (again, same) == (whole[len(told.read) :], end), told
    told.read, told.end = max(told.read, whole, key=len), end


def replayed(client: httpx2.Client, told: Told, offset: int) -> tuple[list[Chunk], Chunk]:
    response = client.get(told.stream, params={"offset": offset})
    assert response.status_code == 200, (told, response.text)
    *chunks, end = whole_events(response.text)
    assert {chunk.event for chunk in chunks} <= {"chunk"}, (told, response.text)
    return chunks, end


def text(chunks: list[Chunk]) -> str:
    return text_of([json.loads(chunk.data) for chunk in chunks])


def said(task: dict[str, Any]) -> str:
    content: str = task["results"][0]["choices"][0]["message"]["content"]
    return content
