"""The webhooks of the SQLite store: an outbox, and the log of what was tried."""

import sqlite3

import msgspec

from reynard.core.webhooks import TRIES_KEPT, Delivery, Try
from reynard.ports.store import DeliveryFilter, DeliveryPage
from reynard.storage.sqlite import lists
from reynard.storage.sqlite.rows import Row, Rows


class DeliveryRows(Rows):
    """`ports.store.Deliveries`."""

    async def due_deliveries(self, start: tuple[float, str], now: float, limit: int) -> list[Delivery]:
        """See the port."""
        return [_delivery(row) for row in self._rows("due_deliveries", (*start, now, limit))]

    async def next_delivery_due(self, now: float) -> float | None:
        """See the port."""
        row = self._one("next_delivery_due", (now,))
        return None if row is None else row[0]

    async def record_try(self, delivery: Delivery, tried: Try, *, was: Delivery) -> bool:
        """See the port."""
        settled = _settled(delivery, was)
        row = {"id": was.id, "kept": TRIES_KEPT, **msgspec.structs.asdict(tried)}

        def record(connection: sqlite3.Connection) -> bool:
            connection.execute(self._sql["add_try"], row)
            connection.execute(self._sql["forget_tries"], row)
            return connection.execute(self._sql["settle_delivery"], settled).rowcount == 1

        return await self._writer.run(record)

    async def postpone(self, delivery: Delivery, *, was: Delivery) -> bool:
        """See the port."""
        sql, row = self._sql["settle_delivery"], _settled(delivery, was)
        return await self._writer.run(lambda connection: connection.execute(sql, row).rowcount) == 1

    async def put_back(self, delivery: Delivery) -> bool:
        """See the port."""
        sql, row = self._sql["put_back_delivery"], (delivery.state, delivery.attempt, delivery.due, delivery.id)
        return await self._writer.run(lambda connection: connection.execute(sql, row).rowcount) == 1

    async def find_delivery(self, delivery_id: str) -> Delivery | None:
        """See the port."""
        row = self._one("find_delivery", (delivery_id,))
        return None if row is None else _delivery(row)

    async def tries(self, delivery_id: str, limit: int) -> list[Try]:
        """See the port."""
        found = [
            Try(at=row[0], status=row[1], error=row[2], took_ms=row[3])
            for row in self._rows("tries", (delivery_id, limit))
        ]
        return found[::-1]

    async def list_deliveries(self, wanted: DeliveryFilter) -> DeliveryPage:
        """See the port."""
        sql = self._sql["list_deliveries"].format(**lists.deliveries(wanted)._asdict())
        rows = await self._listed(wanted.key_id or "", sql, msgspec.structs.asdict(wanted))
        found = [_delivery(row) for row in rows]
        return DeliveryPage(found[: wanted.limit], has_more=len(found) > wanted.limit)


def _settled(delivery: Delivery, was: Delivery) -> Row:
    return (delivery.state, delivery.attempt, delivery.due, was.id, was.state, was.attempt, was.due)


def _delivery(row: Row) -> Delivery:
    return Delivery(
        id=row[0],
        task_id=row[1],
        key_id=row[2],
        url=row[3],
        created=row[4],
        due=row[5],
        state=row[6],
        attempt=row[7],
    )
