"""The money of the SQLite store, read: reports."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

from msgspec.structs import asdict

from reynard.core.ledger import Account, Entry
from reynard.ports.store import Fault, Told, UsageFilter, UsagePage, UsageRow
from reynard.storage.sqlite import audit
from reynard.storage.sqlite.readers import opened
from reynard.storage.sqlite.rows import Row, Rows


class AccountRows(Rows):
    """`ports.store.Accounts`."""

    async def accounts(self) -> Mapping[str, Account]:
        """See the port."""
        return {key_id: Account(*sums) for key_id, *sums in await self._listed("", self._sql["accounts"], {})}

    async def entries(self, key_id: str, limit: int) -> Sequence[Entry]:
        """See the port."""
        names = ("key_id", "kind", "amount", "at", "task_id", "cost", "note")
        found = await self._listed(key_id, self._sql["entries"], (key_id, limit))
        return [Entry(**dict(zip(names, row, strict=True))) for row in found]

    async def usage(self, wanted: UsageFilter) -> UsagePage:
        """See the port."""
        name = "usage_of_all" if wanted.key_id is None else "usage_of_key"
        by = {field: field in wanted.by for field in ("day", "model", "key")}
        asked = {**asdict(wanted), **by, "skipped": (wanted.page - 1) * wanted.limit}
        del asked["by"], asked["page"]
        whole = {**asked, **dict.fromkeys(by, False), "limit": 1, "skipped": 0}
        caller, sql = wanted.key_id or "", self._sql[name]
        rows = await self._listed(caller, sql, asked)
        totals = await self._listed(caller, sql, whole)
        total = _usage(totals[0]) if totals else UsageRow()
        return UsagePage([_usage(row) for row in rows[: wanted.limit]], total, has_more=len(rows) > wanted.limit)

    def audit(self, told: Told) -> Iterator[Fault]:
        """See the port."""
        with closing(opened(self._path)) as connection:
            yield from audit.faults(connection, told)


def _usage(row: Row) -> UsageRow:
    names = UsageRow.__struct_fields__
    return UsageRow(**dict(zip(names, row, strict=True)))
