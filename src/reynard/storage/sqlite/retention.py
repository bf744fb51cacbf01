"""What goes with time from the SQLite store, in batches that are short in rows and in bytes."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from reynard.core.webhooks import GRACE_S
from reynard.storage.sqlite.rows import Row, Rows

MOST_SWEPT_BYTES: Final = 8_000_000  # freeing a page means reading it: some 10 ms of the writer


class RetentionRows(Rows):
    """`ports.store.Retention`."""

    async def sweep_tasks(self, before: float, limit: int) -> int:
        """See the port."""
        return await self._writer.run(lambda connection: self._tasks(connection, before, limit))

    async def sweep_results(self, before: float, limit: int) -> int:
        """See the port."""
        return await self._writer.run(lambda connection: self._results(connection, before, limit))

    async def sweep_chunks(self, before: float, limit: int) -> int:
        """See the port."""
        return await self._writer.run(lambda connection: self._chunks(connection, before, limit))

    async def sweep_repeats(self, before: float, limit: int) -> int:
        """See the port."""
        sql = self._sql["sweep_repeats"]
        return await self._writer.run(lambda connection: connection.execute(sql, (before, limit)).rowcount)

    async def sweep_lone_repeats(self, before: float, limit: int) -> int:
        """See the port."""
        sql = self._sql["sweep_lone_repeats"]
        return await self._writer.run(lambda connection: connection.execute(sql, (before, limit)).rowcount)

    async def fold_ledger(self, before: float, limit: int) -> int:
        """See the port."""
        return await self._writer.run(lambda connection: self._fold(connection, before, limit))

    # on the writer's thread

    def _tasks(self, connection: sqlite3.Connection, before: float, limit: int) -> int:
        past = list(_bounded(connection.execute(self._sql["tasks_past"], _past(before, limit))))
        for name in ("delete_delivery_log", "delete_delivery", "delete_task"):
            connection.executemany(self._sql[name], [(task_id,) for _, _, task_id in past])
        return len(past)

    def _results(self, connection: sqlite3.Connection, before: float, limit: int) -> int:
        past = list(_bounded(connection.execute(self._sql["results_past"], _past(before, limit))))
        connection.executemany(self._sql["empty_result"], [(seq,) for seq, _ in past])
        return len(past)

    def _chunks(self, connection: sqlite3.Connection, before: float, limit: int) -> int:
        """A stream's last rows first: as long as its first is there, the rest is found again."""
        streams = connection.execute(self._sql["streams_past"], {"before": before, "limit": limit}).fetchall()
        rows = (row for (task_id,) in streams for row in connection.execute(self._sql["chunk_rows"], (task_id, limit)))
        past = [row for row, _ in zip(_bounded(rows), range(limit), strict=False)]
        connection.executemany(self._sql["delete_chunk_row"], [(rowid,) for rowid, _ in past])
        return len(past)

    def _fold(self, connection: sqlite3.Connection, before: float, limit: int) -> int:
        folded: dict[str, list[Row]] = defaultdict(list)
        past = connection.execute(self._sql["entries_past"], {"before": before, "limit": limit}).fetchall()
        for entry in past:
            folded[entry[1]].append(entry)
        for key_id, entries in folded.items():
            self._carry(connection, key_id, entries)
        return len(past)

    def _carry(self, connection: sqlite3.Connection, key_id: str, entries: list[Row]) -> None:
        """One entry in place of `entries` and of what was carried before; it stands where the last of them stood."""
        all_of_it = entries + connection.execute(self._sql["carries"], (key_id, entries[-1][0])).fetchall()
        seqs, _, amounts, costs, times = zip(*all_of_it, strict=True)
        connection.executemany(self._sql["delete_entry"], [(seq,) for seq in seqs])
        connection.execute(self._sql["carry"], (max(seqs), key_id, sum(amounts), sum(costs), max(times)))


def _past(before: float, limit: int) -> dict[str, float]:
    return {"before": before, "limit": limit, "grace": GRACE_S}


def _bounded(rows: Iterable[Row]) -> Iterator[Row]:
    """As many of `rows`, whose second value is their size in bytes, as a batch may have; one at least."""
    size = 0
    for row in rows:
        size += row[1]
        if size > MOST_SWEPT_BYTES and size > row[1]:
            return
        yield row
