"""Group commit: what is asked for while one transaction commits goes into the next, as one.

A commit costs an fsync, and some 0.2 ms of CPU, whether it holds one row or a hundred.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from time import perf_counter
from typing import Any, Final, NamedTuple, TypeVar

from msgspec import Struct

from reynard.core.errors import StoreUnavailable
from reynard.ports.telemetry import UNOBSERVED, Observer
from reynard.storage.sqlite.tally import Tally
from reynard.storage.sqlite.transaction import Operation, Transaction

T = TypeVar("T")

MOST_WAITING: Final = 20_000
MOST_IN_COMMIT: Final = 1_000
GATHER_S: Final = 0.002
"""From the start of a transaction that held several operations to the start of the next."""


class _Asked(Struct, frozen=True):
    operation: Operation
    future: asyncio.Future[Any]


class _Batch(NamedTuple):
    """For the thread: operations of one transaction, and who is told of it."""

    loop: asyncio.AbstractEventLoop
    asked: list[_Asked]


class Writer:
    """The one writing connection, on a thread of its own.

    A lone operation is committed at once. Where transactions hold several, the next one begins when as many wait again,
    or `GATHER_S` after the last one began.
    """

    def __init__(self, connection: sqlite3.Connection, busy_timeout_s: float, tally: Tally) -> None:
        self._connection = connection
        self._transaction = Transaction(connection, busy_timeout_s, tally)
        self._waiting: list[_Asked] = []
        self._room = MOST_WAITING
        self._under_way = False
        self._next: asyncio.Handle | None = None  # begins a transaction
        self._began = 0.0
        self._held = 0  # operations in the last one
        self._work: SimpleQueue[_Batch | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name="reynard-store", daemon=True)
        self._thread.start()
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
        if len(self._waiting) >= self._room:
            raise StoreUnavailable("The store has more to write than it can. Try again in a moment.")
        return await self._ask(operation)

    async def close(self) -> None:
        """Commits what waits, if that can be, and ends the thread."""
        while self._under_way or self._waiting:
            with suppress(StoreUnavailable):  # who asked for it is told
                await self._ask(lambda _: None)
        self._room = 0  # nobody would serve it
        self._work.put(None)
        self._thread.join()
        self._connection.close()

    def _ask(self, operation: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Asked(operation, future))
        if not self._under_way:
            self._plan(loop)
        return future

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
        self._work.put(_Batch(loop, batch))

    def _ended(self, batch: _Batch, results: list[Any]) -> None:
        took_s, self._under_way = perf_counter() - self._began, False
        if self._waiting:
            self._plan(batch.loop)
        for asked, result in zip(batch.asked, results, strict=True):
            if asked.future.done():  # its caller was cancelled
                continue
            if isinstance(result, BaseException):
                asked.future.set_exception(result)
            else:
                asked.future.set_result(result)
        self.observer.committed(len(batch.asked), took_s)  # last: what fails in it keeps nobody waiting

    def _serve(self) -> None:
        """On the thread."""
        while (batch := self._work.get()) is not None:
            results = self._results(batch.asked)
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                batch.loop.call_soon_threadsafe(self._ended, batch, results)
            del batch, results  # nothing large is held until the next comes

    def _results(self, batch: list[_Asked]) -> list[Any]:
        try:
            return self._transaction.run([asked.operation for asked in batch])
        except BaseException as error:  # noqa: BLE001 it is raised where the operations were asked for
            return [error] * len(batch)
