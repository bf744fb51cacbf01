import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reynard.core.errors import StoreUnavailable
from reynard.storage.sqlite import SQLiteStore
from reynard.storage.sqlite.store import SCHEMA_VERSION, SchemaTooNew
from reynard.testing.conformance.store import GENERATION, StoreConformance, new_key, new_task


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reynard.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteStore]:
    opened = SQLiteStore(path)
    yield opened
    await opened.close()


class TestSQLiteStore(StoreConformance):
    async def test_what_was_kept_is_there_for_the_next_process(self, store: SQLiteStore, path: Path) -> None:
        await store.insert(new_task(1), GENERATION)
        other = SQLiteStore(path)
        assert await other.find(new_task(1).id) == (new_task(1), None)
        assert other.keys_epoch() == store.keys_epoch()
        await store.add_key(new_key(1))
        assert await other.key_by_digest(new_key(1).digest) == new_key(1)
        await other.close()

    async def test_the_generation_is_let_go_with_the_end(self, store: SQLiteStore, path: Path) -> None:
        from reynard.core.task import Cancelled, RunPolicy, transition

        await store.insert(new_task(1), GENERATION)
        await store.save(transition(new_task(1), Cancelled(), 1.0, RunPolicy()))
        with sqlite3.connect(path) as connection:
            assert connection.execute("SELECT generation FROM tasks").fetchall() == [(None,)]

    async def test_a_store_that_is_locked_accepts_nothing_and_recovers(self, tmp_path: Path) -> None:
        path = tmp_path / "locked.db"
        opened = SQLiteStore(path, busy_timeout_s=0.01)
        thief = sqlite3.connect(path, isolation_level=None)
        thief.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            await opened.insert(new_task(1), GENERATION)
        assert await opened.find(new_task(1).id) is None
        thief.execute("ROLLBACK")
        thief.close()
        await opened.insert(new_task(1), GENERATION)
        assert await opened.find(new_task(1).id) is not None
        await opened.close()

    async def test_a_later_schema_is_refused(self, path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        connection.close()
        with pytest.raises(SchemaTooNew, match="upgrade"):
            SQLiteStore(path)
