"""Several operations in one transaction, of which each fails alone and leaves nothing."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from reynard.core.errors import StoreUnavailable
from reynard.storage.sqlite.tally import Tally

Operation = Callable[[sqlite3.Connection], Any]

HURRIED_S: Final = 0.05
PAUSES_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02)
"""Between tries for a lock; the last one again and again."""


class Transaction:
    """Of the writing connection, one after another.

    Where somebody else has the lock, `open_patiently` waits for it `busy_timeout_s`; after one has waited in vain, the
    next ones do not wait that long, until one succeeds: nobody queues for a lock that stays.
    """

    def __init__(self, connection: sqlite3.Connection, busy_timeout_s: float, tally: Tally) -> None:
        connection.execute("PRAGMA busy_timeout = 0")
        self._connection = connection
        self._tally = tally
        self._busy_timeout_s = self._patience_s = busy_timeout_s

    def open(self, operations: list[Operation]) -> list[Any] | None:
        """Begins one and runs `operations`; what is wrong with one of them is its own result. None: somebody else has
        the lock. Raises `StoreUnavailable`.
        """
        try:
            return self._ran(operations) if self._begin() else None
        except BaseException as error:
            raise self._failed(error) from error

    def open_patiently(self, operations: list[Operation]) -> list[Any]:
        """As `open`, and waits for the lock."""
        try:
            self._begin_patiently()
            return self._ran(operations)
        except BaseException as error:
            raise self._failed(error) from error

    def commit(self) -> None:
        """To the disk. Raises `StoreUnavailable`."""
        try:
            self._connection.execute("COMMIT")
        except BaseException as error:
            raise self._failed(error) from error
        self._patience_s = self._busy_timeout_s

    def _begin(self) -> bool:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                return False
            raise
        return True

    def _begin_patiently(self) -> None:
        until = time.monotonic() + self._patience_s
        tries = 0
        while not self._begin():
            left = until - time.monotonic()
            if left <= 0:
                raise sqlite3.OperationalError("somebody else has the lock, and keeps it")
            time.sleep(min(PAUSES_S[min(tries, len(PAUSES_S) - 1)], left))
            tries += 1

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

    def _failed(self, error: BaseException) -> BaseException:
        """Nothing of it is kept. Where even that fails, the next transaction cannot begin, and comes here again."""
        self._tally.clear()
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
        if not isinstance(error, sqlite3.Error):
            return error
        self._patience_s = min(HURRIED_S, self._busy_timeout_s)
        return StoreUnavailable("The store cannot write now. Nothing was accepted; try again in a moment.")


class _LeftHalf(Exception):
    """An operation failed after it had written something."""
