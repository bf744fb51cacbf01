"""The tasks of the SQLite store, with all that is kept in the same commit as their start and their end."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Final

import msgspec

from reynard.core.generation import Generation
from reynard.core.idempotency import KEPT_S, Repeat, Repeated
from reynard.core.ledger import at_end, at_start
from reynard.core.task import NO_TERMS, Attempt, Bill, Status, Task, TaskError, Terms
from reynard.core.webhooks import delivery_of
from reynard.ports.store import TaskFilter, TaskPage
from reynard.storage.sqlite import lists
from reynard.storage.sqlite.ledger import LedgerRows
from reynard.storage.sqlite.rows import Row

MOST_LISTED_BYTES: Final = 8_000_000
RESULT: Final = 19
"""The column behind those of a task."""

_encode = msgspec.json.Encoder().encode
_generations = msgspec.json.Decoder(Generation)
_errors = msgspec.json.Decoder(TaskError)
_terms = msgspec.json.Decoder(Terms)
_bills = msgspec.json.Decoder(Bill)
_attempts = msgspec.json.Decoder(list[Attempt])


class TaskRows(LedgerRows):
    """`ports.store.Tasks`."""

    async def insert(
        self,
        task: Task,
        generation: Generation | None,
        result: bytes | None = None,
        attempts: Sequence[Attempt] = (),
        *,
        limited: bool = False,
        spared: int = 0,
        repeat: Repeat | None = None,
    ) -> None:
        """See the port."""
        row = (
            *(task.id, task.key_id, task.model, task.form, task.sync, task.stream, task.status.value, task.attempt),
            *(task.version, task.created, task.started, task.ended, task.owner, task.read),
            *(_json(task.error), None if generation is None else _encode(generation), result),
            *(
                task.deadline,
                _agreed(task.terms),
                task.reserved,
                _json(task.bill),
                _listed(attempts),
            ),
        )

        def insert(connection: sqlite3.Connection) -> None:
            if limited:
                self._check_funds(connection, task, spared)
            if repeat is not None:
                self._known_by(connection, repeat, task)
            connection.execute(self._sql["insert_task"], row)
            self._tally.move(at_start(task))
            if task.is_ended:
                self._end(connection, task)

        await self._writer.run(insert)

    async def save(self, task: Task, result: bytes | None = None, attempts: Sequence[Attempt] = ()) -> bool:
        """See the port."""
        if not task.is_ended:
            row: Row = (
                *(task.status.value, task.attempt, task.version, task.started, task.owner, task.read),
                *(task.id, task.version - 1),
            )
            sql = self._sql["save_task"]
            return await self._writer.run(lambda connection: connection.execute(sql, row).rowcount) == 1
        row = (
            *(task.status.value, task.attempt, task.version, task.started, task.ended, _json(task.error)),
            *(result, _json(task.bill), _listed(attempts), _agreed(task.terms), task.id, task.version - 1),
        )

        def end(connection: sqlite3.Connection) -> bool:
            if connection.execute(self._sql["end_task"], row).rowcount == 0:
                return False
            self._end(connection, task)
            return True

        return await self._writer.run(end)

    def _end(self, connection: sqlite3.Connection, task: Task) -> None:
        """What comes with an end, in the transaction that is open. The version was ours: it comes once."""
        self._tally.move(at_end(task))
        self._tally.end(task)
        delivery = delivery_of(task)
        if delivery is not None:
            connection.execute(self._sql["insert_delivery"], msgspec.structs.astuple(delivery))

    def _known_by(self, connection: sqlite3.Connection, repeat: Repeat, task: Task) -> None:
        """Raises `Repeated`."""
        found = connection.execute(self._sql["repeated"], (task.key_id, repeat.name)).fetchone()
        if found is not None and found[1] != repeat.instead_of and found[2] > task.created - KEPT_S:
            raise Repeated(Repeat(repeat.name, found[0]), found[1])
        row = (task.key_id, repeat.name, repeat.fingerprint, task.id, task.created)
        connection.execute(self._sql["know_by"], row)

    async def find(self, task_id: str) -> tuple[Task, bytes | None] | None:
        """See the port."""
        row = self._one("find_task", (task_id,))
        return None if row is None else (_task(row), row[RESULT])

    async def list_tasks(self, wanted: TaskFilter) -> TaskPage:
        """See the port."""
        sql = self._sql["list_tasks"].format(**lists.tasks(wanted)._asdict())
        asked = msgspec.structs.asdict(wanted)

        def listed(connection: sqlite3.Connection) -> TaskPage:
            if wanted.created_after is not None:
                asked["least"] = lists.least(connection, self._sql["arrival"], wanted.created_after)
            with closing(connection.execute(sql, asked)) as rows:
                return _page(rows, wanted.limit)

        return await self._readers.run(wanted.key_id, listed)

    async def claim(self, owner: str, limit: int, max_bytes: int, now: float) -> list[tuple[Task, Generation | None]]:
        """See the port."""
        sql = self._sql["claim_tasks"]
        rows: list[Row] = await self._writer.run(
            lambda connection: connection.execute(sql, (owner, now, limit, max_bytes)).fetchall()
        )
        rows.sort(key=lambda row: row[-1])  # RETURNING promises no order
        return [(_task(row), _generation(row[RESULT])) for row in rows]

    async def pending(self) -> Mapping[str, int]:
        """See the port."""
        return dict(self._rows("pending", ()))

    async def overdue(self, now: float, limit: int) -> list[Task]:
        """See the port."""
        return [_task(row) for row in self._rows("overdue", (now, limit))]

    async def orphans(self, claimant: str, now: float, limit: int) -> list[Task]:
        """See the port."""
        return [_task(row) for row in self._rows("orphans", (claimant, now, limit))]

    async def generation(self, task_id: str) -> Generation | None:
        """See the port."""
        row = self._one("find_generation", (task_id,))
        return None if row is None or row[0] is None else _generation(row[0])

    async def attempts(self, task_id: str) -> Sequence[Attempt]:
        """See the port."""
        row = self._one("find_attempts", (task_id,))
        return [] if row is None or row[0] is None else _attempts.decode(row[0])

    async def repeated(self, key_id: str, name: str) -> tuple[Repeat, str] | None:
        """See the port."""
        row = self._one("repeated", (key_id, name))
        return None if row is None else (Repeat(name, row[0]), row[1])

    async def unfinished(self) -> Mapping[str, int]:
        """See the port."""
        return dict(self._rows("unfinished", ()))


def _page(rows: Iterable[Row], limit: int) -> TaskPage:
    found: list[tuple[Task, bytes | None]] = []
    size = 0
    for row in rows:
        size += len(row[RESULT] or b"")
        if len(found) == limit or (found and size > MOST_LISTED_BYTES):
            return TaskPage(found, has_more=True)
        found.append((_task(row), row[RESULT]))
    return TaskPage(found, has_more=False)


def _task(row: Row) -> Task:
    return Task(
        id=row[0],
        key_id=row[1],
        model=row[2],
        form=row[3],
        sync=bool(row[4]),
        stream=bool(row[5]),
        status=Status(row[6]),
        attempt=row[7],
        version=row[8],
        created=row[9],
        started=row[10],
        ended=row[11],
        owner=row[12],
        read=bool(row[13]),
        error=None if row[14] is None else _errors.decode(row[14]),
        deadline=row[15],
        terms=NO_TERMS if row[16] is None else _terms.decode(row[16]),
        reserved=row[17],
        bill=None if row[18] is None else _bills.decode(row[18]),
    )


def _generation(stored: bytes) -> Generation | None:
    try:
        return _generations.decode(stored)
    except msgspec.DecodeError:
        return None


def _json(value: msgspec.Struct | None) -> bytes | None:
    return None if value is None else _encode(value)


def _agreed(terms: Terms) -> bytes | None:
    return None if terms == NO_TERMS else _encode(terms)


def _listed(attempts: Sequence[Attempt]) -> bytes | None:
    return _encode(attempts) if attempts else None
