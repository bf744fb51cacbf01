"""The money of the SQLite store: entries, which a trigger adds up to accounts, and the usage of each day."""

import datetime
import sqlite3
from collections.abc import Iterable, Mapping

from reynard.core.ledger import Account, Entry, insufficient
from reynard.core.task import Status, Task
from reynard.storage.sqlite.rows import Rows

Sql = Mapping[str, str]


class LedgerRows(Rows):
    """`ports.store.Ledger`."""

    async def post(self, entry: Entry) -> None:
        """See the port."""
        await self._writer.run(lambda connection: post(connection, self._sql, (entry,)))

    async def account(self, key_id: str) -> Account:
        """See the port."""
        row = self._one("account", (key_id,))
        return Account() if row is None else Account(*row)


def post(connection: sqlite3.Connection, sql: Sql, entries: Iterable[Entry]) -> None:
    """Adds entries, in the transaction that is open."""
    for entry in entries:
        row = (entry.key_id, entry.task_id, entry.kind, entry.amount, entry.cost, entry.at, entry.note)
        connection.execute(sql["post_entry"], row)


def check_funds(connection: sqlite3.Connection, sql: Sql, task: Task, spared: int) -> None:
    """Raises `InsufficientCredits` if the balance, but for what is `spared`, does not cover the reservation."""
    found = connection.execute(sql["account"], (task.key_id,)).fetchone()
    left = (0 if found is None else found[0]) - spared
    if task.reserved > max(left, 0):  # what costs nothing is taken from a key that owes, too
        raise insufficient(task.reserved, left)


def add_usage(connection: sqlite3.Connection, sql: Sql, task: Task) -> None:
    """An ended task, to the usage of its day."""
    bill = task.bill
    ended = datetime.datetime.fromtimestamp(task.ended or task.created, datetime.UTC)
    connection.execute(
        sql["add_usage"],
        (
            *(ended.date().isoformat(), task.key_id, task.model if bill is None else bill.model),
            task.status is Status.COMPLETED,
            *((0, 0, 0) if bill is None else (bill.prompt_tokens, bill.completion_tokens, bill.cost)),
        ),
    )
