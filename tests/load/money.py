"""The money of a gateway's store, as the rows have it."""

import sqlite3
from contextlib import closing
from typing import Any

from tests.processes import Gateway

from reynard.bootstrap.data_dir import new_key, open_store
from reynard.bootstrap.system import SystemChance, SystemClock
from reynard.core.keys import Key
from reynard.core.ledger import Account, Entry


async def limited_key(gateway: Gateway, micro_credits: int) -> tuple[str, Key]:
    """A key that may use no more than it was given; the gateway may run."""
    clock = SystemClock()
    secret, key = new_key(SystemChance(), clock, name="limited", limited=True)
    store = open_store(gateway.folder / "data")
    try:
        await store.add_key(key)
        await store.post(Entry(key_id=key.id, kind="grant", amount=micro_credits, at=clock.now()))
    finally:
        await store.close()
    return secret, key


def rows(gateway: Gateway, sql: str) -> list[Any]:
    """What the store answers to a question, while the gateway runs."""
    with closing(sqlite3.connect(gateway.folder / "data" / "reynard.db")) as connection:
        return connection.execute(sql).fetchall()


def accounts(gateway: Gateway) -> dict[str, Account]:
    """Of each key."""
    found = rows(gateway, "SELECT key_id, balance, reserved, used FROM accounts")
    return {key_id: Account(*amounts) for key_id, *amounts in found}


def check_sums(gateway: Gateway) -> None:
    """When nothing is under way: accounts are what their entries come to, and every hold has one end."""
    summed = rows(gateway, "SELECT key_id, sum(amount), sum(cost) FROM ledger GROUP BY key_id")
    kept = accounts(gateway)
    assert {key_id: Account(amount, 0, cost) for key_id, amount, cost in summed} == kept
    ended = rows(
        gateway,
        "SELECT h.task_id, count(e.seq) FROM ledger h LEFT JOIN ledger e "
        "ON e.task_id = h.task_id AND e.kind IN ('settlement', 'refund') WHERE h.kind = 'hold' GROUP BY h.task_id",
    )
    assert {count for _, count in ended} <= {1}
