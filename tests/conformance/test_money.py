"""Whatever happens, in whatever order, and wherever the process dies: the money is right after every step."""

import asyncio
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)
from msgspec.structs import replace

from reynard.core.errors import InsufficientCredits
from reynard.core.idempotency import Repeat, Repeated
from reynard.core.ledger import Account, Entry
from reynard.core.task import (
    Bill,
    Cancelled,
    Claimed,
    Completed,
    Event,
    Failed,
    Lost,
    Read,
    Released,
    RunPolicy,
    Task,
    TaskError,
    transition,
)
from reynard.ports.store import UsageFilter
from reynard.storage.sqlite import SQLiteStore
from reynard.testing.conformance.store import GENERATION, NOW, new_task

LIMITED = ("key-a", "key-b")
KEYS = (*LIMITED, "key-free")
POLICY = RunPolicy(max_claims=3)
BROKEN = TaskError("upstream_error", "It broke.")

keys = st.sampled_from(KEYS)
reservations = st.integers(0, 40)
costs = st.none() | st.integers(0, 60)  # above any reservation too


def bill(cost: int | None) -> Bill | None:
    if cost is None:
        return None
    return Bill(cost=cost, prompt_tokens=2, completion_tokens=1, model="m", channel="c", estimated=cost % 2 == 1)


def ending(kind: str, cost: int | None) -> Event:
    events: dict[str, Event] = {
        "completed": Completed(bill(cost)),
        "failed": Failed(BROKEN, bill(cost)),
        "cancelled": Cancelled(bill(cost)),
    }
    return events[kind]


ends = st.builds(ending, st.sampled_from(["completed", "failed", "cancelled"]), costs)


