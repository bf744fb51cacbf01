"""What the store must hold at every moment, also while a gateway works on it: the money, and one delivery a task."""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from reynard.ports.store import Fault
from reynard.storage.sqlite.audit import faults

ENDS: Final = ("completed", "failed", "cancelled")
PRICE: Final = {"input": 1.0, "output": 2.0}
"""Of every model here, in credits for a million tokens, which is micro-credits for one."""
GRANTED: Final = 1_000_000_000
"""Micro-credits."""


class Row(NamedTuple):
    """What the store has of a task."""

    id: str
    status: str
    error: dict[str, Any] | None
    result: dict[str, Any] | None
    reserved: int
    bill: dict[str, Any] | None
    number: int  # of the request that it came from: its callback_url says

    @property
    def cost(self) -> int:
        return 0 if self.bill is None else int(self.bill["cost"])


def opened(data: Path) -> closing[sqlite3.Connection]:
    """The store, as another process sees it."""
    return closing(sqlite3.connect(f"file:{data / 'reynard.db'}?mode=ro", uri=True))


def under_way(data: Path) -> int:
    """How many tasks have not ended, and deliveries that were not made."""
    with opened(data) as connection:
        tasks: int = connection.execute("SELECT count(*) FROM tasks WHERE ended IS NULL").fetchone()[0]
        deliveries: int = connection.execute("SELECT count(*) FROM deliveries WHERE state = 'pending'").fetchone()[0]
        return tasks + deliveries


class Books(NamedTuple):
    """One reading of the store. `ledger`: amount and cost by task and kind. `audit`: the product's own, just before."""

    tasks: list[Row]
    ledger: dict[str, dict[str, tuple[int, int]]]
    granted: int
    account: tuple[int, int, int]
    usage: tuple[int, int, int, int, int]
    deliveries: Counter[str]
    audit: list[Fault]

    @classmethod
    def read(cls, data: Path) -> "Books":
        """As it is now."""
        with opened(data) as connection:
            audit = list(faults(connection, lambda done, of: None))
            connection.execute("BEGIN")
            tasks = connection.execute(
                "SELECT id, status, error, result, reserved, bill, terms FROM tasks ORDER BY seq"
            )
            ledger: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
            rows = connection.execute("SELECT task_id, kind, amount, cost FROM ledger WHERE task_id IS NOT NULL")
            for task_id, kind, amount, cost in rows:
                ledger[task_id][kind] = (amount, cost)
            sums = "sum(tasks), sum(completed), sum(prompt_tokens), sum(completion_tokens), sum(cost)"
            return cls(
                tasks=[_row(*row) for row in tasks],
                ledger=ledger,
                granted=connection.execute("SELECT sum(amount) FROM ledger WHERE kind = 'grant'").fetchone()[0],
                account=connection.execute("SELECT balance, reserved, used FROM accounts").fetchone(),
                usage=connection.execute(f"SELECT {sums} FROM usage").fetchone(),
                deliveries=Counter(row[0] for row in connection.execute("SELECT task_id FROM deliveries")),
                audit=audit,
            )

    def faults(self) -> Iterator[str]:
        """What is wrong, in words."""
        for task in self.tasks:
            for fault in _task_faults(task, self.ledger.get(task.id, {}), self.deliveries[task.id]):
                yield f"{task.id} ({task.status}, of request {task.number}): {fault}"
        strangers = self.ledger.keys() - {task.id for task in self.tasks}
        if strangers:
            yield f"entries of tasks that are not there: {strangers}"
        yield from self._sum_faults()
        yield from (f"the audit says of {fault.task_id}: {fault.message}" for fault in self.audit)

    def _sum_faults(self) -> Iterator[str]:
        ended = [task for task in self.tasks if task.status in ENDS]
        used = sum(task.cost for task in ended)
        reserved = sum(task.reserved for task in self.tasks if task.status not in ENDS)
        expected = (GRANTED - used - reserved, reserved, used)
        if self.granted != GRANTED or self.account != expected:
            yield f"the account is {self.account}, by the tasks it is {expected}"
        bills = [task.bill for task in ended if task.bill is not None]
        tokens = [sum(bill[kind] for bill in bills) for kind in ("prompt_tokens", "completion_tokens")]
        completed = sum(task.status == "completed" for task in ended)
        if ended and self.usage != (len(ended), completed, *tokens, used):
            yield f"the usage is {self.usage}, by the tasks it is {(len(ended), completed, *tokens, used)}"


def _row(task_id: str, status: str, error: Any, result: Any, reserved: int, bill: Any, terms: Any) -> Row:
    error, result, bill, terms = (None if blob is None else json.loads(blob) for blob in (error, result, bill, terms))
    number = int(terms["callback_url"].rpartition("/")[2])
    return Row(task_id, status, error, result, reserved, bill, number)


def _task_faults(task: Row, entries: dict[str, tuple[int, int]], deliveries: int) -> Iterator[str]:
    ended = task.status in ENDS
    if task.reserved <= 0:
        yield "nothing was held for it"
    if entries.get("hold") != (-task.reserved, 0):
        yield f"its hold is {entries.get('hold')}, and {task.reserved} was reserved"
    wanted = {} if not ended else _end_of(task)
    found = {kind: entry for kind, entry in entries.items() if kind != "hold"}
    if found != wanted:
        yield f"its hold ended with {found} and not with {wanted}"
    if deliveries != ended:
        yield f"there are {deliveries} deliveries of its end"
    if ended:
        yield from _bill_faults(task)


def _end_of(task: Row) -> dict[str, tuple[int, int]]:
    if task.cost:
        return {"settlement": (task.reserved - task.cost, task.cost)}
    return {"refund": (task.reserved, 0)}


def _bill_faults(task: Row) -> Iterator[str]:
    if task.status == "completed" and task.bill is None:
        yield "it is completed and has no bill"
    if (task.bill is None) != (task.result is None):
        yield f"its bill is {task.bill}, its result {task.result}"
    if task.bill is None or task.result is None:
        return
    prompt, completion = task.bill["prompt_tokens"], task.bill["completion_tokens"]
    usage = task.result["usage"]
    if (usage["prompt_tokens"], usage["completion_tokens"]) != (prompt, completion):
        yield f"its bill is {task.bill} and its usage {usage}"
    if task.cost != prompt * PRICE["input"] + completion * PRICE["output"]:
        yield f"{task.bill} is another price"
