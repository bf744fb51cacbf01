"""Group commit: what is asked for while one transaction commits goes into the next, as one.

A commit costs an fsync (0.14 ms on the disk the design was measured on) whether it holds one row or a hundred.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import perf_counter
from typing import Any, Final, TypeVar

from reynard.core.errors import StoreUnavailable
from reynard.ports.telemetry import UNOBSERVED, Observer

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], Any]

MOST_WAITING: Final = 20_000
MOST_IN_COMMIT: Final = 1_000
HURRIED_S: Final = 0.05


class Writer:
    """The one writing connection, on a thread of its own.

    Where somebody else has the lock, a transaction waits for it `busy_timeout_s`; after one has waited in vain, the
    next ones do not wait that long, until one succeeds: nobody queues for a lock that stays.
    """

    def __init__(self, connection: sqlite3.Connection, busy_timeout_s: float) -> None:
        self._connection = connection
        self._busy_timeout_s = self._waits_s = busy_timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reynard-store")
        self._waiting: list[tuple[Operation, asyncio.Future[Any]]] = []
        self._committing = False
        self.observer: Observer = UNOBSERVED

    @property
    def waiting(self) -> int:
        """Operations that are in no transaction yet."""
        return len(self._waiting)

    async def run(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """`operation`'s result, after the commit that holds it.

        If an operation fails, it alone does, and leaves nothing; it may be run a second time for that. Raises
        `StoreUnavailable` if nothing could be kept.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise StoreUnavailable("The store has more to write than it can. Try again in a moment.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append((operation, future))
        if not self._committing:
            self._committing = True
            loop.call_soon(self._commit, loop)  # with all that this turn of the loop still asks for
        return await future

    async def close(self) -> None:
        """Commits what waits, and ends the thread."""
        while self._committing:
            await self.run(lambda _: None)
        self._thread.shutdown()
        self._connection.close()

    def _commit(self, loop: asyncio.AbstractEventLoop) -> None:
        batch, self._waiting = self._waiting[:MOST_IN_COMMIT], self._waiting[MOST_IN_COMMIT:]
        work = loop.run_in_executor(self._thread, self._transact, [operation for operation, _ in batch])
        began = perf_counter()
        work.add_done_callback(lambda done: self._committed(loop, [future for _, future in batch], done))
        work.add_done_callback(lambda _: self.observer.committed(len(batch), perf_counter() - began))

    def _committed(
        self, loop: asyncio.AbstractEventLoop, futures: list[asyncio.Future[Any]], done: asyncio.Future[list[Any]]
    ) -> None:
        if self._waiting:
            self._commit(loop)
        else:
            self._committing = False
        failure = done.exception()
        results = [failure] * len(futures) if failure is not None else done.result()
        for future, result in zip(futures, results, strict=True):
            if future.done():  # its caller was cancelled
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _transact(self, operations: list[Operation]) -> list[Any]:
        """On the thread. One transaction; what is wrong with one operation is its own result."""
        connection = self._connection
        try:
            try:
                results = _together(connection, operations, _attempt)
            except _LeftHalf:
                _roll_back(connection)
                results = _together(connection, operations, _attempt_whole)
        except sqlite3.Error as error:
            _roll_back(connection)
            self._wait_for(min(HURRIED_S, self._busy_timeout_s))
            raise StoreUnavailable(
                "The store cannot write now. Nothing was accepted; try again in a moment."
            ) from error
        except BaseException:
            _roll_back(connection)
            raise
        self._wait_for(self._busy_timeout_s)
        return results

    def _wait_for(self, seconds: float) -> None:
        if seconds != self._waits_s:
            self._connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")
            self._waits_s = seconds


class _LeftHalf(Exception):
    """An operation failed after it had written something."""


Attempt = Callable[[sqlite3.Connection, Operation], Any]


def _together(connection: sqlite3.Connection, operations: list[Operation], attempt: Attempt) -> list[Any]:
    connection.execute("BEGIN IMMEDIATE")
    results = [attempt(connection, operation) for operation in operations]
    connection.execute("COMMIT")
    return results


def _attempt(connection: sqlite3.Connection, operation: Operation) -> Any:
    before = connection.total_changes
    try:
        return operation(connection)
    except sqlite3.OperationalError:
        raise  # the store is in trouble, not the operation: nothing of the transaction can be kept
    except Exception as error:
        if connection.total_changes != before:
            raise _LeftHalf from error
        return error


def _attempt_whole(connection: sqlite3.Connection, operation: Operation) -> Any:
    """With a savepoint, so that what fails leaves nothing. It costs two statements, and is hardly ever needed."""
    connection.execute("SAVEPOINT whole")
    try:
        return operation(connection)
    except sqlite3.OperationalError:
        raise
    except Exception as error:  # noqa: BLE001 it is raised where the operation was asked for
        connection.execute("ROLLBACK TO whole")
        return error
    finally:
        if connection.in_transaction:
            connection.execute("RELEASE whole")


def _roll_back(connection: sqlite3.Connection) -> None:
    """Where even that fails, the next transaction cannot begin, and comes here again."""
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
