"""How the writer of the SQLite store batches, and whom it never keeps waiting."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from reynard.core.errors import StoreUnavailable
from reynard.core.ledger import Account, Entry
from reynard.ports.telemetry import Unobserved
from reynard.storage.sqlite import SQLiteStore, tally, writer


class Sizes(Unobserved):
    """Of the transactions."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def committed(self, operations: int, seconds: float) -> None:
        self.seen.append(operations)


def grant(amount: int, key_id: str = "key-a") -> Entry:
    return Entry(key_id=key_id, kind="grant", amount=amount, at=1.0)


async def test_a_lock_that_somebody_else_has_never_stops_the_loop(store: SQLiteStore, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as thief:
        thief.execute("BEGIN IMMEDIATE")
        posting = asyncio.ensure_future(store.post(grant(1)))
        loop = asyncio.get_running_loop()
        longest = 0.0
        for _ in range(20):
            before = loop.time()
            await asyncio.sleep(0)
            longest = max(longest, loop.time() - before)
        assert not posting.done()
        assert longest < 1.0  # the patience is five
        thief.execute("ROLLBACK")
    await posting
    assert (await store.account("key-a")).balance == 1


async def test_a_busy_store_gathers_and_a_lone_caller_does_not_wait(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "GATHER_S", 3_600.0)
    sizes = Sizes()
    store.observe(sizes)
    await store.post(grant(1))
    await store.post(grant(1))
    await asyncio.gather(*(store.post(grant(1)) for _ in range(3)))
    first = asyncio.ensure_future(store.post(grant(1)))
    await asyncio.sleep(0)
    await asyncio.gather(first, *(store.post(grant(1)) for _ in range(2)))  # as many as the last had
    assert sizes.seen == [1, 1, 3, 3]
    assert (await store.account("key-a")).balance == 8


async def test_a_sum_that_is_too_large_is_the_fault_of_one(store: SQLiteStore) -> None:
    most = 2**63 - 1
    outcomes = await asyncio.gather(
        store.post(grant(most)), store.post(grant(1)), store.post(grant(1, "key-b")), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), sqlite3.IntegrityError, type(None)]
    assert await store.account("key-a") == Account(balance=most)
    assert await store.account("key-b") == Account(balance=1)
    assert [entry.amount for entry in await store.entries("key-a", 9)] == [most]


async def test_many_entries_of_one_transaction_are_kept_in_order(store: SQLiteStore) -> None:
    amounts = list(range(1, 2 * tally.TOGETHER + 4))
    sizes = Sizes()
    store.observe(sizes)
    await asyncio.gather(*(store.post(grant(amount)) for amount in amounts))
    assert sizes.seen == [len(amounts)]
    assert [entry.amount for entry in await store.entries("key-a", 99)] == amounts[::-1]
    assert (await store.account("key-a")).balance == sum(amounts)


@pytest.mark.parametrize("before", [1, tally.TOGETHER, tally.TOGETHER + 2])
async def test_of_many_entries_the_one_that_is_there_already_fails_alone(store: SQLiteStore, before: int) -> None:
    hold = replace(grant(-5), kind="hold", task_id="task-a")
    posts = [store.post(grant(1)) for _ in range(before)]
    outcomes = await asyncio.gather(
        store.post(hold), *posts, store.post(hold), store.post(grant(1)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [type(None)] * (before + 1) + [sqlite3.IntegrityError, type(None)]
    assert await store.account("key-a") == Account(balance=before + 1 - 5, reserved=5)
    assert len(await store.entries("key-a", 99)) == before + 2


async def test_an_older_gateway_that_runs_on_moves_accounts_too(store: SQLiteStore, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as older:
        older.execute(
            "INSERT INTO ledger (key_id, task_id, kind, amount, cost, at, note) "
            "VALUES ('key-a', 't', 'hold', -5, 0, 1, '')"
        )
    await store.post(grant(7))
    assert await store.account("key-a") == Account(balance=2, reserved=5)


async def test_who_asked_is_answered_whatever_the_observer_does(store: SQLiteStore) -> None:
    class Broken(Unobserved):
        def committed(self, operations: int, seconds: float) -> None:
            raise RuntimeError("no metrics today")

    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    store.observe(Broken())
    async with asyncio.timeout(5):
        await store.post(grant(1))
        await store.post(grant(1))
    store.observe(Unobserved())
    assert (await store.account("key-a")).balance == 2
    assert [type(error) for error in told] == [RuntimeError, RuntimeError]


async def test_a_store_that_cannot_write_closes_all_the_same_and_takes_nothing_more(path: Path) -> None:
    store = SQLiteStore(path, busy_timeout_s=0.01)
    with closing(sqlite3.connect(path, isolation_level=None)) as thief:
        thief.execute("BEGIN IMMEDIATE")
        posting = [asyncio.ensure_future(store.post(grant(1))) for _ in range(2)]
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await store.close()
            outcomes = await asyncio.gather(*posting, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 2
            with pytest.raises(StoreUnavailable):
                await store.post(grant(1))
