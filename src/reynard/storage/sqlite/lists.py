"""What a list asks of its index: the conditions of the filters that are given, and the index that finds them.

SQLite has no figures here to choose by, and a wrong choice reads millions of rows: each list names its index.
"""

import sqlite3
from typing import Final, NamedTuple

from reynard.core.task import Status
from reynard.core.webhooks import State
from reynard.ports.store import DeliveryFilter, TaskFilter

MOST_BEHIND_S: Final = 7_200
"""How much older than the rows around it a task may be: a call in place is stored with its end, and a clock may be set
back."""
NOWHERE: Final = 2**63 - 1

OF_STATUS: Final[dict[Status, tuple[str, str]]] = {
    Status.PENDING: ("tasks_pending", "status = 'pending' AND started IS NULL"),
    Status.PROCESSING: (
        "",
        (
            "seq IN (SELECT seq FROM tasks WHERE key_id = :key_id AND status = 'processing' UNION ALL "
            "SELECT seq FROM tasks WHERE key_id = :key_id AND status = 'pending' AND started IS NOT NULL)"
        ),
    ),
    Status.COMPLETED: ("tasks_of_key", "status = 'completed'"),
    Status.FAILED: ("tasks_broken", "status IN ('failed', 'cancelled') AND status = 'failed'"),
    Status.CANCELLED: ("tasks_broken", "status IN ('failed', 'cancelled') AND status = 'cancelled'"),
}
"""The index, and the condition in its words, as a partial index must be asked. A pending task that has been begun is
shown as processing; of both there are never many."""

OF_STATE: Final[dict[State, str]] = {
    "pending": "state = 'pending'",
    "delivered": "state = 'delivered'",
    "failed": "state = 'failed'",
}


class Wanted(NamedTuple):
    """What goes into a statement: the table with its index, and conditions joined by AND."""

    source: str
    conditions: str


def tasks(wanted: TaskFilter) -> Wanted:
    """Of `list_tasks`; `:least` is where `created_after` lets it begin."""
    index, condition = OF_STATUS[wanted.status] if wanted.status else ("tasks_of_key", "TRUE")
    conditions = [condition]
    if wanted.model is not None:
        conditions.append("model = :model")
        index = "tasks_of_model" if index == "tasks_of_key" else index
    if wanted.created_after is not None:
        conditions.append("seq >= :least AND created > :created_after")
    return Wanted(_by("tasks", index), " AND ".join(conditions))


def deliveries(wanted: DeliveryFilter) -> Wanted:
    """Of `list_deliveries`. A task has one at most: where it is named, its own index finds it."""
    conditions = [f"{name} = :{name}" for name in ("key_id", "task_id") if getattr(wanted, name) is not None]
    if wanted.state is not None:
        conditions.append(OF_STATE[wanted.state])
    if wanted.after is not None:
        conditions.append("(created, id) < (SELECT created, id FROM deliveries WHERE id = :after)")
    return Wanted(_by("deliveries", _index_of(wanted)), " AND ".join(conditions) or "TRUE")


def _index_of(wanted: DeliveryFilter) -> str:
    if wanted.task_id is not None:
        return "sqlite_autoindex_deliveries_2"
    if wanted.state == "pending":
        return "deliveries_due"
    if wanted.key_id is None:
        return ""
    return "deliveries_failed" if wanted.state == "failed" else "deliveries_of_key"


def least(connection: sqlite3.Connection, sql: str, created_after: float) -> int:
    """No task that was created after then has a lower `seq`: found as in a book, for they lie in order of arrival."""
    low, high = 0, NOWHERE
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(sql, (middle,)).fetchone()
        if row is None or row[1] > created_after - MOST_BEHIND_S:
            high = middle
        else:
            low = row[0] + 1
    return low


def _by(table: str, index: str) -> str:
    return f"{table} INDEXED BY {index}" if index else table