class Money(RuleBasedStateMachine):
    """The store, against what its tasks and grants say that the accounts must be."""

    tasks = Bundle("tasks")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "reynard.db"
        self.opened: list[SQLiteStore] = []
        self.known: dict[str, Task] = {}
        self.granted: Counter[str] = Counter()
        self.taken_back: Counter[str] = Counter()
        self.number = 0
        self.open()

    def teardown(self) -> None:
        for store in self.opened:
            self.run(store.close())
        self.runner.close()
        self.folder.cleanup()

    def open(self) -> None:
        async def opened() -> SQLiteStore:
            return SQLiteStore(self.path)

        self.store = self.run(opened())
        self.opened.append(self.store)

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def new(self, key_id: str, reserved: int, *, stream: bool = False, sync: bool = False) -> Task:
        self.number += 1
        return replace(new_task(self.number, key_id=key_id, stream=stream), reserved=reserved, sync=sync)

    def account(self, key_id: str) -> Account:
        """What the tasks and grants come to."""
        own = [task for task in self.known.values() if task.key_id == key_id]
        reserved = sum(task.reserved for task in own if not task.is_ended)
        used = sum(task.bill.cost for task in own if task.bill is not None)
        return Account(self.granted[key_id] - reserved - used, reserved, used)

    def covers(self, key_id: str, reserved: int) -> bool:
        return key_id not in LIMITED or reserved <= max(0, self.account(key_id).balance)

    def reread(self) -> None:
        """After a crash the store is right, whatever was under way."""
        for task_id in self.known:
            self.known[task_id] = self.run(self.store.find(task_id))[0]

    async def insert(self, task: Task, repeat: Repeat | None = None) -> bool:
        """False if the balance does not cover it."""
        limited = task.key_id in LIMITED
        generation = None if task.is_ended else GENERATION
        try:
            await self.store.insert(task, generation, limited=limited, repeat=repeat)
        except InsufficientCredits:
            return False
        self.known[task.id] = task
        return True

    async def save(self, task: Task) -> bool:
        kept: bool = await self.store.save(task)
        if kept:
            self.known[task.id] = task
        return kept

    def after(self, task: Task, event: Event) -> Task:
        return transition(task, event, NOW + 1, POLICY)

    @initialize(amount=st.integers(0, 100))
    def begin(self, amount: int) -> None:
        for key_id in LIMITED:
            self.grant(key_id, amount)

    @rule(key_id=keys, amount=st.integers(-10, 100))
    def grant(self, key_id: str, amount: int) -> None:
        self.run(self.store.post(Entry(key_id=key_id, kind="grant", amount=amount, at=NOW)))
        self.granted[key_id] += amount
        self.taken_back[key_id] += max(0, -amount)

    @rule(target=tasks, key_id=keys, reserved=reservations, stream=st.booleans(), claimed=st.booleans())
    def submit(self, key_id: str, reserved: int, stream: bool, claimed: bool) -> Any:
        task = self.new(key_id, reserved, stream=stream)
        task = self.after(task, Claimed("w")) if claimed else task
        covered = self.covers(key_id, reserved)
        assert self.run(self.insert(task)) is covered
        return task.id if covered else multiple()

    @rule(key_id=keys, reserved=reservations, event=ends)
    def call(self, key_id: str, reserved: int, event: Event) -> None:
        """A sync call, stored once, with its end."""
        task = self.after(self.after(self.new(key_id, reserved, sync=True), Claimed("w")), event)
        covered = self.covers(key_id, reserved)
        assert self.run(self.insert(task)) is covered

    @rule(target=tasks, key_id=keys, reserved=st.lists(st.integers(1, 40), min_size=2, max_size=6))
    def submit_many_at_once(self, key_id: str, reserved: list[int]) -> Any:
        new = [self.new(key_id, amount) for amount in reserved]

        async def together() -> list[bool]:
            return await asyncio.gather(*(self.insert(task) for task in new))

        taken = self.run(together())
        assert all(taken) or key_id in LIMITED
        return multiple(*(task.id for task, is_taken in zip(new, taken, strict=True) if is_taken))

    @rule(key_id=keys, reserved=reservations)
    def submit_twice_under_one_name(self, key_id: str, reserved: int) -> None:
        repeat = Repeat(f"name-{self.number}", b"body")
        if self.run(self.insert(self.new(key_id, reserved), repeat)):
            with pytest.raises(Repeated):
                self.run(self.store.insert(self.new(key_id, 5), GENERATION, repeat=repeat))

    @rule(task_id=tasks)
    def insert_again(self, task_id: str) -> None:
        with pytest.raises(sqlite3.IntegrityError):
            self.run(self.store.insert(replace(self.known[task_id], reserved=7), None))

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        for task, _ in self.run(self.store.claim("w", limit, 1_000_000, NOW)):
            self.known[task.id] = task

    @rule(task_id=tasks)
    def read(self, task_id: str) -> None:
        task = self.known[task_id]
        if task.owner and task.stream and not task.read:
            assert self.run(self.save(self.after(task, Read())))

    @rule(task_id=tasks, event=st.builds(Released) | st.builds(Lost, st.builds(bill, costs)))
    def break_off(self, task_id: str, event: Event) -> None:
        if self.known[task_id].owner:
            assert self.run(self.save(self.after(self.known[task_id], event)))

    @rule(task_id=tasks, event=ends)
    def end(self, task_id: str, event: Event) -> None:
        task = self.known[task_id]
        if task.owner or (not task.is_ended and isinstance(event, Cancelled)):
            assert self.run(self.save(self.after(task, event)))

    @rule(task_id=tasks, events=st.lists(ends, min_size=2, max_size=4))
    def end_several_times_at_once(self, task_id: str, events: list[Event]) -> None:
        task = self.known[task_id]
        if not task.owner:
            return

        async def together() -> list[bool]:
            return await asyncio.gather(*(self.save(self.after(task, event)) for event in events))

        assert self.run(together()).count(True) == 1

    @rule(task_id=consumes(tasks), event=ends)
    def end_once_more(self, task_id: str, event: Event) -> None:
        """What comes late: from a worker that was taken for dead, or for what has ended already."""
        task = self.known[task_id]
        if task.is_ended:
            late = replace(task, bill=bill(9))
            assert not self.run(self.save(late))
            assert not self.run(self.save(self.after(replace(task, status="processing", version=0), event)))

    @rule(before=st.floats(NOW, NOW + 2), limit=st.integers(1, 9))
    def fold(self, before: float, limit: int) -> None:
        """Any number of entries, so that a hold may be folded before its end."""
        self.run(self.store.fold_ledger(before, limit))

    @rule()
    def crash(self) -> None:
        self.open()
        self.reread()

    @rule(task_id=tasks, event=ends, key_id=keys, reserved=reservations)
    def crash_in_the_middle(self, task_id: str, event: Event, key_id: str, reserved: int) -> None:
        """With a submit and an end on their way: each is there, or not, and never half."""
        task, new = self.known[task_id], self.new(key_id, reserved)

        async def cut() -> None:
            going: list[Any] = [asyncio.ensure_future(self.insert(new))]
            if task.owner:
                going.append(asyncio.ensure_future(self.save(self.after(task, event))))
            await asyncio.sleep(0)
            for each in going:
                each.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*going)
            await self.store.post(
                Entry(key_id=key_id, kind="grant", amount=0, at=NOW)
            )  # what is on its way has arrived

        self.run(cut())
        self.open()
        if self.run(self.store.find(new.id)) is not None:
            self.known[new.id] = new
        self.reread()

    @invariant()
    def accounts_are_what_the_tasks_and_grants_come_to(self) -> None:
        accounts = self.run(self.store.accounts())
        for key_id in KEYS:
            assert accounts.get(key_id, Account()) == self.account(key_id) == self.run(self.store.account(key_id))

    @invariant()
    def entries_sum_to_the_balances(self) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            sums = "SELECT key_id, sum(amount), sum(cost) FROM ledger GROUP BY key_id"
            for key_id, amount, cost in connection.execute(sums):
                assert (amount, cost) == (self.account(key_id).balance, self.account(key_id).used)
            counted = "SELECT count(*) FROM ledger WHERE kind {} GROUP BY task_id ORDER BY 1 DESC LIMIT 1"
            for kinds in ("= 'hold'", "IN ('settlement', 'refund')"):
                assert connection.execute(counted.format(kinds)).fetchone() in (None, (1,))

    @invariant()
    def holds_are_settlements_refunds_and_what_is_open(self) -> None:
        """Of all that was not folded; a hold goes before its end."""
        with closing(sqlite3.connect(self.path)) as connection:
            held = dict(connection.execute("SELECT task_id, -amount FROM ledger WHERE kind = 'hold'"))
            ends = "SELECT task_id, amount + cost FROM ledger WHERE kind IN ('settlement', 'refund')"
            ended = dict(connection.execute(ends))
        for task_id, amount in held.items():
            task = self.known[task_id]
            assert (task.reserved, task.is_ended) == (amount, task_id in ended)
            assert ended.get(task_id, amount) == amount
        still_open = {task.id for task in self.known.values() if task.reserved and not task.is_ended}
        assert held.keys() - ended.keys() == still_open

    @invariant()
    def a_limited_balance_falls_below_zero_only_by_what_cost_more_than_it_reserved(self) -> None:
        for key_id in LIMITED:
            own = [task for task in self.known.values() if task.key_id == key_id]
            above = sum(max(0, task.bill.cost - task.reserved) for task in own if task.bill is not None)
            assert self.account(key_id).balance >= -above - self.taken_back[key_id]

    @invariant()
    def usage_counts_each_end_once(self) -> None:
        page = self.run(self.store.usage(UsageFilter(first="2026-01-01", last="2026-12-31")))
        ended = [task for task in self.known.values() if task.is_ended]
        assert page.total.tasks == len(ended)
        assert page.total.cost == sum(task.bill.cost for task in ended if task.bill is not None)

    @invariant()
    def an_audit_finds_nothing(self) -> None:
        assert list(self.store.audit(lambda done, of: None)) == []


TestMoney = Money.TestCase
TestMoney.settings = settings(
    max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
