"""The chunks of streams in the SQLite store: a row holds many, a line each, and an entry of the log many such runs."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from reynard.ports.store import ChunkRow
from reynard.storage.sqlite.rows import Row, Rows

LINE: Final = b"\n"

Run = tuple[str, int, bytes | None]
"""A task, the number of the first chunk, and a line each; None where the stream was dropped."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Run]).decode


class StreamRows(Rows):
    """`ports.store.ChunkRows`."""

    async def write_chunks(self, rows: Sequence[ChunkRow], now: float) -> None:
        """See the port."""
        written: list[Row] = [(row.task_id, row.first, LINE.join(row.chunks), now) for row in rows]
        sql = self._sql["write_chunks"]
        await self._writer.run(lambda connection: connection.executemany(sql, written).rowcount)

    async def log_chunks(self, rows: Sequence[ChunkRow], oldest: int) -> int:
        """See the port."""

        def add(connection: sqlite3.Connection) -> int:
            connection.execute(self._sql["drop_entries"], (oldest,))
            return _log(connection, self._sql["log_chunks"], [_run(row) for row in rows]) if rows else 0

        return await self._writer.run(add)

    async def file_logged(self, now: float) -> None:
        """See the port."""
        if self._one("has_entries", ()) is not None:
            await self._writer.run(lambda connection: self._file(connection, now))

    def _file(self, connection: sqlite3.Connection, now: float) -> None:
        for task_id, runs in _logged(connection.execute(self._sql["logged_chunks"])).items():
            first = self._written(connection, task_id)
            chunks = _following(first, runs)
            if chunks:
                connection.execute(self._sql["write_chunks"], (task_id, first, LINE.join(chunks), now))
        connection.execute(self._sql["drop_all_entries"])

    def _written(self, connection: sqlite3.Connection, task_id: str) -> int:
        """How many chunks of the stream are in rows."""
        last = connection.execute(self._sql["last_chunks"], (task_id,)).fetchone()
        return 0 if last is None else last[0] + last[1].count(LINE) + 1

    async def has_chunks(self, task_id: str) -> bool:
        """See the port."""
        row = self._one("has_chunks", (task_id,))
        return row is not None and bool(row[0])

    async def read_chunks(self, task_id: str, first: int, most_bytes: int = 1_000_000) -> list[bytes]:
        """See the port."""
        chunks: list[bytes] = []
        size = 0
        for number, body in self._rows("read_chunks", {"task": task_id, "first": first}):
            wanted = first + len(chunks)
            if number > wanted or (chunks and size + len(body) > most_bytes):
                break
            chunks += body.split(LINE)[wanted - number :]
            size += len(body)
        return chunks

    async def drop_chunks(self, task_id: str) -> None:
        """See the port."""

        def drop(connection: sqlite3.Connection) -> None:
            connection.execute(self._sql["drop_chunks"], (task_id,))
            if connection.execute(self._sql["has_entries"]).fetchone() is not None:
                _log(connection, self._sql["log_chunks"], [(task_id, 0, None)])

        await self._writer.run(drop)


def _run(row: ChunkRow) -> Run:
    return row.task_id, row.first, LINE.join(row.chunks)


def _log(connection: sqlite3.Connection, sql: str, runs: Sequence[Run]) -> int:
    return connection.execute(sql, (_encode(runs),)).lastrowid or 0


def _logged(entries: Iterable[Row]) -> dict[str, list[tuple[int, bytes]]]:
    """The runs of each stream, since it was last dropped."""
    streams: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for (body,) in entries:
        for task_id, first, lines in _decode(body):
            if lines is None:
                streams.pop(task_id, None)
            else:
                streams[task_id].append((first, lines))
    return streams


def _following(number: int, runs: Iterable[tuple[int, bytes]]) -> list[bytes]:
    """The chunks from `number` on, up to a gap. A run may be there twice, if nobody knew of the first."""
    chunks: list[bytes] = []
    for first, lines in runs:
        wanted = number + len(chunks)
        if first > wanted:
            break
        chunks += lines.split(LINE)[wanted - first :]
    return chunks
