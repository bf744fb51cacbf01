"""The promises of `ports.store.Accounts`, and that of the ledger behind it."""

from msgspec.structs import replace

from reynard.core.errors import InsufficientCredits
from reynard.core.ledger import MICRO, Account, Entry, at_end, at_start
from reynard.core.task import Bill, Cancelled, Completed, Event, Failed, Task, TaskError, transition
from reynard.ports.store import Store, UsageFilter, UsageRow
from reynard.testing.conformance.store import GENERATION, NOW, POLICY, RESULT, claimed, new_task

DAY_S = 86_400.0
FIRST, LAST = "2026-04-01", "2026-04-30"
DAYS = ("2026-04-22", "2026-04-23", "2026-04-24")  # of NOW, and the two behind it


def grant(key_id: str = "key-a", whole: int = 10, note: str = "") -> Entry:
    """Some whole credits."""
    return Entry(key_id=key_id, kind="grant", amount=whole * MICRO, at=NOW, note=note)


def bill(cost: int, model: str = "gpt-5.5") -> Bill:
    """What a task used; `cost` in micro-credits."""
    return Bill(cost=cost, prompt_tokens=10, completion_tokens=5, model=model, channel="up")


def reserving(number: int, reserved: int, key_id: str = "key-a") -> Task:
    """A pending task that holds `reserved` micro-credits."""
    return replace(new_task(number, key_id=key_id), reserved=reserved)


async def used(store: Store, number: int, cost: int, *, day: int = 0, key_id: str = "key-a", model: str = "m") -> Task:
    """A task that is completed on a day, and costs something."""
    task = replace(claimed(new_task(number, key_id=key_id)), reserved=cost)
    ended = transition(task, Completed(bill(cost, model)), NOW + day * DAY_S, POLICY)
    await store.insert(ended, None, RESULT)
    return ended


def row(cost: int, tasks: int = 1, **names: str) -> UsageRow:
    """Of tasks that were completed."""
    return UsageRow(
        tasks=tasks, completed=tasks, prompt_tokens=10 * tasks, completion_tokens=5 * tasks, cost=cost, **names
    )


