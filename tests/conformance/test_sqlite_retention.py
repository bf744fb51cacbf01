import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from reynard.core.ledger import Entry
from reynard.core.task import Completed, Terms, transition
from reynard.ports.store import ChunkRow
from reynard.storage.sqlite import SQLiteStore, retention
from reynard.testing.conformance.retention import RetentionConformance, costly, ended_at, swept
from reynard.testing.conformance.store import GENERATION, NOW, POLICY, RESULT, claimed, new_task


class TestSQLiteRetention(RetentionConformance):
    pass


def ask(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(statement).fetchall()
        connection.commit()
        return found


SUMS = "SELECT key_id, sum(amount), sum(cost) FROM ledger GROUP BY key_id ORDER BY key_id"
ACCOUNTS = "SELECT key_id, balance, used FROM accounts ORDER BY key_id"


async def test_every_batch_of_a_folded_ledger_adds_up(store: SQLiteStore, path: Path) -> None:
    for key_id in ("key-a", "key-b"):
        await store.post(Entry(key_id=key_id, kind="grant", amount=1_000, at=NOW - 9))
    running = claimed(replace(costly(90), created=NOW - 5))
    await store.insert(running, GENERATION)
    for number in range(40):
        key_id = "key-a" if number % 3 else "key-b"
        await store.insert(
            ended_at(NOW + number, replace(costly(number), key_id=key_id, created=NOW + number - 3)), None, RESULT
        )
    while await store.fold_ledger(NOW + 30, 7):
        assert ask(path, SUMS) == ask(path, ACCOUNTS)
    kinds = dict(ask(path, "SELECT kind, count(*) FROM ledger GROUP BY kind"))
    assert kinds == {"carry": 2, "hold": 10, "settlement": 9}  # the running one's hold, and those of nine late ones
    assert ask(path, "SELECT max(at) < 99e9, max(task_id) FROM ledger WHERE kind = 'carry'") == [(1, None)]
    assert await swept(store.fold_ledger, NOW + 99, 500) == 18
    assert ask(path, SUMS) == ask(path, ACCOUNTS)
    assert ask(path, "SELECT task_id FROM ledger WHERE kind <> 'carry'") == [(running.id,)]
    assert ask(path, "SELECT count(*) FROM ledger WHERE kind = 'carry'") == [(2,)]


async def test_a_task_that_is_still_to_be_delivered_stays_and_then_goes_with_its_delivery(
    store: SQLiteStore, path: Path
) -> None:
    told = replace(new_task(1), terms=Terms(callback_url="https://example.com/hook"))
    await store.insert(transition(claimed(told), Completed(), NOW, POLICY), None, RESULT)
    [(delivery,)] = ask(path, "SELECT id FROM deliveries")
    ask(path, f"INSERT INTO delivery_log (delivery_id, at, took_ms) VALUES ('{delivery}', 1.0, 5)")
    assert await swept(store.sweep_tasks, NOW + 1, 10) == 0
    ask(path, "UPDATE deliveries SET state = 'delivered'")
    assert await swept(store.sweep_tasks, NOW + 1, 10) == 1
    for table in ("tasks", "deliveries", "delivery_log"):
        assert ask(path, f"SELECT count(*) FROM {table}") == [(0,)]


async def test_a_batch_is_short_in_bytes_too(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MOST_SWEPT_BYTES", 100)
    for number in range(3):
        await store.insert(ended_at(NOW, new_task(number)), None, b'"' + b"x" * 70 + b'"')
        await store.write_chunks([ChunkRow(f"gone-{number}", 0, [b"x" * 70])], NOW)
    assert [await store.sweep_chunks(NOW, 10) for _ in range(4)] == [1, 1, 1, 0]
    assert [await store.sweep_results(NOW, 10) for _ in range(2)] == [1, 1]
    assert [await store.sweep_tasks(NOW, 10) for _ in range(2)] == [3, 0]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("streams_past", "chunks_written"),
        ("tasks_past", "tasks_ended"),
        ("results_past", "tasks_with_result"),
        ("sweep_repeats", "idempotency_created"),
        ("sweep_lone_repeats", "idempotency_created"),
        ("read_chunks", "sqlite_autoindex_chunks_1"),
    ],
)
async def test_what_is_past_is_found_by_an_index(store: SQLiteStore, name: str, index: str) -> None:
    named = {"before": 1.0, "limit": 1, "grace": 1.0, "task": "t", "first": 1}
    parameters: Any = (1.0, 1) if "?" in store._sql[name] else named
    plan = store._reading.execute(f"EXPLAIN QUERY PLAN {store._sql[name]}", parameters).fetchall()
    assert any(index in row[3] for row in plan), plan
    assert not any("TEMP B-TREE" in row[3] for row in plan), plan
