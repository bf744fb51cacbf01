"""`ports.store.Store` on one SQLite file. Reads are point look-ups of microseconds, and run where they are asked;
writes go through the writer thread."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from reynard.core.errors import StoreUnavailable
from reynard.core.generation import Generation
from reynard.core.keys import Key
from reynard.core.task import Status, Task, TaskError
from reynard.ports.store import TaskFilter, TaskPage
from reynard.storage.sqlite import queries
from reynard.storage.sqlite.files import FileRows
from reynard.storage.sqlite.writer import Writer

SCHEMA_VERSION: Final = 2
BUSY_TIMEOUT_S: Final = 5.0  # of a command beside a busy gateway, which has the lock most of the time
READ_TIMEOUT_S: Final = 0.05  # writers keep no reader waiting in WAL mode; whatever does must not stop the event loop
MOST_LISTED_BYTES: Final = 8_000_000
SPARE_PAGES: Final = 4_096  # 16 MB that new rows will take soon are kept
GIVEN_BACK_AT_ONCE: Final = 256  # some 5 ms of the writer

_encode = msgspec.json.Encoder().encode
_generations = msgspec.json.Decoder(Generation)
_errors = msgspec.json.Decoder(TaskError)
_keys = msgspec.json.Decoder(Key)

Row = tuple[Any, ...]


class SchemaTooNew(RuntimeError):
    """The file was written by a later version of this program."""


class SQLiteStore(FileRows):
    """WAL, synchronous=FULL: what was answered survives the machine's loss of power."""

    def __init__(self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self._sql = queries.load()
        writing = _connect(path, busy_timeout_s)
        _create(writing)
        self._writer = Writer(writing, busy_timeout_s)
        self._reading = _connect(path, min(busy_timeout_s, READ_TIMEOUT_S))
        self._reading.execute("PRAGMA query_only = ON")

    async def close(self) -> None:
        """See the port."""
        await self._writer.close()
        self._reading.close()

    # tasks

    async def insert(self, task: Task, generation: Generation | None, result: bytes | None = None) -> None:
        """See the port."""
        row = (
            *(task.id, task.key_id, task.model, task.form, task.sync, task.stream, task.status.value, task.attempt),
            *(task.version, task.created, task.started, task.ended, task.owner, task.read),
            *(_error_out(task.error), None if generation is None else _encode(generation), result),
        )
        sql = self._sql["insert_task"]
        await self._writer.run(lambda connection: connection.execute(sql, row).rowcount)

    async def save(self, task: Task, result: bytes | None = None) -> bool:
        """See the port."""
        row: Row
        if task.is_ended:
            sql = self._sql["end_task"]
            row = (
                *(task.status.value, task.attempt, task.version, task.started, task.ended),
                *(_error_out(task.error), result, task.id, task.version - 1),
            )
        else:
            sql = self._sql["save_task"]
            row = (
                *(task.status.value, task.attempt, task.version, task.started, task.owner, task.read),
                *(task.id, task.version - 1),
            )
        return await self._writer.run(lambda connection: connection.execute(sql, row).rowcount) == 1

    async def find(self, task_id: str) -> tuple[Task, bytes | None] | None:
        """See the port."""
        row = self._one("find_task", (task_id,))
        return None if row is None else (_task(row), row[15])

    async def list_tasks(self, wanted: TaskFilter) -> TaskPage:
        """See the port."""
        found: list[tuple[Task, bytes | None]] = []
        size = 0
        for row in self._rows("list_tasks", msgspec.structs.asdict(wanted)):
            size += len(row[15] or b"")
            if len(found) == wanted.limit or (found and size > MOST_LISTED_BYTES):
                return TaskPage(found, has_more=True)
            found.append((_task(row), row[15]))
        return TaskPage(found, has_more=False)

    async def claim(self, owner: str, limit: int, max_bytes: int, now: float) -> list[tuple[Task, Generation | None]]:
        """See the port."""
        sql = self._sql["claim_tasks"]
        rows: list[Row] = await self._writer.run(
            lambda connection: connection.execute(sql, (owner, now, limit, max_bytes)).fetchall()
        )
        rows.sort(key=lambda row: row[16])  # RETURNING promises no order
        return [(_task(row), _generation(row[15])) for row in rows]

    async def count_pending(self) -> int:
        """See the port."""
        return int(self._value("count_pending"))

    async def orphans(self, claimant: str, now: float, limit: int) -> list[Task]:
        """See the port."""
        return [_task(row) for row in self._rows("orphans", (claimant, now, limit))]

    # workers

    async def beat(self, owner: str, until: float) -> None:
        """See the port."""
        sql = self._sql["beat"]

        def beat(connection: sqlite3.Connection) -> None:
            connection.execute(sql, (owner, until))
            _give_back(connection)

        await self._writer.run(beat)

    async def retire(self, owner: str) -> None:
        """See the port."""
        sql = self._sql["retire"]
        await self._writer.run(lambda connection: connection.execute(sql, (owner,)).rowcount)

    async def retire_all(self) -> None:
        """Every worker's lease ends: for a process that has just locked the data directory for itself."""
        sql = self._sql["retire_all"]
        await self._writer.run(lambda connection: connection.execute(sql).rowcount)

    # keys

    async def add_key(self, key: Key) -> None:
        """See the port."""
        sql, row = self._sql["add_key"], (key.id, key.digest, _encode(key), key.created)
        await self._writer.run(lambda connection: connection.execute(sql, row).rowcount)

    async def update_key(self, key: Key, *, was: Key) -> bool:
        """See the port."""
        sql, row = self._sql["update_key"], (key.digest, _encode(key), key.id, _encode(was))
        return await self._writer.run(lambda connection: connection.execute(sql, row).rowcount) == 1

    async def key_by_digest(self, digest: bytes) -> Key | None:
        """See the port."""
        row = self._one("key_by_digest", (digest,))
        return None if row is None else _keys.decode(row[0])

    async def list_keys(self) -> Sequence[Key]:
        """See the port."""
        return [_keys.decode(row[0]) for row in self._rows("list_keys", ())]

    def keys_epoch(self) -> int:
        """See the port."""
        return int(self._value("keys_epoch"))

    # reading

    def _rows(self, name: str, parameters: Any) -> Iterator[Row]:
        try:
            yield from self._reading.execute(self._sql[name], parameters)
        except sqlite3.OperationalError as error:
            raise StoreUnavailable("The store cannot be read now. Try again in a moment.") from error

    def _one(self, name: str, parameters: Any) -> Row | None:
        return next(self._rows(name, parameters), None)

    def _value(self, name: str) -> Any:
        """The one value of a statement that always has a row."""
        return next(self._rows(name, ()))[0]


def _connect(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=busy_timeout_s, cached_statements=64
    )
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # for a new file; one that has tables stays as it is
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _create(connection: sqlite3.Connection) -> None:
    """The schema, in a new file, or what an older file lacks of it; two processes that start at once do it once.

    Raises `SchemaTooNew`.
    """
    connection.execute("BEGIN IMMEDIATE")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        _run(connection, "schema.sql", SCHEMA_VERSION)
    else:
        for following in range(version + 1, SCHEMA_VERSION + 1):
            _run(connection, f"migrations/{following:04d}.sql", following)
    connection.execute("COMMIT")
    if version > SCHEMA_VERSION:
        raise SchemaTooNew(f"the store has schema version {version}, this program knows {SCHEMA_VERSION}: upgrade it")


def _run(connection: sqlite3.Connection, script: str, version: int) -> None:
    """In the transaction that is open."""
    for statement in queries.statements(script):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {version}")


def _give_back(connection: sqlite3.Connection) -> None:
    """Some of the pages that large generations have left, to the file system; nothing in a file without auto-vacuum."""
    spare = connection.execute("PRAGMA freelist_count").fetchone()[0] - SPARE_PAGES
    for _ in range(min(spare, GIVEN_BACK_AT_ONCE)):  # one step, and page, each: the statement has no columns
        connection.execute("PRAGMA incremental_vacuum(1)")


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
    )


def _generation(stored: bytes) -> Generation | None:
    try:
        return _generations.decode(stored)
    except msgspec.DecodeError:
        return None


def _error_out(error: TaskError | None) -> bytes | None:
    return None if error is None else _encode(error)
