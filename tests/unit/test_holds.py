"""Credits between memory and the store: none is spent twice, and nobody is refused who can pay."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, cast

import pytest
from msgspec.structs import replace

from reynard.core.errors import InsufficientCredits, StoreUnavailable
from reynard.core.ledger import Account, Entry, insufficient
from reynard.core.task import Bill, Claimed, Completed, RunPolicy, Task, transition
from reynard.engine import holds as module
from reynard.engine.holds import Holds
from reynard.ports.store import Store
from reynard.storage.sqlite import SQLiteStore
from reynard.testing.conformance.store import GENERATION, NOW, new_task

PRICE: Final = 100


def task(number: int) -> Task:
    return replace(new_task(number), reserved=PRICE)


class Balance:
    """A store whose commits happen, and are told, when the test says so."""

    def __init__(self, balance: int) -> None:
        self.balance = balance
        self.commit, self.tell = asyncio.Event(), asyncio.Event()

    async def account(self, key_id: str) -> Account:
        return Account(self.balance)

    async def insert(self, spared: int) -> None:
        await self.commit.wait()
        left = self.balance - spared
        if left < PRICE:
            raise insufficient(PRICE, left)
        self.balance -= PRICE
        await self.tell.wait()

    def holds(self) -> Holds:
        return Holds(cast("Store", self))


async def until_idle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_hold_that_is_committed_and_not_told_yet_is_not_counted_twice() -> None:
    store = Balance(2 * PRICE)
    holds = store.holds()
    store.commit.set()
    first = asyncio.ensure_future(holds.store(task(1), store.insert))
    await until_idle()
    await holds.check(task(2))
    second = asyncio.ensure_future(holds.store(task(2), store.insert))
    await until_idle()
    store.tell.set()
    await asyncio.gather(first, second)
    assert store.balance == 0


async def test_a_call_in_place_waits_for_what_is_undecided_and_is_let_in() -> None:
    store = Balance(2 * PRICE)
    holds = store.holds()
    store.commit.set()
    first = asyncio.ensure_future(holds.store(task(1), store.insert))
    await until_idle()
    second = asyncio.ensure_future(holds.take(task(2)))
    await until_idle()
    assert not second.done()
    store.tell.set()
    await asyncio.gather(first, second)
    with pytest.raises(InsufficientCredits):
        await holds.take(task(3))


async def test_a_call_in_place_does_not_take_what_is_on_its_way_to_be_held() -> None:
    store = Balance(PRICE)
    holds = store.holds()
    first = asyncio.ensure_future(holds.store(task(1), store.insert))
    await until_idle()
    second = asyncio.ensure_future(holds.take(task(2)))
    await until_idle()
    store.commit.set()
    store.tell.set()
    await first
    with pytest.raises(InsufficientCredits):
        await second


async def test_a_commit_leaves_what_is_held_beside_the_store() -> None:
    store = Balance(PRICE)
    store.commit.set()
    holds = store.holds()
    await holds.take(task(1))
    with pytest.raises(InsufficientCredits):
        await holds.store(task(2), store.insert)
    holds.let_go(task(1))
    store.tell.set()
    await holds.store(task(3), store.insert)


async def test_a_call_whose_end_is_not_kept_yet_still_holds_what_it_may_cost() -> None:
    store = Balance(PRICE)
    store.commit.set()
    store.tell.set()
    holds = store.holds()
    await holds.take(task(1))
    holds.ends(task(1))
    first = asyncio.ensure_future(holds.store(task(2), store.insert))
    await until_idle()
    assert not first.done()
    store.balance -= PRICE  # its end is kept
    holds.let_go(task(1))
    with pytest.raises(InsufficientCredits):
        await first
    assert store.balance == 0


async def test_a_commit_that_is_never_told_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)
    store = Balance(PRICE)
    holds = store.holds()
    first = asyncio.ensure_future(holds.store(task(1), store.insert))
    await until_idle()
    with pytest.raises(StoreUnavailable):
        await holds.take(task(2))
    first.cancel()
    await asyncio.wait((first,))
    with pytest.raises(StoreUnavailable):
        await holds.take(task(2))
    holds.let_go(task(1))
    await holds.take(task(2))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    opened = SQLiteStore(tmp_path / "reynard.db")
    yield opened
    await opened.close()


async def in_place(holds: Holds, store: SQLiteStore, asked: Task) -> None:
    await holds.take(asked)
    await asyncio.sleep(0)
    bill = Bill(cost=PRICE, prompt_tokens=1, completion_tokens=1, model="m", channel="c")
    running = transition(asked, Claimed("worker-a"), NOW, RunPolicy())
    holds.ends(asked)
    await store.insert(transition(running, Completed(bill), NOW, RunPolicy()), None)
    holds.let_go(asked)


async def stored_first(holds: Holds, store: SQLiteStore, asked: Task) -> None:
    await holds.check(asked)
    await holds.store(asked, lambda spared: store.insert(asked, GENERATION, limited=True, spared=spared))


@pytest.mark.parametrize("covered", [60, 37, 1, 0])
async def test_exactly_those_are_let_in_whom_the_balance_covers(store: SQLiteStore, covered: int) -> None:
    await store.post(Entry(key_id="key-a", kind="grant", amount=covered * PRICE + PRICE - 1, at=NOW))
    holds = Holds(store)
    ways = (in_place, stored_first, stored_first, in_place)
    outcomes = await asyncio.gather(
        *(ways[number % 4](holds, store, task(number)) for number in range(60)), return_exceptions=True
    )
    assert {type(outcome) for outcome in outcomes if outcome is not None} <= {InsufficientCredits}
    assert sum(outcome is None for outcome in outcomes) == covered
    assert (await store.account("key-a")).balance == PRICE - 1
    assert holds._keys == {}
