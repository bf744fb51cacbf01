"""The money of the SQLite store: entries, and accounts, which are what the entries come to."""

import sqlite3

from reynard.core.ledger import Account, Entry, insufficient
from reynard.core.task import Task
from reynard.storage.sqlite.rows import Rows


class LedgerRows(Rows):
    """`ports.store.Ledger`."""

    async def post(self, entry: Entry) -> None:
        """See the port."""
        await self._writer.run(lambda _: self._tally.move((entry,)))

    async def account(self, key_id: str) -> Account:
        """See the port."""
        row = self._one("account", (key_id,))
        return Account() if row is None else Account(*row)

    def _check_funds(self, connection: sqlite3.Connection, task: Task, spared: int) -> None:
        """Raises `InsufficientCredits` if the balance, but for what is `spared`, does not cover the reservation."""
        found = connection.execute(self._sql["account"], (task.key_id,)).fetchone()
        left = (0 if found is None else found[0]) + self._tally.balance(task.key_id) - spared
        if task.reserved > max(left, 0):  # what costs nothing is taken from a key that owes, too
            raise insufficient(task.reserved, left)
