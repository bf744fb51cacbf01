"""Several operations in one transaction, of which each fails alone and leaves nothing."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from reynard.core.errors import StoreUnavailable
from reynard.storage.sqlite.tally import Tally

Operation = Callable[[sqlite3.Connection], Any]

HURRIED_S: Final = 0.05


class Transaction:
    """Of the writing connection, one after another.

    Where somebody else has the lock, one waits for it `busy_timeout_s`; after one has waited in vain, the next ones do
    not wait that long, until one succeeds: nobody queues for a lock that stays.
    """

    def __init__(self, connection: sqlite3.Connection, busy_timeout_s: float, tally: Tally) -> None:
        self._connection = connection
        self._tally = tally
        self._busy_timeout_s = self._waits_s = busy_timeout_s

    def run(self, operations: list[Operation]) -> list[Any]:
        """The results of `operations`, committed; what is wrong with one of them is its own result.

        Raises `StoreUnavailable`.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            results = self._ran(operations)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._give_up()
            self._wait_for(min(HURRIED_S, self._busy_timeout_s))
            raise StoreUnavailable(
                "The store cannot write now. Nothing was accepted; try again in a moment."
            ) from error
        except BaseException:
            self._give_up()
            raise
        self._wait_for(self._busy_timeout_s)
        return results

    def _ran(self, operations: list[Operation]) -> list[Any]:
        try:
            results = [self._attempt(operation) for operation in operations]
            self._write_tally()
        except _LeftHalf:
            self._roll_back()
            self._connection.execute("BEGIN IMMEDIATE")
            results = [self._attempt_whole(operation) for operation in operations]
        return results

    def _attempt(self, operation: Operation) -> Any:
        connection, tally = self._connection, self._tally
        before = connection.total_changes, tally.additions
        try:
            return operation(connection)
        except sqlite3.OperationalError:
            raise  # the store is in trouble, not the operation: nothing of the transaction can be kept
        except Exception as error:
            if (connection.total_changes, tally.additions) != before:
                raise _LeftHalf from error
            return error

    def _write_tally(self) -> None:
        try:
            self._tally.write(self._connection)
        except sqlite3.OperationalError:
            raise
        except Exception as error:  # a sum is too large: one of the operations is at fault
            raise _LeftHalf from error

    def _attempt_whole(self, operation: Operation) -> Any:
        """With a savepoint, so that what fails leaves nothing. It costs statements, and is hardly ever needed."""
        connection = self._connection
        connection.execute("SAVEPOINT whole")
        try:
            result = operation(connection)
            self._tally.write(connection)
        except sqlite3.OperationalError:
            raise
        except Exception as error:  # noqa: BLE001 it is raised where the operation was asked for
            self._tally.clear()
            connection.execute("ROLLBACK TO whole")
            result = error
        connection.execute("RELEASE whole")
        return result

    def _roll_back(self) -> None:
        self._tally.clear()
        self._connection.execute("ROLLBACK")

    def _give_up(self) -> None:
        """Where even that fails, the next transaction cannot begin, and comes here again."""
        self._tally.clear()
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _wait_for(self, seconds: float) -> None:
        if seconds != self._waits_s:
            self._connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")
            self._waits_s = seconds


class _LeftHalf(Exception):
    """An operation failed after it had written something."""
