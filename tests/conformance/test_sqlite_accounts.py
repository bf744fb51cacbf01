import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from reynard.core.ledger import Account
from reynard.storage.sqlite import SQLiteStore, audit
from reynard.storage.sqlite.readers import opened
from reynard.testing.conformance.accounts import AccountsConformance, grant, make_every_kind

ONE, TWO, THREE = (f"task-llm-{number:08d}" for number in (1, 2, 3))
OPEN_AGAIN = "INSERT INTO ledger (key_id, task_id, kind, amount, cost, at, note) VALUES"


class TestSQLiteAccounts(AccountsConformance):
    pass


def tampered(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def found(store: SQLiteStore) -> list[tuple[str, str | None, str]]:
    return [(fault.key_id, fault.task_id, fault.message) for fault in store.audit(lambda done, of: None)]


CORRUPTIONS = [
    (
        "UPDATE accounts SET balance = balance + 1 WHERE key_id = 'key-b'",
        None,
        "key-b",
        "the account has balance 10.000001",
    ),
    ("UPDATE accounts SET reserved = 0 WHERE key_id = 'key-a'", None, "key-a", "the account has reserved 0, and its"),
    ("UPDATE accounts SET used = used - 1 WHERE key_id = 'key-a'", None, "key-a", "the account has used 6.499999"),
    ("DELETE FROM accounts WHERE key_id = 'key-b'", None, "key-b", "has balance 0, and its entries come to 10"),
    ("DELETE FROM ledger WHERE key_id = 'key-b'", None, "key-b", "has balance 10, and its entries come to 0"),
    ("UPDATE ledger SET amount = 1 WHERE kind = 'grant' AND key_id = 'key-b'", None, "key-b", "come to 0.000001"),
    (
        f"DELETE FROM ledger WHERE task_id = '{ONE}' AND kind = 'settlement'",
        ONE,
        "key-a",
        "hold of 3 credits has no end",
    ),
    (f"DELETE FROM ledger WHERE task_id = '{TWO}' AND kind = 'refund'", TWO, "key-a", "hold of 2 credits has no end"),
    (f"DELETE FROM ledger WHERE task_id = '{TWO}' AND kind = 'hold'", TWO, "key-a", "an end of 2 credits has no hold"),
    (f"DELETE FROM ledger WHERE task_id = '{ONE}' AND kind = 'hold'", ONE, "key-a", "has no hold; the task reserved 3"),
    (f"DELETE FROM ledger WHERE task_id = '{THREE}'", THREE, "key-a", "0 credits are held, and the task reserved 1"),
    (f"DELETE FROM tasks WHERE id = '{THREE}'", THREE, "key-a", "has ended, or is gone, and its hold of 1 credits"),
    (
        f"DROP INDEX ledger_once; {OPEN_AGAIN} ('key-a', '{ONE}', 'refund', 3000000, 0, 1.0, '')",
        *(ONE, "key-a", "a second hold, or a second end, of 3 credits"),
    ),
    (
        f"DROP INDEX ledger_once; {OPEN_AGAIN} ('key-a', '{THREE}', 'hold', -1, 0, 1.0, '')",
        *(THREE, "key-a", "a second hold, or a second end, of -0.000001"),
    ),
    (
        f"{OPEN_AGAIN} ('key-a', '{THREE}', 'refund', 1000000, 0, 1.0, '')",
        *(THREE, "key-a", "and the task has not ended"),
    ),
    (
        f"UPDATE ledger SET amount = amount + 5 WHERE task_id = '{TWO}' AND kind = 'refund'",
        *(TWO, "key-a", "an end accounts for 2.000005 credits, and the hold has 2"),
    ),
    (f"UPDATE ledger SET cost = -cost WHERE task_id = '{ONE}'", ONE, "key-a", "with a cost of -2 is none of its kind"),
    (f"UPDATE tasks SET key_id = 'key-b' WHERE id = '{THREE}'", THREE, "key-a", "is of another key's task"),
    (
        f"UPDATE tasks SET reserved = 9 WHERE id = '{TWO}'",
        TWO,
        "key-a",
        "2 credits are held, and the task reserved 0.000009",
    ),
    (
        f"UPDATE tasks SET bill = CAST(replace(CAST(bill AS TEXT), '2000000', '2000001') AS BLOB) WHERE id = '{ONE}'",
        *(ONE, "key-a", "2 credits are settled, and the bill has 2.000001"),
    ),
    (f"UPDATE tasks SET bill = NULL WHERE id = '{ONE}'", ONE, "key-a", "2 credits are settled, and the bill has 0"),
    (
        "UPDATE usage SET cost = cost + 1",
        None,
        "key-a",
        "usage of all days costs 6.500001 credits, and 6.5 are settled",
    ),
]


@pytest.mark.parametrize(("statements", "task_id", "key_id", "says"), CORRUPTIONS)
async def test_an_audit_names_what_is_wrong(
    store: SQLiteStore, path: Path, statements: str, task_id: str | None, key_id: str, says: str
) -> None:
    await make_every_kind(store)
    assert found(store) == []
    tampered(path, *statements.split("; "))
    assert [fault for fault in found(store) if fault[:2] == (key_id, task_id) and says in fault[2]], found(store)


SETTLED = f"task_id = '{ONE}' OR (kind = 'grant' AND key_id = 'key-a')"
HELD = f"task_id = '{ONE}' AND kind = 'hold'"  # its end is behind the limit of a batch


@pytest.mark.parametrize("folded", [SETTLED, HELD])
@pytest.mark.parametrize("deleted", [[], [f"DELETE FROM tasks WHERE id = '{ONE}'"]])
async def test_an_audit_takes_folded_entries_as_their_sum_has_them(
    store: SQLiteStore, path: Path, folded: str, deleted: list[str]
) -> None:
    await make_every_kind(store)
    before = await store.accounts()
    carry = f"SELECT 'key-a', NULL, 'carry', sum(amount), sum(cost), max(at), '' FROM ledger WHERE {folded}"
    tampered(path, f"{OPEN_AGAIN.removesuffix(' VALUES')} {carry}", f"DELETE FROM ledger WHERE {folded}", *deleted)
    assert found(store) == []
    assert await store.accounts() == before
    tampered(path, "UPDATE ledger SET amount = amount + 1 WHERE kind = 'carry'")
    assert len(found(store)) == 1


async def test_a_ledger_longer_than_a_step_is_added_up_whole(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "STEP", 2)
    await make_every_kind(store)
    assert found(store) == []
    tampered(path, f"DELETE FROM ledger WHERE task_id = '{ONE}' AND kind = 'settlement'")
    assert {fault[1] for fault in found(store)} == {ONE, None}


async def test_an_audit_sees_one_moment_while_others_write(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "STEP", 1)
    await make_every_kind(store)
    connection = opened(store._path)
    writing = sqlite3.connect(connection.execute("PRAGMA database_list").fetchone()[2], isolation_level=None)

    def told(done: int, of: int) -> None:
        writing.execute(f"{OPEN_AGAIN} ('key-b', NULL, 'grant', 5, 0, 1.0, '')")

    with closing(writing), closing(connection):
        assert list(audit.faults(connection, told)) == []
    assert (await store.account("key-b")).balance > grant().amount


async def test_a_balance_that_would_not_fit_is_refused_and_nothing_is_kept(store: SQLiteStore) -> None:
    huge = grant(whole=9_000_000_000_000)
    await store.post(huge)
    with pytest.raises(sqlite3.IntegrityError):
        await store.post(huge)
    assert await store.account("key-a") == Account(huge.amount)
    assert found(store) == []
