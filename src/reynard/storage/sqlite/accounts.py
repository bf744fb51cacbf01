"""The money of the SQLite store, read: reports, each on a thread and a connection of its own, so that none of them
keeps the loop or the point look-ups waiting."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Final, TypeVar

from msgspec.structs import asdict

from reynard.core.errors import StoreUnavailable
from reynard.core.ledger import Account, Entry
from reynard.ports.store import Fault, Told, UsageFilter, UsagePage, UsageRow
from reynard.storage.sqlite import audit
from reynard.storage.sqlite.rows import Row, Rows

T = TypeVar("T")
PATIENCE_S: Final = 5.0


class AccountRows(Rows):
    """`ports.store.Accounts`."""

    async def accounts(self) -> Mapping[str, Account]:
        """See the port."""
        return {key_id: Account(*sums) for key_id, *sums in await self._reported("accounts", {})}

    async def entries(self, key_id: str, limit: int) -> Sequence[Entry]:
        """See the port."""
        names = ("key_id", "kind", "amount", "at", "task_id", "cost", "note")
        found = await self._reported("entries", (key_id, limit))
        return [Entry(**dict(zip(names, row, strict=True))) for row in found]

    async def usage(self, wanted: UsageFilter) -> UsagePage:
        """See the port."""
        name = "usage_of_all" if wanted.key_id is None else "usage_of_key"
        by = {field: field in wanted.by for field in ("day", "model", "key")}
        asked = {**asdict(wanted), **by, "skipped": (wanted.page - 1) * wanted.limit}
        del asked["by"], asked["page"]
        whole = {**asked, **dict.fromkeys(by, False), "limit": 1, "skipped": 0}
        rows = await self._reported(name, asked)
        totals = await self._reported(name, whole)
        total = _usage(totals[0]) if totals else UsageRow()
        return UsagePage([_usage(row) for row in rows[: wanted.limit]], total, has_more=len(rows) > wanted.limit)

    def audit(self, told: Told) -> Iterator[Fault]:
        """See the port."""
        with closing(self._opened()) as connection:
            yield from audit.faults(connection, told)

    async def _reported(self, name: str, parameters: Any) -> list[Row]:
        sql = self._sql[name]
        return await self._apart(lambda connection: connection.execute(sql, parameters).fetchall())

    async def _apart(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """`work`, on a thread."""

        def worked() -> T:
            with closing(self._opened()) as connection:
                return work(connection)

        try:
            return await asyncio.to_thread(worked)
        except sqlite3.OperationalError as error:
            raise StoreUnavailable("The store cannot be read now. Try again in a moment.") from error

    def _opened(self) -> sqlite3.Connection:
        _, _, path = self._reading.execute("PRAGMA database_list").fetchone()
        connection = sqlite3.connect(path, isolation_level=None, timeout=PATIENCE_S)
        connection.execute("PRAGMA query_only = ON")
        return connection


def _usage(row: Row) -> UsageRow:
    names = UsageRow.__struct_fields__
    return UsageRow(**dict(zip(names, row, strict=True)))
