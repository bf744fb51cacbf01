"""What the parts of the SQLite store share: named statements, the writer, and reading where it is asked."""

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reynard.core.errors import StoreUnavailable
from reynard.storage.sqlite.readers import Readers
from reynard.storage.sqlite.tally import Tally
from reynard.storage.sqlite.writer import Writer

Row = tuple[Any, ...]


class Rows:
    """A part of the store. Reads here are point look-ups of microseconds; lists and reports go to the readers, writes
    through the writer thread."""

    _path: Path
    _sql: Mapping[str, str]
    _writer: Writer
    _tally: Tally
    _reading: sqlite3.Connection
    _readers: Readers

    def _rows(self, name: str, parameters: Any) -> Iterator[Row]:
        try:
            yield from self._reading.execute(self._sql[name], parameters)
        except sqlite3.OperationalError as error:
            raise _unreadable() from error

    def _one(self, name: str, parameters: Any) -> Row | None:
        try:
            row: Row | None = self._reading.execute(self._sql[name], parameters).fetchone()
        except sqlite3.OperationalError as error:
            raise _unreadable() from error
        return row

    async def _listed(self, key_id: str, sql: str, parameters: Any) -> list[Row]:
        """The rows of a list, for a key; "" stands for the operator."""
        return await self._readers.run(key_id, lambda connection: connection.execute(sql, parameters).fetchall())


def _unreadable() -> StoreUnavailable:
    return StoreUnavailable("The store cannot be read now. Try again in a moment.")
