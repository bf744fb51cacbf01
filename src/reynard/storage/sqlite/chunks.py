"""The chunks of streams in the SQLite store: a row holds many, a line each."""

from collections.abc import Sequence
from typing import Final

from reynard.ports.store import ChunkRow
from reynard.storage.sqlite.rows import Row, Rows

LINE: Final = b"\n"


class StreamRows(Rows):
    """`ports.store.ChunkRows`."""

    async def write_chunks(self, rows: Sequence[ChunkRow], now: float) -> None:
        """See the port."""
        written: list[Row] = [(row.task_id, row.first, LINE.join(row.chunks), now) for row in rows]
        sql = self._sql["write_chunks"]
        await self._writer.run(lambda connection: connection.executemany(sql, written).rowcount)

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
        sql = self._sql["drop_chunks"]
        await self._writer.run(lambda connection: connection.execute(sql, (task_id,)).rowcount)
