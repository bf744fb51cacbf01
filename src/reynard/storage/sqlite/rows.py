"""What the parts of the SQLite store share: named statements, the writer, and reading where it is asked."""

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from reynard.core.errors import StoreUnavailable
from reynard.storage.sqlite.writer import Writer

Row = tuple[Any, ...]


class Rows:
    """A part of the store. Reads are point look-ups of microseconds; writes go through the writer thread."""

    _sql: Mapping[str, str]
    _writer: Writer
    _reading: sqlite3.Connection

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
