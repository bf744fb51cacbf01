import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import asdict, replace

from reynard.storage.sqlite import SQLiteStore, queries
from reynard.testing.conformance.deliveries import DeliveryConformance
from reynard.testing.conformance.store import new_key


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    opened = SQLiteStore(tmp_path / "reynard.db")
    yield opened
    await opened.close()


class TestSQLiteDeliveries(DeliveryConformance):
    async def test_a_key_that_an_earlier_version_wrote_can_be_changed(self, store: SQLiteStore, tmp_path: Path) -> None:
        await store.add_key(new_key(1))
        new = {"callback_url", "signing", "rotated"}
        old = msgspec.json.encode({name: value for name, value in asdict(new_key(1)).items() if name not in new})
        with closing(sqlite3.connect(tmp_path / "reynard.db")) as connection:
            connection.execute("UPDATE keys SET body = ?", (old,))
            connection.commit()
        changed = replace(new_key(1), signing=2)
        assert await store.update_key(changed, was=new_key(1))
        assert not await store.update_key(changed, was=new_key(1))
        assert await store.find_key(new_key(1).id) == changed


def test_what_is_due_is_found_without_sorting() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in queries.statements("schema.sql"):
            connection.execute(statement)
        for name, given in (("due_deliveries", 4), ("next_delivery_due", 1)):
            plan = connection.execute(f"EXPLAIN QUERY PLAN {queries.load()[name]}", (0,) * given).fetchall()
            text = " ".join(str(row[3]) for row in plan)
            assert "deliveries_due" in text
            assert "TEMP B-TREE" not in text
