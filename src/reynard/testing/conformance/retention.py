"""The promises of `ports.store.ChunkRows` and `ports.store.Retention`."""

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from reynard.core.idempotency import Repeat
from reynard.core.ledger import Entry
from reynard.core.task import Bill, Completed, Task, Terms, transition
from reynard.core.webhooks import GRACE_S, Try, again
from reynard.ports.store import ChunkRow, Store
from reynard.testing.conformance.store import GENERATION, NOW, POLICY, RESULT, claimed, new_task


async def all_chunks(store: Store, task_id: str) -> list[bytes]:
    """A stream, page by page."""
    chunks: list[bytes] = []
    while page := await store.read_chunks(task_id, len(chunks)):
        chunks += page
    return chunks


async def swept(sweep: Callable[[float, int], Awaitable[int]], before: float, limit: int) -> int:
    """How many went, all batches together."""
    total = 0
    while count := await sweep(before, limit):
        assert count <= limit
        total += count
    return total


def costly(number: int) -> Task:
    """A task that holds ten micro-credits."""
    return replace(new_task(number), reserved=10)


def ended_at(ended: float, task: Task) -> Task:
    """The task, completed then, for three of its micro-credits."""
    bill = Bill(cost=3, prompt_tokens=1, completion_tokens=1, model="gpt-5.5", channel="up")
    return transition(claimed(task), Completed(bill), ended, POLICY)


