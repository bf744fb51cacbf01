import asyncio
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from reynard.core.errors import StoreUnavailable
from reynard.core.keys import Key
from reynard.storage.sqlite import SQLiteStore, queries
from reynard.storage.sqlite.store import GIVEN_BACK_AT_ONCE, SCHEMA_VERSION, SPARE_PAGES, SchemaTooNew
from reynard.testing.conformance.store import GENERATION, StoreConformance, new_file, new_key, new_task


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

    async def test_what_fails_half_way_leaves_nothing_and_harms_nobody(self, store: SQLiteStore) -> None:
        def half(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO workers (id, lease_until) VALUES ('half', 1)")
            raise ValueError("the other half")

        async def whole(number: int) -> None:
            await store.insert(new_task(number), GENERATION)

        outcomes = await asyncio.gather(
            whole(1), store._writer.run(half), whole(2), whole(1), whole(3), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [
            type(None),
            ValueError,
            type(None),
            sqlite3.IntegrityError,
            type(None),
        ]
        assert sum((await store.pending()).values()) == 3
        assert store._reading.execute("SELECT count(*) FROM workers").fetchone() == (0,)

    async def test_pages_that_large_tasks_left_are_given_back_bit_by_bit(self, path: Path) -> None:
        opened = SQLiteStore(path)
        result = b'"' + b"x" * 40_000_000 + b'"'
        await opened.insert(new_task(1), None, result)
        with closing(sqlite3.connect(path)) as other:
            other.execute("DELETE FROM tasks")
            other.commit()

        def pages(what: str) -> int:
            with closing(sqlite3.connect(path)) as other:
                return int(other.execute(f"PRAGMA {what}").fetchone()[0])

        most = pages("page_count")
        assert pages("freelist_count") > SPARE_PAGES + GIVEN_BACK_AT_ONCE
        await opened.beat("a", 1.0)
        assert 0 <= most - GIVEN_BACK_AT_ONCE - pages("page_count") <= 8  # the map of pages shrinks too
        while pages("freelist_count") > SPARE_PAGES:
            before = pages("page_count")
            await opened.beat("a", 1.0)
            assert pages("page_count") < before
        assert SPARE_PAGES - 8 <= pages("freelist_count") <= SPARE_PAGES
        await opened.close()
        assert path.stat().st_size < (SPARE_PAGES + 100) * 4_096

    async def test_a_file_without_auto_vacuum_still_beats(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as old:
            for statement in queries.statements("schema.sql"):
                old.execute(statement)
            old.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            old.execute("CREATE TABLE spare AS SELECT zeroblob(40000000)")
            old.execute("DROP TABLE spare")
            old.commit()
        opened = SQLiteStore(path)
        await opened.beat("a", 1.0)
        await opened.insert(new_task(1), GENERATION)
        assert await opened.find(new_task(1).id) is not None
        await opened.close()

    async def test_a_later_schema_is_refused(self, path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        connection.close()
        with pytest.raises(SchemaTooNew, match="upgrade"):
            SQLiteStore(path)


def _made(path: Path, *scripts: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for script in scripts:
        for statement in queries.statements(script):
            connection.execute(statement)
    return connection


def _shape(connection: sqlite3.Connection) -> set[tuple[str, str, str]]:
    """Every table, index and trigger, with its text."""
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {(kind, name, "".join(re.sub(r"--.*", "", sql).split())) for kind, name, sql in rows}


def test_a_claim_never_looks_at_all_that_wait(tmp_path: Path) -> None:
    connection = _made(tmp_path / "plan.db", "schema.sql")
    plan = connection.execute("EXPLAIN QUERY PLAN " + queries.load()["claim_tasks"], ("worker-a", 1.0, 10, 10))
    scans = [step for *_, step in plan if step.startswith("SCAN tasks")]
    connection.close()
    assert scans == ["SCAN tasks USING COVERING INDEX tasks_processing"]


def test_the_schema_is_what_the_migrations_come_to(tmp_path: Path) -> None:
    migrations = [f"migrations/{version:04d}.sql" for version in range(1, SCHEMA_VERSION + 1)]
    whole = _shape(_made(tmp_path / "whole.db", "schema.sql"))
    assert whole == _shape(_made(tmp_path / "steps.db", *migrations))
    assert ("files" in {name for _, name, _ in whole}) is True


async def test_a_key_of_an_older_version_can_be_changed(store: SQLiteStore, path: Path) -> None:
    key = new_key(1)
    await store.add_key(key)
    with closing(sqlite3.connect(path)) as older:
        older.execute("UPDATE keys SET body = ?", (_without("limits", key),))
        older.commit()
    revoked = msgspec.structs.replace(key, revoked=5.0)
    assert not await store.update_key(revoked, was=revoked)
    assert await store.update_key(revoked, was=key)
    assert await store.key_by_digest(key.digest) == revoked


def _without(field: str, key: Key) -> bytes:
    """`key`, as a version wrote it that did not know the field."""
    body = msgspec.json.decode(msgspec.json.encode(key))
    del body[field]
    return msgspec.json.encode(body)


async def test_a_file_of_an_older_version_keeps_what_it_has(path: Path) -> None:
    connection = _made(path, "migrations/0001.sql")
    connection.execute("PRAGMA user_version = 1")
    key = new_key(1)
    connection.execute(
        "INSERT INTO keys (id, digest, body, created) VALUES (?, ?, ?, ?)",
        (key.id, key.digest, _without("limits", key), key.created),
    )
    connection.close()
    for _ in range(2):  # what is mended once is not mended again
        opened = SQLiteStore(path)
        assert await opened.key_by_digest(key.digest) == key
        await opened.add_file(new_file(_), 100, cleanup=True)
        await opened.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    connection.close()
