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
NOTHING: Final = [0, 0, 0]
OF_ACCOUNTS: Final = ("balance", "reserved", "used")


Sums = Mapping[str, list[int]]
"""What the entries of each key come to: balance, reserved, used."""


def faults(connection: sqlite3.Connection, told: Told) -> Iterator[Fault]:
    """All of them, in one read transaction."""
    sql = queries.load("audit.sql")
    connection.execute("BEGIN")
    entries, tasks = connection.execute(sql["spans"]).fetchone()
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for after in range(0, entries, STEP):
        step = {"after": after, "until": after + STEP}
        for key_id, *amounts in connection.execute(sql["sums"], step):
            sums[key_id] = [before + more for before, more in zip(sums[key_id], amounts, strict=True)]
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


def _accounts(connection: sqlite3.Connection, sums: Sums) -> Iterator[Fault]:
    kept = {key_id: amounts for key_id, *amounts in connection.execute(queries.load()["accounts"])}
    for key_id in sorted(kept.keys() | sums.keys()):
        for name, has, comes in zip(OF_ACCOUNTS, kept.get(key_id, NOTHING), sums.get(key_id, NOTHING), strict=True):
            if has != comes:
                words = f"the account has {name} {shown(has)}, and its entries come to {shown(comes)}"
                yield Fault(key_id=key_id, message=words)


def _usage(connection: sqlite3.Connection, sql: Mapping[str, str], sums: Sums) -> Iterator[Fault]:
    """The days' costs, against those that were settled; both stay when tasks and entries go."""
    counted: dict[str, int] = dict(connection.execute(sql["used"]))
    for key_id in sorted(counted.keys() | sums.keys()):
        counts, (_, _, settled) = counted.get(key_id, 0), sums.get(key_id, NOTHING)
        if counts != settled:
            words = f"the usage of all days costs {shown(counts)} credits, and {shown(settled)} are settled"
            yield Fault(key_id=key_id, message=words)
