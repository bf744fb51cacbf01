"""What the operations of one transaction add to the ledger, to accounts and to usage: it is written once, before the
commit."""

import datetime
import sqlite3
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import chain
from typing import Final

from reynard.core.ledger import Entry
from reynard.core.task import Status, Task

DAY_S: Final = 86_400
TOGETHER: Final = 8
"""Entries that `post_entries` takes; more of them in one statement win little."""
FIRST_DAY: Final = datetime.date(1970, 1, 1).toordinal()


class Tally:
    """Empty between transactions. `additions` tells whether an operation added anything: it grows with each."""

    def __init__(self, sql: Mapping[str, str]) -> None:
        self._sql = sql
        self._entries: list[tuple[object, ...]] = []  # in the columns' order
        self._accounts: dict[str, list[int]] = {}  # balance, reserved, used
        self._usage: dict[tuple[str, str, str], list[int]] = {}  # the same
        self.additions = 0

    def move(self, entries: Iterable[Entry]) -> None:
        """Entries of the ledger. One that is there already is told of when they are written."""
        for entry in entries:
            row = (entry.key_id, entry.task_id, entry.kind, entry.amount, entry.cost, entry.at, entry.note)
            self._entries.append(row)
            self.additions += 1
            reserved = 0 if entry.kind == "grant" else -entry.amount - entry.cost
            sums = self._accounts.get(entry.key_id)
            if sums is None:
                self._accounts[entry.key_id] = [entry.amount, reserved, entry.cost]
                continue
            sums[0] += entry.amount
            sums[1] += reserved
            sums[2] += entry.cost

    def end(self, task: Task) -> None:
        """A task that has ended, to the usage of its day."""
        bill = task.bill
        of = _day(int((task.ended or task.created) // DAY_S)), task.key_id, task.model if bill is None else bill.model
        self.additions += 1
        sums = self._usage.get(of)
        if sums is None:
            sums = self._usage[of] = [0, 0, 0, 0, 0]
        sums[0] += 1
        sums[1] += task.status is Status.COMPLETED
        if bill is not None:
            sums[2] += bill.prompt_tokens
            sums[3] += bill.completion_tokens
            sums[4] += bill.cost

    def balance(self, key_id: str) -> int:
        """How much a key's balance will move."""
        sums = self._accounts.get(key_id)
        return 0 if sums is None else sums[0]

    def write(self, connection: sqlite3.Connection) -> None:
        """All of it, in the transaction that is open."""
        self._write_entries(connection)
        for key_id, sums in self._accounts.items():
            connection.execute(self._sql["move_account"], (key_id, *sums))
        for of, sums in self._usage.items():
            connection.execute(self._sql["add_usage"], (*of, *sums))
        self.clear()

    def _write_entries(self, connection: sqlite3.Connection) -> None:
        entries = self._entries
        alone = len(entries) - len(entries) % TOGETHER
        for first in range(0, alone, TOGETHER):
            connection.execute(self._sql["post_entries"], tuple(chain(*entries[first : first + TOGETHER])))
        connection.executemany(self._sql["post_entry"], entries[alone:])

    def clear(self) -> None:
        """Forgets it: the transaction came to nothing."""
        self._entries.clear()
        self._accounts.clear()
        self._usage.clear()


@lru_cache(maxsize=8)
def _day(number: int) -> str:
    """The date, in UTC, so many days after the first of Unix."""
    return datetime.date.fromordinal(FIRST_DAY + number).isoformat()