class RetentionConformance:
    """Subclass it with a `store` fixture."""

    # chunks

    async def test_chunks_are_read_as_they_were_written(self, store: Store) -> None:
        one, other = [b'{"a":"\\n"}', b"2", b"3"], [b"x" * 700_000, b"y" * 700_000, b"z"]
        await store.write_chunks([ChunkRow("a", 0, one[:2]), ChunkRow("b", 0, other[:1])], NOW)
        await store.write_chunks([ChunkRow("b", 1, other[1:]), ChunkRow("a", 2, one[2:])], NOW)
        assert await all_chunks(store, "a") == one
        assert await all_chunks(store, "b") == other
        assert len(await store.read_chunks("b", 0)) == 1  # a page is bounded, and one row at least
        for number in range(4):
            assert await store.read_chunks("a", number) == one[number:]  # wherever it is in a row
        assert len(await store.read_chunks("a", 1, 5)) == 1
        assert await store.has_chunks("a")
        assert not await store.has_chunks("c")
        assert await store.read_chunks("c", 0) == []

    async def test_a_row_written_again_is_replaced(self, store: Store) -> None:
        await store.write_chunks([ChunkRow("a", 0, [b"0"])], NOW)
        await store.write_chunks([ChunkRow("a", 0, [b"0", b"1"])], NOW)
        assert await all_chunks(store, "a") == [b"0", b"1"]

    async def test_chunks_behind_a_gap_are_not_there(self, store: Store) -> None:
        await store.write_chunks([ChunkRow("a", 0, [b"0"]), ChunkRow("a", 2, [b"2"]), ChunkRow("b", 1, [b"1"])], NOW)
        assert await all_chunks(store, "a") == [b"0"]
        assert await all_chunks(store, "b") == []

    async def test_dropped_chunks_are_gone_and_only_they(self, store: Store) -> None:
        await store.write_chunks([ChunkRow("a", 0, [b"0"]), ChunkRow("a", 1, [b"1"]), ChunkRow("b", 0, [b"b"])], NOW)
        await store.drop_chunks("a")
        assert not await store.has_chunks("a")
        assert await all_chunks(store, "b") == [b"b"]

    async def test_what_was_logged_becomes_rows_behind_those_that_are_there(self, store: Store) -> None:
        await store.write_chunks([ChunkRow("a", 0, [b"0", b"1"])], NOW)
        first = await store.log_chunks([ChunkRow("a", 1, [b"1", b"2"]), ChunkRow("b", 0, [b"b"])], 0)
        again = await store.log_chunks([ChunkRow("a", 1, [b"1", b"2"]), ChunkRow("a", 3, [b"3"])], 0)
        last = await store.log_chunks([ChunkRow("a", 5, [b"5"]), ChunkRow("c", 1, [b"1"])], 0)
        assert first < again < last
        assert await all_chunks(store, "a") == [b"0", b"1"]
        for _ in range(2):
            await store.file_logged(NOW)
            assert await all_chunks(store, "a") == [b"0", b"1", b"2", b"3"]  # the gap behind is not passed over
            assert await all_chunks(store, "b") == [b"b"]
            assert not await store.has_chunks("c")
        assert await store.log_chunks([ChunkRow("a", 4, [b"4"])], 0) > last

    async def test_entries_of_the_log_go_when_they_are_not_needed(self, store: Store) -> None:
        numbers = [await store.log_chunks([ChunkRow(name, 0, [name.encode()])], 0) for name in "abc"]
        assert await store.log_chunks([], numbers[2]) == 0
        await store.file_logged(NOW)
        assert [await all_chunks(store, name) for name in "abc"] == [[], [], [b"c"]]

    async def test_of_a_dropped_stream_only_what_was_logged_later_becomes_rows(self, store: Store) -> None:
        await store.log_chunks([ChunkRow("a", 0, [b"old", b"text"]), ChunkRow("b", 0, [b"b"])], 0)
        await store.drop_chunks("a")
        await store.drop_chunks("b")
        await store.log_chunks([ChunkRow("a", 0, [b"new"])], 0)
        await store.file_logged(NOW)
        assert await all_chunks(store, "a") == [b"new"]
        assert not await store.has_chunks("b")

    async def test_rows_of_a_stream_that_runs_stay_however_old(self, store: Store) -> None:
        running, ended, late = (claimed(new_task(number, stream=True)) for number in (1, 2, 3))
        for task in (running, ended, late):
            await store.insert(task, GENERATION)
        await store.save(transition(ended, Completed(), NOW + 10, POLICY), RESULT)
        await store.save(transition(late, Completed(), NOW + 11, POLICY), RESULT)
        for name in (running.id, ended.id, late.id, "gone"):
            await store.write_chunks([ChunkRow(name, first, [b"0"]) for first in range(5)], NOW)
        assert await swept(store.sweep_chunks, NOW + 10, 3) == 10
        there = [name for name in (running.id, ended.id, late.id, "gone") if await store.has_chunks(name)]
        assert there == [running.id, late.id]
        assert await all_chunks(store, running.id) == [b"0"] * 5

    # retention

    async def test_a_batch_is_no_larger_than_was_asked_for(self, store: Store) -> None:
        for number in range(5):
            await store.insert(ended_at(NOW, new_task(number)), None, RESULT)
        assert [await store.sweep_tasks(NOW, 2) for _ in range(4)] == [2, 2, 1, 0]

    async def test_old_tasks_go_and_what_they_cost_stays(self, store: Store) -> None:
        old, young, running = ended_at(NOW, costly(1)), ended_at(NOW + 1, costly(2)), claimed(costly(3))
        for task in (old, young, running):
            await store.insert(task, GENERATION if not task.is_ended else None)
        before = await store.account("key-a")
        assert await swept(store.sweep_tasks, NOW, 10) == 1
        assert await store.find(old.id) is None
        assert await store.find(young.id) == (young, None)
        assert await store.find(running.id) == (running, None)
        assert await store.account("key-a") == before

    async def test_results_go_and_their_tasks_stay(self, store: Store) -> None:
        old, young = ended_at(NOW, new_task(1)), ended_at(NOW + 1, new_task(2))
        for task in (old, young):
            await store.insert(task, None, RESULT)
        assert await swept(store.sweep_results, NOW, 10) == 1
        assert await store.find(old.id) == (old, None)
        assert await store.find(young.id) == (young, RESULT)

    async def test_a_result_that_is_still_to_be_delivered_stays(self, store: Store) -> None:
        told = replace(new_task(1), terms=Terms(callback_url="https://example.com/hook"))
        await store.insert(ended_at(NOW, told), None, RESULT)
        assert await store.sweep_results(NOW + 1, 10) == 0
        assert await store.sweep_tasks(NOW + GRACE_S - 1, 10) == 0
        [made] = await store.due_deliveries((0.0, ""), NOW + 1, 9)
        tried = Try(at=NOW, status=204, took_ms=1)
        assert await store.record_try(replace(made, state="delivered", attempt=1), tried, was=made)
        assert await swept(store.sweep_results, NOW + 1, 10) == 1

    async def test_a_task_that_is_delivered_again_and_again_goes_in_the_end(self, store: Store) -> None:
        told = replace(new_task(1), terms=Terms(callback_url="https://example.com/hook"))
        await store.insert(ended_at(NOW, told), None, RESULT)
        [made] = await store.due_deliveries((0.0, ""), NOW, 9)
        assert await store.put_back(again(made, NOW + GRACE_S))
        assert await swept(store.sweep_results, NOW + GRACE_S, 10) == 1
        assert await swept(store.sweep_tasks, NOW + GRACE_S, 10) == 1
        assert await store.find_delivery(made.id) is None
        assert not await store.record_try(made, Try(at=NOW, status=204, took_ms=1), was=made)
        assert await store.tries(made.id, 9) == []

    async def test_idempotency_keys_of_tasks_that_are_gone_are_forgotten(self, store: Store) -> None:
        running, ended, young = new_task(1), ended_at(NOW, replace(new_task(2), created=NOW)), new_task(3)
        for number, task in enumerate((running, ended, young)):
            await store.insert(task, None if task.is_ended else GENERATION, repeat=Repeat(f"r{number}", b"f"))
        assert await store.sweep_lone_repeats(NOW + 9, 10) == 0
        assert await swept(store.sweep_tasks, NOW, 10) == 1
        assert await store.sweep_lone_repeats(NOW - 1, 10) == 0
        assert await swept(store.sweep_lone_repeats, NOW + 9, 10) == 1
        kept = [await store.repeated("key-a", f"r{number}") is not None for number in range(3)]
        assert kept == [True, False, True]

    async def test_idempotency_keys_are_forgotten(self, store: Store) -> None:
        for number in (1, 2):
            await store.insert(new_task(number), GENERATION, repeat=Repeat(f"r{number}", b"f"))
        assert await swept(store.sweep_repeats, NOW + 1, 10) == 1
        assert await store.repeated("key-a", "r1") is None
        assert await store.repeated("key-a", "r2") == (Repeat("r2", b"f"), new_task(2).id)

    async def test_a_folded_ledger_adds_up_to_the_same(self, store: Store) -> None:
        for key_id in ("key-a", "key-b"):
            await store.post(Entry(key_id=key_id, kind="grant", amount=1_000, at=NOW))
        open_hold, late = claimed(costly(7)), claimed(costly(8))
        for task in (open_hold, late, *(ended_at(NOW + 20, costly(number)) for number in range(5))):
            await store.insert(task, None if task.is_ended else GENERATION)
        bill = Bill(cost=4, prompt_tokens=1, completion_tokens=1, model="gpt-5.5", channel="up")
        assert await store.save(transition(late, Completed(bill), NOW + 90, POLICY), RESULT)
        accounts = [await store.account(key_id) for key_id in ("key-a", "key-b")]
        for before in (NOW + 50, NOW + 95):  # what was carried is carried on
            assert await swept(store.fold_ledger, before, 3) > 0
            assert await store.fold_ledger(before, 3) == 0
            assert [await store.account(key_id) for key_id in ("key-a", "key-b")] == accounts
            await store.post(Entry(key_id="key-a", kind="grant", amount=5, at=NOW + 92))
            accounts[0] = replace(accounts[0], balance=accounts[0].balance + 5)
        assert await store.save(transition(open_hold, Completed(bill), NOW + 99, POLICY), RESULT)
        assert (await store.account("key-a")).reserved == 0
