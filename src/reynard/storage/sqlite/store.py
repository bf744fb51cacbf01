"""`ports.store.Store` on one SQLite file. Reads are point look-ups of microseconds, and run where they are asked;
writes go through the writer thread."""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from reynard.core.keys import Key
from reynard.ports.telemetry import Observer
from reynard.storage.sqlite import queries
from reynard.storage.sqlite.accounts import AccountRows
from reynard.storage.sqlite.chunks import StreamRows
from reynard.storage.sqlite.deliveries import DeliveryRows
from reynard.storage.sqlite.files import FileRows
from reynard.storage.sqlite.readers import Readers
from reynard.storage.sqlite.retention import RetentionRows
from reynard.storage.sqlite.tally import Tally
from reynard.storage.sqlite.tasks import TaskRows
from reynard.storage.sqlite.writer import Writer

SCHEMA_VERSION: Final = 5
BUSY_TIMEOUT_S: Final = 5.0  # of a command beside a busy gateway, which has the lock most of the time
READ_TIMEOUT_S: Final = 0.05  # writers keep no reader waiting in WAL mode; whatever does must not stop the event loop
SPARE_PAGES: Final = 4_096  # 16 MB that new rows will take soon are kept
GIVEN_BACK_AT_ONCE: Final = 256  # some 5 ms of the writer

# The module asks each None, bool and bytes whether it adapts, and makes an error where it does not; these answer.
_NULL: Final[dict[None, None]] = {}
sqlite3.register_adapter(bool, int)
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(type(None), _NULL.get)

_encode = msgspec.json.Encoder().encode
_keys = msgspec.json.Decoder(Key)


class SchemaTooNew(RuntimeError):
    """The file was written by a later version of this program."""


class SQLiteStore(TaskRows, AccountRows, FileRows, DeliveryRows, StreamRows, RetentionRows):
    """WAL, synchronous=FULL: what was answered survives the machine's loss of power."""

    def __init__(self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self._sql = queries.load()
        writing = _connect(path, busy_timeout_s)
        _create(writing)
        self._tally = Tally(self._sql)
        self._writer = Writer(writing, busy_timeout_s, self._tally)
        self._reading = _connect(path, min(busy_timeout_s, READ_TIMEOUT_S))
        self._reading.execute("PRAGMA query_only = ON")
        self._path = path
        self._readers = Readers(path)

    def observe(self, observer: Observer) -> None:
        """From here on, `observer` is told of every transaction."""
        self._writer.observer = observer

    @property
    def waiting(self) -> int:
        """Operations that wait for a transaction."""
        return self._writer.waiting

    async def close(self) -> None:
        """See the port."""
        await asyncio.to_thread(self._readers.close)
        await self._writer.close()
        self._reading.close()

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
        find, replace = self._sql["key_by_id"], self._sql["update_key"]

        def update(connection: sqlite3.Connection) -> int:
            found = connection.execute(find, (key.id,)).fetchone()
            if found is None or _keys.decode(found[0]) != was:  # as values: an older version wrote fewer fields
                return 0
            return connection.execute(replace, (key.digest, _encode(key), key.id, found[0])).rowcount

        return await self._writer.run(update) == 1

    async def key_by_digest(self, digest: bytes) -> Key | None:
        """See the port."""
        row = self._one("key_by_digest", (digest,))
        return None if row is None else _keys.decode(row[0])

    async def find_key(self, key_id: str) -> Key | None:
        """See the port."""
        row = self._one("key_by_id", (key_id,))
        return None if row is None else _keys.decode(row[0])

    async def list_keys(self) -> Sequence[Key]:
        """See the port."""
        return [_keys.decode(row[0]) for row in self._rows("list_keys", ())]

    def keys_epoch(self) -> int:
        """See the port."""
        row = self._one("keys_epoch", ())
        return 0 if row is None else int(row[0])


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
