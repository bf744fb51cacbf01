"""Lists: each by an index, each on a thread, and no key with more of these than its turn."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reynard.core.errors import Overloaded, StoreUnavailable
from reynard.core.task import Status
from reynard.ports.store import DeliveryFilter, TaskFilter
from reynard.storage.sqlite import SQLiteStore, lists, queries
from reynard.storage.sqlite.readers import AT_ONCE, MOST, MOST_OF_ONE, Readers
from reynard.testing.conformance.store import GENERATION, new_task

SQL = queries.load()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    opened = SQLiteStore(tmp_path / "reynard.db")
    yield opened
    await opened.close()


@pytest.fixture
async def readers(tmp_path: Path) -> AsyncIterator[Readers]:
    opened = Readers(tmp_path / "empty.db")
    yield opened
    opened.close()


class Held:
    """Work on a thread that goes on until it is let."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.let = threading.Event()
        self.count = 0

    def __call__(self, connection: sqlite3.Connection) -> int:
        self.count += 1
        self.begun.release()
        assert self.let.wait(20)
        return self.count


def plan(sql: str, asked: Any) -> str:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in queries.statements("schema.sql"):
            connection.execute(statement)
        rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", {**msgspec.structs.asdict(asked), "least": 0})
        return " / ".join(str(row[3]) for row in rows)


@pytest.mark.parametrize(
    ("given", "index"),
    [
        ({}, "tasks USING INDEX tasks_of_key (key_id=? AND seq<?)"),
        ({"created_after": 1.0}, "tasks USING INDEX tasks_of_key (key_id=? AND seq>? AND seq<?)"),
        ({"model": "m"}, "tasks USING INDEX tasks_of_model (key_id=? AND model=? AND seq<?)"),
        (
            {"model": "m", "status": Status.COMPLETED},
            "tasks USING INDEX tasks_of_model (key_id=? AND model=? AND seq<?)",
        ),
        ({"status": Status.COMPLETED}, "tasks USING INDEX tasks_of_key (key_id=? AND seq<?)"),
        ({"status": Status.FAILED}, "tasks USING INDEX tasks_broken (key_id=? AND status=? AND seq<?)"),
        (
            {"status": Status.CANCELLED, "model": "m"},
            "tasks USING INDEX tasks_broken (key_id=? AND status=? AND seq<?)",
        ),
        ({"status": Status.PENDING}, "tasks USING INDEX tasks_pending (key_id=? AND seq<?)"),
        ({"status": Status.PROCESSING}, "tasks USING INDEX tasks_of_key (key_id=? AND seq=? AND rowid<?)"),
    ],
)
def test_every_list_of_tasks_is_found_by_an_index(given: dict[str, Any], index: str) -> None:
    wanted = TaskFilter(key_id="a", **given)
    found = plan(SQL["list_tasks"].format(**lists.tasks(wanted)._asdict()), wanted)
    assert f"SEARCH {index}" in found
    assert "SCAN tasks" not in found
    assert "TEMP B-TREE" not in found


@pytest.mark.parametrize(
    ("given", "index"),
    [
        ({}, "deliveries_of_key (key_id=?)"),
        ({"state": "failed"}, "deliveries_failed (key_id=?)"),
        ({"state": "delivered"}, "deliveries_of_key (key_id=?)"),
        ({"task_id": "t"}, "sqlite_autoindex_deliveries_2 (task_id=?)"),
        ({"task_id": "t", "state": "pending", "after": "d"}, "sqlite_autoindex_deliveries_2 (task_id=?)"),
    ],
)
def test_every_list_of_deliveries_is_found_by_an_index(given: dict[str, Any], index: str) -> None:
    wanted = DeliveryFilter(key_id="a", **given)
    found = plan(SQL["list_deliveries"].format(**lists.deliveries(wanted)._asdict()), wanted)
    assert f"SEARCH deliveries USING INDEX {index}" in found


@pytest.mark.parametrize("state", ["pending", "delivered", "failed", None])
async def test_every_state_can_be_asked_of_every_key(store: SQLiteStore, state: Any) -> None:
    for key_id in ("a", None):
        assert (await store.list_deliveries(DeliveryFilter(key_id=key_id, state=state))).deliveries == []


async def test_no_list_reads_where_the_point_look_ups_do(store: SQLiteStore) -> None:
    await store.insert(new_task(1), GENERATION)
    store._reading.close()
    assert len((await store.list_tasks(TaskFilter(key_id="key-a"))).tasks) == 1
    assert (await store.list_files("key-a", None, 1)).files == []
    assert (await store.list_deliveries(DeliveryFilter(key_id="key-a"))).deliveries == []


async def test_created_after_reads_no_further_back_than_it_must(store: SQLiteStore) -> None:
    hour = 3_600
    for number in range(100):
        await store.insert(msgspec.structs.replace(new_task(number), created=float(number * hour)), GENERATION)
    await store.insert(msgspec.structs.replace(new_task(100), created=97.5 * hour), GENERATION)  # a call in place
    page = await store.list_tasks(TaskFilter(key_id="key-a", created_after=97.0 * hour))
    assert [int(task.id.rpartition("-")[2]) for task, _ in page.tasks] == [100, 99, 98]
    least = await store._readers.run("", lambda connection: lists.least(connection, SQL["arrival"], 97.0 * hour))
    assert 94 < least <= 98
    assert await store._readers.run("", lambda connection: lists.least(connection, SQL["arrival"], 0.0)) <= 1
    nothing = await store.list_tasks(TaskFilter(key_id="key-a", created_after=2.0**53))
    assert nothing.tasks == []


async def test_a_key_has_one_reader_and_others_do_not_wait_for_it(readers: Readers) -> None:
    held = Held()
    slow = [asyncio.create_task(readers.run("a", held)) for _ in range(MOST_OF_ONE)]
    assert await asyncio.to_thread(held.begun.acquire, timeout=20)
    assert await readers.run("b", lambda connection: 7) == 7
    assert held.count == 1
    with pytest.raises(Overloaded):
        await readers.run("a", lambda connection: 7)
    held.let.set()
    assert await asyncio.gather(*slow) == list(range(1, MOST_OF_ONE + 1))
    assert await readers.run("a", lambda connection: 7) == 7


async def test_all_keys_together_have_so_many_readers_and_no_more_wait(readers: Readers) -> None:
    held = Held()
    slow = [asyncio.create_task(readers.run(f"key-{number}", held)) for number in range(MOST)]
    for _ in range(AT_ONCE):
        assert await asyncio.to_thread(held.begun.acquire, timeout=20)
    assert held.count == AT_ONCE
    with pytest.raises(Overloaded):
        await readers.run("one-more", lambda connection: 7)
    held.let.set()
    await asyncio.gather(*slow)
    assert readers._waiting == {}


async def test_who_goes_away_keeps_the_place_until_the_thread_is_done(readers: Readers) -> None:
    held = Held()
    gone = asyncio.create_task(readers.run("a", held))
    assert await asyncio.to_thread(held.begun.acquire, timeout=20)
    gone.cancel()
    after = asyncio.create_task(readers.run("a", held))
    assert await readers.run("b", lambda connection: 7) == 7
    assert held.count == 1
    held.let.set()
    assert await after == 2
    assert gone.cancelled()


async def test_a_connection_that_failed_is_not_used_again(readers: Readers) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(StoreUnavailable):
        await readers.run("a", fail)
    assert len(readers._idle) == AT_ONCE - 1
    readers._idle.pop().close()
    assert await readers.run("a", lambda connection: connection.execute("SELECT 1").fetchone()) == (1,)
    assert len(readers._idle) == AT_ONCE - 2
