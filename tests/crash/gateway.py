"""A gateway that kills itself with SIGKILL at a named place.

It is the real one. Nothing in the product knows of this: the methods of its ports are wrapped here, and its statements
watched, before the command line is run. A file says where to die (`Order`), and may be written while it runs.
"""

import functools
import os
import re
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from reynard.bootstrap import data_dir
from reynard.core.task import Status, Task
from reynard.providers.webhooks import GuardedNotifier
from reynard.storage.chunks_memory import MemoryChunkLog
from reynard.storage.chunks_written import WrittenChunkLog
from reynard.storage.sqlite import SQLiteStore

Side = Literal["before", "after"]


class Call(NamedTuple):
    """A call of a port: which methods, on which side of it, and what must be true of its arguments and result."""

    side: Side
    of: type
    methods: tuple[str, ...]
    when: Callable[[dict[str, Any]], bool] = lambda _: True

    def is_at(self, side: Side, of: type, method: str) -> bool:
        return (side, of) == (self.side, self.of) and method in self.methods


class Statements(NamedTuple):
    """Within the store's transactions: these patterns have come, one after the other, and the last is not done."""

    patterns: tuple[str, ...]


class Order(msgspec.Struct):
    """Die at the `nth` time that `boundary` is reached from now on."""

    boundary: str
    nth: int = 1


def begins(call: dict[str, Any]) -> bool:
    return not call["task"].is_ended


def ends(call: dict[str, Any]) -> bool:
    task: Task = call["task"]
    return task.is_ended


def is_cancel(call: dict[str, Any]) -> bool:
    return call["task"].status is Status.CANCELLED


def is_mark(call: dict[str, Any]) -> bool:
    task: Task = call["task"]
    return task.read and not task.is_ended


def is_recovered(call: dict[str, Any]) -> bool:
    """Only a worker that takes up what another left, or stops, saves such a task."""
    task: Task = call["task"]
    lost = task.error is not None and task.error.code in ("server_restarted", "stream_interrupted")
    return lost or (task.status is Status.PENDING and task.attempt > 0)


def is_repeatable(call: dict[str, Any]) -> bool:
    return call["repeat"] is not None


def found_any(call: dict[str, Any]) -> bool:
    return bool(call["result"])


STARTS: tuple[type, tuple[str, ...]] = (SQLiteStore, ("insert",))
SAVES: tuple[type, tuple[str, ...]] = (SQLiteStore, ("save",))
ENDS: tuple[type, tuple[str, ...]] = (SQLiteStore, ("insert", "save"))
END = r"(UPDATE tasks\s+SET status = |INSERT INTO tasks.*)'(completed|failed|cancelled)'"
HOLD = "INSERT INTO ledger .*'hold'"
SETTLED = r"INSERT INTO ledger .*'(settlement|refund)'"

BOUNDARIES: dict[str, Call | Statements] = {
    "before the hold": Call("before", *STARTS, begins),
    "within the hold": Statements(("INSERT INTO tasks", HOLD)),
    "before the hold's commit": Statements((HOLD, "COMMIT")),
    "between the hold and what is written next": Statements((HOLD, "COMMIT", "BEGIN")),
    "after the hold": Call("after", *STARTS, begins),
    "after an idempotent hold": Call("after", *STARTS, is_repeatable),
    "after the claim": Call("after", SQLiteStore, ("claim",), found_any),
    "before the reader's mark": Call("before", *SAVES, is_mark),
    "after the reader's mark": Call("after", *SAVES, is_mark),
    "mid-stream": Call("after", WrittenChunkLog, ("append",)),
    "before chunks are written": Call("before", SQLiteStore, ("write_chunks",)),
    "after chunks are written": Call("after", SQLiteStore, ("write_chunks",)),
    "before the end": Call("before", *ENDS, ends),
    "within the end, before its settlement": Statements((END, SETTLED)),
    "within the end, before its usage": Statements((END, "INSERT INTO usage")),
    "before the end's commit": Statements(("INSERT INTO usage", "COMMIT")),
    "between the end and what is written next": Statements((END, "COMMIT", "BEGIN")),
    "after the end": Call("after", *ENDS, ends),
    "before the stream is told its end": Call("before", MemoryChunkLog, ("close_stream",)),
    "before a cancel is kept": Call("before", *SAVES, is_cancel),
    "after a cancel is kept": Call("after", *SAVES, is_cancel),
    "before a webhook is sent": Call("before", GuardedNotifier, ("send",)),
    "after a webhook is sent": Call("after", GuardedNotifier, ("send",)),
    "after a webhook is recorded": Call("after", SQLiteStore, ("record_try",)),
    "before recovery": Call("after", SQLiteStore, ("orphans",), found_any),
    "before a recovered task is kept": Call("before", *SAVES, is_recovered),
    "after a recovered task is kept": Call("after", *SAVES, is_recovered),
}


class Death:
    """Comes where it was ordered."""

    def __init__(self, orders: Path) -> None:
        self._orders = orders
        self._text = b""
        self._order: Order | None = None
        self._left = 0
        self._reached = 0  # patterns of `Statements`

    def near(self, side: Side, of: type, method: str, call: dict[str, Any]) -> None:
        """A call is about to be made, or has just been."""
        boundary = self._ordered()
        if isinstance(boundary, Call) and boundary.is_at(side, of, method) and boundary.when(call):
            self._come()

    def at(self, statement: str) -> None:
        """A statement is about to be executed."""
        boundary = self._ordered()
        if not isinstance(boundary, Statements):
            return
        if re.match(boundary.patterns[self._reached], statement, re.DOTALL):
            self._reached += 1
            if self._reached == len(boundary.patterns):
                self._reached = 0
                self._come()
        elif statement == "ROLLBACK" or statement.startswith("BEGIN"):
            self._reached = 0

    def _ordered(self) -> Call | Statements | None:
        text = self._orders.read_bytes()
        if text != self._text:
            self._text = text
            self._order = msgspec.json.decode(text, type=Order | None)
            self._left, self._reached = 0 if self._order is None else self._order.nth, 0
        return None if self._order is None else BOUNDARIES[self._order.boundary]

    def _come(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def watch(death: Death, of: type, method: str) -> None:
    """Wraps a method of a port."""
    original: Callable[..., Awaitable[Any]] = getattr(of, method)
    names = original.__code__.co_varnames

    @functools.wraps(original)
    async def watched(*args: Any, **kwargs: Any) -> Any:
        call = {"repeat": None, **dict(zip(names, args, strict=False)), **kwargs}
        death.near("before", of, method, call)
        call["result"] = await original(*args, **kwargs)
        death.near("after", of, method, call)
        return call["result"]

    setattr(of, method, watched)


def watch_all(orders: str) -> None:
    """In the process that is to die."""
    death = Death(Path(orders))
    calls = [boundary for boundary in BOUNDARIES.values() if isinstance(boundary, Call)]
    for of, method in {(call.of, method) for call in calls for method in call.methods}:
        watch(death, of, method)
    open_store = data_dir.open_store

    def opened(*args: Any, **kwargs: Any) -> SQLiteStore:
        store = open_store(*args, **kwargs)
        store._writer._connection.set_trace_callback(death.at)
        return store

    data_dir.open_store = opened
