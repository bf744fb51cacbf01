"""An audit of the SQLite store's ledger: what is wrong with it, in words. `audit.sql` has the comparisons."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from reynard.core.ledger import shown
from reynard.ports.store import Fault, Told
from reynard.storage.sqlite import queries

STEP: Final = 20_000

OF_ENTRIES: Final = {
    "odd_entries": "an entry of {0} credits with a cost of {1} is none of its kind",
    "open_holds": "the task has ended, or is gone, and its hold of {0} credits has no end",
    "twice": "a second hold, or a second end, of {0} credits with a cost of {1}",
    "ends_without_hold": "an end of {0} credits has no hold; the task reserved {1}",
    "unequal_ends": "an end accounts for {0} credits, and the hold has {1}",
    "early_ends": "an end of {0} credits with a cost of {1}, and the task has not ended",
    "strangers": "an entry of {0} credits with a cost of {1} is of another key's task",
}
OF_TASKS: Final = {
    "missing_holds": "{0} credits are held, and the task reserved {1}",
    "wrong_costs": "{0} credits are settled, and the bill has {1}",
}
OF_ACCOUNTS: Final = ("balance", "reserved", "used")


class Sums:
    """What the entries of a key come to: balance, reserved, used."""

    def __init__(self) -> None:
        self.amounts = [0, 0, 0]
        self.is_folded = False


def faults(connection: sqlite3.Connection, told: Told) -> Iterator[Fault]:
    """All of them, in one read transaction."""
    sql = queries.load("audit.sql")
    connection.execute("BEGIN")
    entries, tasks = connection.execute(sql["spans"]).fetchone()
    sums: defaultdict[str, Sums] = defaultdict(Sums)
    for after in range(0, entries, STEP):
        step = {"after": after, "until": after + STEP}
        for key_id, *amounts, is_folded in connection.execute(sql["sums"], step):
            found = sums[key_id]
            found.amounts = [before + more for before, more in zip(found.amounts, amounts, strict=True)]
            found.is_folded |= bool(is_folded)
        yield from _compared(connection, sql, OF_ENTRIES, step)
        told(min(after + STEP, entries), entries + tasks)
    for after in range(0, tasks, STEP):
        yield from _compared(connection, sql, OF_TASKS, {"after": after, "until": after + STEP})
        told(entries + min(after + STEP, tasks), entries + tasks)
    yield from _accounts(connection, sums)
    yield from _usage(connection, sql, sums)
    connection.execute("COMMIT")


def _compared(
    connection: sqlite3.Connection, sql: Mapping[str, str], checks: Mapping[str, str], step: Mapping[str, int]
) -> Iterator[Fault]:
    for name, words in checks.items():
        for key_id, task_id, there, due in connection.execute(sql[name], step):
            yield Fault(key_id=key_id, task_id=task_id or None, message=words.format(shown(there), shown(due)))


def _accounts(connection: sqlite3.Connection, sums: Mapping[str, Sums]) -> Iterator[Fault]:
    kept = {key_id: amounts for key_id, *amounts in connection.execute(queries.load()["accounts"])}
    for key_id in sorted(kept.keys() | sums.keys()):
        due = sums[key_id].amounts if key_id in sums else [0, 0, 0]
        for name, has, comes in zip(OF_ACCOUNTS, kept.get(key_id, [0, 0, 0]), due, strict=True):
            if has != comes:
                words = f"the account has {name} {shown(has)}, and its entries come to {shown(comes)}"
                yield Fault(key_id=key_id, message=words)


def _usage(connection: sqlite3.Connection, sql: Mapping[str, str], sums: Mapping[str, Sums]) -> Iterator[Fault]:
    """The days' costs, against those that were settled; not of a key with entries that are no longer kept."""
    counted: dict[str, int] = dict(connection.execute(sql["used"]))
    for key_id in sorted(counted.keys() | sums.keys()):
        found = sums[key_id] if key_id in sums else Sums()
        counts, settled = counted.get(key_id, 0), found.amounts[2]
        if counts != settled and not found.is_folded:
            words = f"the usage of all days costs {shown(counts)} credits, and {shown(settled)} are settled"
            yield Fault(key_id=key_id, message=words)