class AccountsConformance:
    """Subclass it with a `store` fixture."""

    async def test_a_balance_is_what_was_granted_less_what_is_held_and_used(self, store: Store) -> None:
        assert await store.account("key-a") == Account()
        assert await store.accounts() == {}
        await store.post(grant())
        task = claimed(reserving(1, 3 * MICRO))
        await store.insert(task, GENERATION, limited=True)
        assert await store.account("key-a") == Account(7 * MICRO, 3 * MICRO, 0)
        await store.save(transition(task, Completed(bill(MICRO)), NOW, POLICY), RESULT)
        await store.post(grant("key-b", -1))
        a, b = Account(9 * MICRO, 0, MICRO), Account(-MICRO, 0, 0)
        assert await store.accounts() == {"key-a": a, "key-b": b}
        assert await store.account("key-a") == a

    async def test_a_key_that_owes_gets_what_costs_nothing_and_no_more(self, store: Store) -> None:
        await store.post(grant(whole=-1))
        refused = False
        try:
            await store.insert(reserving(1, 1), GENERATION, limited=True)
        except InsufficientCredits:
            refused = True
        assert refused
        assert await store.find(reserving(1, 1).id) is None
        await store.insert(reserving(2, 0), GENERATION, limited=True)
        assert await store.find(reserving(2, 0).id) is not None

    async def test_entries_are_ones_own_newest_first(self, store: Store) -> None:
        ended = transition(claimed(reserving(1, 5)), Completed(bill(7)), NOW, POLICY)
        await store.post(grant(note="=1+1"))
        await store.post(grant("key-b"))
        await store.insert(claimed(reserving(1, 5)), GENERATION)
        await store.save(ended, RESULT)
        newest = [*at_end(ended), *at_start(ended), grant(note="=1+1")]
        assert await store.entries("key-a", 9) == newest
        assert await store.entries("key-a", 2) == newest[:2]
        assert await store.entries("key-none", 9) == []

    async def test_usage_is_told_apart_as_asked(self, store: Store) -> None:
        await used(store, 1, 100, key_id="key-b")
        await used(store, 2, 200, model="n")
        await used(store, 3, 300, model="n")
        await used(store, 4, 400, day=1)

        async def rows(*by: str, key_id: str | None = None) -> list[UsageRow]:
            wanted = UsageFilter(first=FIRST, last=LAST, key_id=key_id, by=frozenset(by))  # type: ignore[arg-type]
            page = await store.usage(wanted)
            assert not page.has_more
            assert page.total == (row(1_000, 4) if key_id is None else row(900, 3))
            return page.rows

        assert await rows() == [row(1_000, 4)]
        assert await rows("day") == [row(600, 3, day=DAYS[0]), row(400, day=DAYS[1])]
        assert await rows("model") == [row(500, 2, model="m"), row(500, 2, model="n")]
        assert await rows("key") == [row(900, 3, key_id="key-a"), row(100, key_id="key-b")]
        assert await rows("day", "model", "key") == [
            row(100, day=DAYS[0], model="m", key_id="key-b"),
            row(500, 2, day=DAYS[0], model="n", key_id="key-a"),
            row(400, day=DAYS[1], model="m", key_id="key-a"),
        ]
        assert await rows("day", key_id="key-a") == [row(500, 2, day=DAYS[0]), row(400, day=DAYS[1])]

    async def test_usage_is_of_the_days_asked_for_page_by_page(self, store: Store) -> None:
        for day in range(3):
            await used(store, day, 10, day=day)
        for key_id in (None, "key-a"):
            wanted = UsageFilter(first=DAYS[0], last=DAYS[1], key_id=key_id, by=frozenset({"day"}), limit=1)
            first, second, third = [await store.usage(replace(wanted, page=page)) for page in (1, 2, 3)]
            assert (first.rows, first.has_more) == ([row(10, day=DAYS[0])], True)
            assert (second.rows, second.has_more) == ([row(10, day=DAYS[1])], False)
            assert third.rows == []
            assert first.total == second.total == third.total == row(20, 2)
        nothing = await store.usage(UsageFilter(first=FIRST, last=FIRST, key_id="key-a", by=frozenset({"day"})))
        assert (nothing.rows, nothing.total) == ([], UsageRow())

    async def test_usage_counts_every_end(self, store: Store) -> None:
        failed = Failed(TaskError("upstream_error", "no"))
        ends: tuple[Event, ...] = (failed, Cancelled(bill(5)), Completed(bill(6)))
        for number, event in enumerate(ends):
            await store.insert(transition(claimed(new_task(number)), event, NOW, POLICY), None)
        page = await store.usage(UsageFilter(first=FIRST, last=LAST))
        assert page.rows == [UsageRow(tasks=3, completed=1, prompt_tokens=20, completion_tokens=10, cost=11)]

    async def test_an_audit_of_all_that_can_happen_finds_nothing(self, store: Store) -> None:
        await make_every_kind(store)
        heard: list[tuple[int, int]] = []
        assert list(store.audit(lambda done, of: heard.append((done, of)))) == []
        assert heard[-1][0] == heard[-1][1] > 0

    async def test_an_audit_of_nothing_finds_nothing(self, store: Store) -> None:
        assert list(store.audit(lambda done, of: None)) == []


async def make_every_kind(store: Store) -> None:
    """Entries of every kind: task 1 is settled, 2 refunded, 3 under way, 4 settled without a hold, 5 above its hold."""
    for key_id in ("key-a", "key-b"):
        await store.post(grant(key_id))
    failed = Failed(TaskError("upstream_error", "no"))
    for number, reserved, event in (
        *((1, 3 * MICRO, Completed(bill(2 * MICRO))), (2, 2 * MICRO, failed), (3, MICRO, None)),
        *((4, 0, Completed(bill(MICRO // 2))), (5, MICRO, Cancelled(bill(4 * MICRO)))),
    ):
        task = claimed(reserving(number, reserved))
        await store.insert(task, GENERATION)
        if event is not None:
            assert await store.save(transition(task, event, NOW, POLICY))
