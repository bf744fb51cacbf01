"""Group commit: what is asked for while one transaction commits goes into the next, as one.

A commit costs an fsync, and some 0.2 ms of CPU, whether it holds one row or a hundred. Statements of microseconds run
where they are asked, on the event loop: on a thread each of them would hand the interpreter's lock to and fro. What
waits for the disk, or may take its time, runs on a thread.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from time import perf_counter
from typing import Any, Final, NamedTuple, TypeVar

from reynard.core.errors import StoreUnavailable
from reynard.ports.telemetry import UNOBSERVED, Observer
from reynard.storage.sqlite.tally import Tally
from reynard.storage.sqlite.transaction import Operation, Transaction

T = TypeVar("T")

MOST_WAITING: Final = 20_000
MOST_IN_COMMIT: Final = 200
GATHER_S: Final = 0.002
"""From the start of a transaction that held several operations to the start of the next."""
MOST_INLINE_BYTES: Final = 256_000  # some 0.3 ms of the loop
UNKNOWN: Final = MOST_INLINE_BYTES + 1
"""The size of an operation that may take its time."""


class _Asked(NamedTuple):
    operation: Operation
    size: int
    future: asyncio.Future[Any]


class _Work(NamedTuple):
    """For the thread: a transaction that is open, with its operations' results, or one that is to be made there."""

    loop: asyncio.AbstractEventLoop
    batch: list[_Asked]
    results: list[Any] | None


class Writer:
    """The one writing connection, with a thread that waits for it.

    A lone operation is committed at once. Where transactions hold several, the next one begins when as many wait again,
    or `GATHER_S` after the last one began.
    """

    def __init__(self, connection: sqlite3.Connection, busy_timeout_s: float, tally: Tally) -> None:
        self._connection = connection
        self._transaction = Transaction(connection, busy_timeout_s, tally)
        self._waiting: list[_Asked] = []
        self._under_way = False
        self._next: asyncio.Handle | None = None  # begins a transaction
        self._began = 0.0
        self._held = 0  # operations in the last one
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._thread = Thread(target=self._finish_all, name="reynard-store", daemon=True)
        self._thread.start()
        self.observer: Observer = UNOBSERVED

    @property
    def waiting(self) -> int:
        """Operations that are in no transaction yet."""
        return len(self._waiting)

    async def run(self, operation: Callable[[sqlite3.Connection], T], size: int = UNKNOWN) -> T:
        """`operation`'s result, after the commit that holds it; `size`: how many bytes it writes, about.

        If an operation fails, it alone does, and leaves nothing; it may be run a second time for that. Raises
        `StoreUnavailable` if nothing could be kept.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise StoreUnavailable("The store has more to write than it can. Try again in a moment.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Asked(operation, size, future))
        if not self._under_way:
            self._plan(loop)
        return await future

    async def close(self) -> None:
        """Commits what waits, and ends the thread."""
        while self._under_way or self._waiting:
            await self.run(lambda _: None)
        self._work.put(None)
        self._thread.join()
        self._connection.close()

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        """When the next transaction begins: with all that this turn of the loop still asks for, or later."""
        if self._next is None:
            left = self._began + GATHER_S - perf_counter() if self._held > 1 else 0.0
            if left > 0 and len(self._waiting) < self._held:
                self._next = loop.call_later(left, self._begin, loop)
            else:
                self._next = loop.call_soon(self._begin, loop)
        elif len(self._waiting) == self._held:
            self._next.cancel()
            self._next = loop.call_soon(self._begin, loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._next = None
        self._under_way = True
        batch, self._waiting = self._waiting[:MOST_IN_COMMIT], self._waiting[MOST_IN_COMMIT:]
        self._began, self._held = perf_counter(), len(batch)
        results = None
        try:
            if sum(asked.size for asked in batch) <= MOST_INLINE_BYTES:
                results = self._transaction.open([asked.operation for asked in batch])
        except Exception as error:  # noqa: BLE001 it is raised where the operations were asked for
            self._ended(loop, batch, [error] * len(batch))
        else:
            self._work.put(_Work(loop, batch, results))

    def _ended(self, loop: asyncio.AbstractEventLoop, batch: list[_Asked], results: list[Any]) -> None:
        self._under_way = False
        self.observer.committed(len(batch), perf_counter() - self._began)
        for asked, result in zip(batch, results, strict=True):
            if asked.future.done():  # its caller was cancelled
                continue
            if isinstance(result, BaseException):
                asked.future.set_exception(result)
            else:
                asked.future.set_result(result)
        if self._waiting:
            self._plan(loop)

    def _finish_all(self) -> None:
        """On the thread."""
        while (work := self._work.get()) is not None:
            results = self._finished(work)
            work.loop.call_soon_threadsafe(self._ended, work.loop, work.batch, results)

    def _finished(self, work: _Work) -> list[Any]:
        try:
            results = work.results
            if results is None:
                results = self._transaction.open_patiently([asked.operation for asked in work.batch])
            self._transaction.commit()
        except Exception as error:  # noqa: BLE001 it is raised where the operations were asked for
            return [error] * len(work.batch)
        return results
