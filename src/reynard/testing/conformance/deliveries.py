"""The promises of `ports.store.Deliveries`, and of the keys that go with them."""

from msgspec.structs import replace

from reynard.core.task import Terms
from reynard.core.webhooks import TRIES_KEPT, Delivery, Try, again
from reynard.ports.store import DeliveryFilter, Store
from reynard.testing.conformance.store import NOW, RESULT, new_key, new_task

URL = "https://example.com/hook"
START = (0.0, "")


def tried(number: int, status: int | None = 500) -> Try:
    """A try, `number` seconds later."""
    return Try(at=NOW + number, status=status, error=None if status else "timeout", took_ms=number)


async def deliver(store: Store, number: int, *, key_id: str = "key-a", url: str = URL) -> Delivery:
    """The delivery of a task that ended `number` seconds later than the first."""
    from reynard.core.task import Status

    task = replace(new_task(number, key_id=key_id), terms=Terms(callback_url=url))
    await store.insert(replace(task, status=Status.COMPLETED, started=NOW, ended=NOW + number), None, RESULT)
    [made] = (await store.list_deliveries(DeliveryFilter(key_id=key_id, task_id=task.id))).deliveries
    return made


class DeliveryConformance:
    """Subclass it with a `store` fixture."""

    async def test_a_delivery_comes_with_the_end_of_its_task(self, store: Store) -> None:
        made = await deliver(store, 3)
        task_id = new_task(3).id
        due = NOW + 3
        assert made == Delivery(id=f"msg_{task_id}", task_id=task_id, key_id="key-a", url=URL, created=due, due=due)
        assert await store.find_delivery(made.id) == made
        assert await store.find_delivery("msg_none") is None

    async def test_what_is_due_comes_in_order_and_page_by_page(self, store: Store) -> None:
        made = [await deliver(store, number) for number in (4, 1, 3, 2)]
        ids = [one.id for one in sorted(made, key=lambda one: one.due)]
        assert [one.id for one in await store.due_deliveries(START, NOW + 3, 9)] == ids[:3]
        seen: list[str] = []
        at = START
        while page := await store.due_deliveries(at, NOW + 9, 1):
            seen.append(page[0].id)
            at = (page[0].due, page[0].id)
        assert seen == ids

    async def test_those_that_are_due_at_once_are_not_passed_over(self, store: Store) -> None:
        for number in (1, 2, 3):
            one = await deliver(store, number)
            await store.put_back(replace(one, due=NOW))
        first = await store.due_deliveries(START, NOW, 2)
        rest = await store.due_deliveries((first[-1].due, first[-1].id), NOW, 2)
        assert [one.task_id for one in [*first, *rest]] == [new_task(number).id for number in (1, 2, 3)]

    async def test_the_next_due_is_the_first_that_is_not_yet(self, store: Store) -> None:
        assert await store.next_delivery_due(NOW) is None
        for number in (1, 5, 7):
            await deliver(store, number)
        assert await store.next_delivery_due(NOW + 1) == NOW + 5
        assert await store.next_delivery_due(NOW + 7) is None

    async def test_a_try_and_what_it_made_are_kept(self, store: Store) -> None:
        made = await deliver(store, 1)
        later = replace(made, attempt=1, due=NOW + 60)
        assert await store.record_try(later, tried(1), was=made)
        assert await store.find_delivery(made.id) == later
        assert await store.record_try(replace(later, attempt=2, state="delivered"), tried(2, None), was=later)
        assert await store.due_deliveries(START, NOW + 1e9, 9) == []
        assert await store.next_delivery_due(NOW) is None
        assert await store.tries(made.id, 9) == [tried(1), tried(2, None)]
        assert await store.tries(made.id, 1) == [tried(2, None)]

    async def test_a_try_of_what_was_put_back_meanwhile_is_only_logged(self, store: Store) -> None:
        made = await deliver(store, 1)
        back = again(made, NOW + 2)
        assert await store.put_back(back)
        assert not await store.record_try(replace(made, attempt=1, state="delivered"), tried(3, 200), was=made)
        assert await store.find_delivery(made.id) == back
        assert await store.tries(made.id, 9) == [tried(3, 200)]
        assert not await store.put_back(replace(back, id="msg_none"))

    async def test_one_that_is_postponed_is_due_later_and_has_no_try_more(self, store: Store) -> None:
        made = await deliver(store, 1)
        later = replace(made, due=NOW + 9)
        assert await store.postpone(later, was=made)
        assert await store.find_delivery(made.id) == later
        assert not await store.postpone(replace(made, due=NOW + 20), was=made)  # it was put back meanwhile, say
        assert await store.find_delivery(made.id) == later
        assert await store.tries(made.id, 9) == []

    async def test_the_last_tries_are_kept(self, store: Store) -> None:
        made, other = await deliver(store, 1), await deliver(store, 2)
        await store.record_try(other, tried(0), was=other)
        for number in range(TRIES_KEPT + 3):
            await store.record_try(made, tried(number), was=made)
        assert await store.tries(made.id, 999) == [tried(number) for number in range(3, TRIES_KEPT + 3)]
        assert await store.tries(other.id, 999) == [tried(0)]

    async def test_deliveries_are_listed_newest_first(self, store: Store) -> None:
        made = [await deliver(store, number) for number in (1, 2, 3)]
        other = await deliver(store, 9, key_id="key-b")
        await store.record_try(replace(made[1], attempt=1, state="failed"), tried(5), was=made[1])
        page = await store.list_deliveries(DeliveryFilter(key_id="key-a", limit=2))
        assert ([one.id for one in page.deliveries], page.has_more) == ([made[2].id, made[1].id], True)
        rest = await store.list_deliveries(DeliveryFilter(key_id="key-a", after=made[1].id, limit=2))
        assert (rest.deliveries, rest.has_more) == ([made[0]], False)
        failed = await store.list_deliveries(DeliveryFilter(key_id="key-a", state="failed"))
        assert [one.id for one in failed.deliveries] == [made[1].id]
        every = await store.list_deliveries(DeliveryFilter(key_id=None))
        assert [one.id for one in every.deliveries] == [other.id, *(one.id for one in made[::-1])]

    async def test_a_key_is_found_by_its_id(self, store: Store) -> None:
        await store.add_key(new_key(1))
        assert await store.find_key(new_key(1).id) == new_key(1)
        assert await store.find_key("key-none") is None
