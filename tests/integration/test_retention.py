from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.test_answers import submit, wait_for
from tests.processes import Gateway, Upstream, channel, running, text_request

from reynard.core.errors import StoreUnavailable
from reynard.core.idempotency import KEPT_S, Repeat
from reynard.core.ledger import Entry
from reynard.engine.jobs import Jobs
from reynard.engine.retention import Periods, Retention
from reynard.ports.store import ChunkRow
from reynard.storage.sqlite import SQLiteStore
from reynard.testing.clock import FakeClock
from reynard.testing.conformance.retention import costly, ended_at
from reynard.testing.conformance.store import GENERATION, NOW, RESULT, new_task

PERIODS = Periods(tasks_s=1_000, results_s=100, ledger_s=10_000)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    opened = SQLiteStore(tmp_path / "reynard.db")
    yield opened
    await opened.close()


async def test_each_kind_has_its_time(store: SQLiteStore) -> None:
    clock = FakeClock(NOW)
    retention = Retention(store=store, clock=clock, jobs=Jobs(), periods=PERIODS, chunks_s=10)
    task = ended_at(NOW, costly(0))
    await store.post(Entry(key_id=task.key_id, kind="grant", amount=100, at=NOW))
    await store.insert(task, None, RESULT, repeat=Repeat("r", b"f"))
    await store.write_chunks([ChunkRow(task.id, 0, [b"0"])], NOW)

    async def there() -> tuple[bool, bool, bool, bool]:
        found = await store.find(task.id)
        return (
            await store.has_chunks(task.id),
            found is not None and found[1] is not None,
            found is not None,
            await store.repeated(task.key_id, "r") is not None,
        )

    for after_s, expected in [
        (9, (True, True, True, True)),
        (10, (False, True, True, True)),
        (99, (False, True, True, True)),
        (100, (False, False, True, True)),
        (999, (False, False, True, True)),
        (1_000, (False, False, False, False)),
    ]:
        clock.time = NOW + after_s
        await retention.sweep()
        assert await there() == expected, after_s
    account = await store.account(task.key_id)
    assert (account.balance, account.used) == (97, 3)
    clock.time = NOW + 10_000
    await retention.sweep()
    assert await store.account(task.key_id) == account
    assert await store.fold_ledger(clock.time, 10) == 0


async def test_the_idempotency_key_of_a_task_that_is_there_is_kept_for_a_day(store: SQLiteStore) -> None:
    """However short tasks are kept: they are from their end on, and a repetition would start another."""
    clock = FakeClock(NOW)
    retention = Retention(store=store, clock=clock, jobs=Jobs(), periods=PERIODS, chunks_s=10)
    running = new_task(0)
    await store.insert(running, GENERATION, repeat=Repeat("r", b"f"))
    for after_s, is_kept in [(1_001, True), (KEPT_S - 1, True), (KEPT_S, False)]:
        clock.time = running.created + after_s
        await retention.sweep()
        assert (await store.repeated(running.key_id, "r") is not None) == is_kept, after_s


async def test_a_kind_that_cannot_be_swept_does_not_keep_the_others(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(before: float, limit: int) -> int:
        raise StoreUnavailable("locked")

    monkeypatch.setattr(store, "sweep_results", refuse)
    await store.insert(ended_at(NOW, new_task(1)), None, RESULT)
    clock = FakeClock(NOW + 5_000)
    await Retention(store=store, clock=clock, jobs=Jobs(), periods=PERIODS, chunks_s=10).sweep()
    assert await store.find(new_task(1).id) is None


def test_a_task_whose_result_is_gone_says_so(folder: Path, upstream: Upstream) -> None:
    config = channel(upstream) + "[retention]\nresults_s = 1\n"
    with running(Gateway(folder, config)) as gateway, gateway.client() as client:
        task_id = submit(client, text_request()).json()["id"]
        response = client.post("/v1/responses", json={"model": "gpt-5.5", "input": "Hi", "background": True}).json()
        wait_for(lambda: client.get(f"/v1/tasks/{task_id}").json()["status"] == "completed")
        wait_for(lambda: client.get(f"/v1/tasks/{task_id}").json()["results"] is None)
        task = client.get(f"/v1/tasks/{task_id}").json()
        assert (task["status"], task["progress"], task["error"]) == ("completed", 100, None)
        wait_for(lambda: client.get(f"/v1/responses/{response['id']}").status_code == 404)
        gone = client.get(f"/v1/responses/{response['id']}").json()["error"]
        assert "no longer kept" in gone["message"]
