"""Reading that may take its time: on threads and connections of its own, so that neither the loop nor a point look-up
waits for it; bounded, so that nobody has all of them."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from reynard.core.errors import Overloaded, StoreUnavailable

T = TypeVar("T")
PATIENCE_S: Final = 5.0
AT_ONCE: Final = 4  # threads, and connections
MOST_OF_ONE: Final = 16  # of a key, with the one that is read
MOST: Final = 256


class Readers:
    """Runs `AT_ONCE` readings, of each key one at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = ThreadPoolExecutor(AT_ONCE, "reader")
        self._free = asyncio.Semaphore(AT_ONCE)
        self._idle = [opened(path) for _ in range(AT_ONCE)]  # now: later there may be no descriptor for one
        self._turns: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}

    async def run(self, key_id: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` gives, for a key. Raises `Overloaded` where too many wait, and `StoreUnavailable`."""
        self._enter(key_id)
        try:
            async with self._turns[key_id], self._free:
                return await self._read(work)
        finally:
            self._leave(key_id)

    def close(self) -> None:
        """Waits for what is being read."""
        self._threads.shutdown()
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """To its end, whoever waits for it: a thread cannot be called off, and keeps its place as long as it reads."""
        reading = self._threads.submit(self._worked, work)
        try:
            return await _ended(reading)
        except sqlite3.OperationalError as error:
            raise StoreUnavailable("The store cannot be read now. Try again in a moment.") from error

    def _worked(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """On a thread. A connection that failed is not used again."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = opened(self._path)
        try:
            found = work(connection)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return found

    def _enter(self, key_id: str) -> None:
        waiting = self._waiting.get(key_id, 0)
        if waiting >= MOST_OF_ONE or sum(self._waiting.values()) >= MOST:
            raise Overloaded("As many lists and reports are being read as the gateway takes, or this key may have.")
        self._waiting[key_id] = waiting + 1
        self._turns.setdefault(key_id, asyncio.Lock())

    def _leave(self, key_id: str) -> None:
        self._waiting[key_id] -= 1
        if not self._waiting[key_id]:
            del self._waiting[key_id], self._turns[key_id]


def opened(path: Path) -> sqlite3.Connection:
    """For reading alone, on whichever thread."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=PATIENCE_S)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # so that its files are open
    return connection


async def _ended(reading: "Future[T]") -> T:
    """What it gives. Whoever is called off meanwhile goes when it has ended, and not before."""
    waited: asyncio.Future[Any] = asyncio.wrap_future(reading)
    called_off: asyncio.CancelledError | None = None
    while not waited.done():
        try:
            await asyncio.wait([waited])
        except asyncio.CancelledError as error:
            called_off = error
    if called_off is not None:
        waited.exception()  # nobody is told
        raise called_off
    found: T = waited.result()
    return found
