"""The promises of `ports.store.Store`."""

import asyncio
from itertools import pairwise

import msgspec
from msgspec.structs import replace

from reynard.core.errors import InsufficientCredits, StorageFull
from reynard.core.files import File
from reynard.core.generation import Generation
from reynard.core.idempotency import KEPT_S, Repeat, Repeated
from reynard.core.keys import Key
from reynard.core.ledger import Account, Entry
from reynard.core.messages import UserMessage
from reynard.core.task import (
    Attempt,
    Bill,
    Cancelled,
    Claimed,
    Completed,
    Failed,
    Lost,
    Read,
    RunPolicy,
    Status,
    Task,
    TaskError,
    Terms,
    transition,
)
from reynard.ports.store import Store, TaskFilter

POLICY = RunPolicy()
NOW = 1_776_874_481.25
ROOM = 1_000_000
GENERATION = Generation(model="gpt-5.5", messages=(UserMessage(content="Ünïcode \u2028 and 🦊"),), max_tokens=16)
RESULT = b'{"id":"chatcmpl-1","choices":[]}'


def new_task(number: int, *, key_id: str = "key-a", model: str = "gpt-5.5", stream: bool = False) -> Task:
    """A pending task, `number` seconds later than the first."""
    return Task(
        id=f"task-llm-{number:08d}", key_id=key_id, model=model, form="custom", stream=stream, created=NOW + number
    )


def claimed(task: Task, owner: str = "worker-a") -> Task:
    """The task, processing."""
    return transition(task, Claimed(owner), NOW, POLICY)


def new_key(number: int) -> Key:
    """A key."""
    return Key(id=f"key-{number}", digest=bytes([number]) * 32, name=f"key {number}", hint="sk-…", created=NOW + number)


def new_file(number: int, *, key_id: str = "key-a", size: int = 10, lives_s: float = 1_000.0) -> File:
    """A file, `number` seconds later than the first."""
    return File(
        id=f"file-{number:08d}",
        key_id=key_id,
        name="ünï 🦊.png",
        type="image/png",
        size=size,
        sha256=f"{number:064d}",
        token=f"{number:032d}",
        created=NOW + number,
        expires=NOW + number + lives_s,
    )


class StoreConformance:
    """Subclass it with a `store` fixture."""

    async def test_a_stored_task_is_found_as_it_was(self, store: Store) -> None:
        task = claimed(new_task(1, stream=True))
        await store.insert(task, GENERATION)
        assert await store.find(task.id) == (task, None)

    async def test_an_unknown_task_is_not_found(self, store: Store) -> None:
        assert await store.find("task-llm-none") is None

    async def test_two_tasks_never_share_an_id(self, store: Store) -> None:
        await store.insert(new_task(1), GENERATION)
        refused = False
        try:
            await store.insert(new_task(1, key_id="key-b"), GENERATION)
        except Exception:  # noqa: BLE001 each back-end has its own
            refused = True
        found = await store.find(new_task(1).id)
        assert refused
        assert found is not None
        assert found[0].key_id == "key-a"

    async def test_an_end_keeps_result_and_error(self, store: Store) -> None:
        good, bad = claimed(new_task(1)), claimed(new_task(2))
        await store.insert(good, GENERATION)
        await store.insert(bad, GENERATION)
        completed = transition(good, Completed(), NOW + 5, POLICY)
        failed = transition(bad, Failed(TaskError("upstream_error", "no luck")), NOW + 6, POLICY)
        assert await store.save(completed, RESULT)
        assert await store.save(failed)
        assert await store.find(good.id) == (completed, RESULT)
        assert await store.find(bad.id) == (failed, None)

    async def test_a_task_can_be_stored_with_its_end(self, store: Store) -> None:
        ended = transition(claimed(new_task(1)), Completed(), NOW, POLICY)
        await store.insert(ended, None, RESULT)
        assert await store.find(ended.id) == (ended, RESULT)

    async def test_a_stale_version_changes_nothing(self, store: Store) -> None:
        task = claimed(new_task(1, stream=True))
        await store.insert(task, GENERATION)
        read = transition(task, Read(), NOW, POLICY)
        assert await store.save(read)
        assert not await store.save(transition(task, Completed(), NOW, POLICY), RESULT)
        assert not await store.save(transition(task, Lost(), NOW, POLICY))
        assert await store.find(task.id) == (read, None)

    async def test_of_many_savers_of_one_version_one_wins(self, store: Store) -> None:
        task = claimed(new_task(1))
        await store.insert(task, GENERATION)
        ends = [transition(task, Failed(TaskError("upstream_error", str(n))), NOW, POLICY) for n in range(20)]
        kept = await asyncio.gather(*(store.save(end) for end in ends))
        assert sum(kept) == 1
        assert await store.find(task.id) == (ends[kept.index(True)], None)

    async def test_a_claim_takes_the_oldest_and_their_generations(self, store: Store) -> None:
        for number in range(5):
            await store.insert(new_task(number), replace(GENERATION, seed=number))
        taken = await store.claim("worker-b", 3, ROOM, NOW + 9)
        assert [task.id for task, _ in taken] == [new_task(number).id for number in range(3)]
        assert [generation and generation.seed for _, generation in taken] == [0, 1, 2]
        assert taken[0][0] == transition(new_task(0), Claimed("worker-b"), NOW + 9, POLICY)
        assert await store.find(new_task(0).id) == (taken[0][0], None)

    async def test_a_claim_takes_no_more_than_fits_but_one_at_least(self, store: Store) -> None:
        for number in (1, 2, 3):
            await store.insert(new_task(number), GENERATION)
        assert [task.id for task, _ in await store.claim("worker-a", 9, 1, NOW)] == [new_task(1).id]
        size = len(msgspec.json.encode(GENERATION))
        await store.insert(new_task(4), GENERATION)
        taken = await store.claim("worker-a", 9, 2 * size, NOW)
        assert [task.id for task, _ in taken] == [new_task(2).id, new_task(3).id]

    async def test_a_claim_takes_turns_between_keys(self, store: Store) -> None:
        await asyncio.gather(*(store.insert(new_task(number), GENERATION) for number in range(10_000)))
        await store.insert(new_task(10_000, key_id="key-b"), GENERATION)
        taken = await store.claim("worker-a", 4, ROOM, NOW)
        assert [task.id for task, _ in taken] == [new_task(number).id for number in (0, 1, 2, 10_000)]
        assert sum((await store.pending()).values()) == 9_997

    async def test_what_a_key_has_running_counts_against_it(self, store: Store) -> None:
        for number in range(3):
            await store.insert(claimed(new_task(number)), GENERATION)
        for number in range(3, 9):
            await store.insert(new_task(number, key_id="key-a" if number < 6 else "key-b"), GENERATION)
        taken = await store.claim("worker-a", 2, ROOM, NOW)
        assert [task.id for task, _ in taken] == [new_task(number).id for number in (6, 7)]
        taken = await store.claim("worker-a", 2, ROOM, NOW)
        assert [task.id for task, _ in taken] == [new_task(number).id for number in (3, 8)]

    async def test_where_there_is_one_place_keys_still_take_turns(self, store: Store) -> None:
        for number in range(9):
            await store.insert(new_task(number, key_id="key-a" if number < 6 else "key-b"), GENERATION)
        seen: list[str] = []
        for second in range(6):
            [(task, _)] = await store.claim("worker-a", 1, ROOM, NOW + second)
            await store.save(transition(task, Cancelled(), NOW + second, POLICY))
            seen.append(task.id)
        assert seen == [new_task(number).id for number in (0, 6, 1, 7, 2, 8)]

    async def test_bytes_bound_a_claim_in_the_order_of_the_turns(self, store: Store) -> None:
        for number in range(4):
            await store.insert(new_task(number, key_id="key-a" if number < 3 else "key-b"), GENERATION)
        size = len(msgspec.json.encode(GENERATION))
        taken = await store.claim("worker-a", 9, 2 * size, NOW)
        assert [task.id for task, _ in taken] == [new_task(number).id for number in (0, 3)]

    async def test_concurrent_claims_never_overlap(self, store: Store) -> None:
        for number in range(50):
            await store.insert(new_task(number), GENERATION)
        claims = await asyncio.gather(*(store.claim(f"worker-{n}", 7, ROOM, NOW) for n in range(10)))
        ids = [task.id for claim in claims for task, _ in claim]
        assert len(ids) == len(set(ids)) == 50

    async def test_all_that_comes_with_an_end_is_there_with_it(self, store: Store) -> None:
        task = replace(
            new_task(1), reserved=100, terms=Terms(fallback_models=("b", "c"), callback_url="https://a.test/")
        )
        await store.insert(task, GENERATION)
        assert await store.find(task.id) == (task, None)
        assert await store.account(task.key_id) == Account(-100, 100, 0)
        bill = Bill(cost=30, prompt_tokens=4, completion_tokens=5, model="b", channel="up")
        attempts = [Attempt(channel="up", model="b", started=NOW, ended=NOW + 1, outcome="completed")]
        [(running, _)] = await store.claim("worker-a", 1, ROOM, NOW)
        ended = transition(running, Failed(TaskError("stream_interrupted", "cut"), bill), NOW, POLICY)
        assert await store.save(ended, RESULT, attempts)
        assert not await store.save(ended, RESULT, attempts)
        assert await store.find(task.id) == (ended, RESULT)
        assert list(await store.attempts(task.id)) == attempts
        assert await store.account(task.key_id) == Account(-30, 0, 30)

    async def test_what_a_balance_does_not_cover_is_not_kept(self, store: Store) -> None:
        await store.post(Entry(key_id="key-a", kind="grant", amount=150, at=NOW))
        tasks = [replace(new_task(number), reserved=100) for number in range(20)]
        kept = await asyncio.gather(
            *(store.insert(task, GENERATION, limited=True) for task in tasks), return_exceptions=True
        )
        assert sum(outcome is None for outcome in kept) == 1
        assert {type(outcome) for outcome in kept if outcome is not None} == {InsufficientCredits}
        assert await store.account("key-a") == Account(50, 100, 0)
        assert await store.unfinished() == {"key-a": 1}

    async def test_one_idempotency_key_is_one_task(self, store: Store) -> None:
        repeat = Repeat("name", b"of this body")
        tasks = [new_task(number) for number in range(20)]
        kept = await asyncio.gather(
            *(store.insert(task, GENERATION, repeat=repeat) for task in tasks), return_exceptions=True
        )
        [first] = [task for task, outcome in zip(tasks, kept, strict=True) if outcome is None]
        refused = [outcome for outcome in kept if isinstance(outcome, Repeated)]
        assert {(again.task_id, again.repeat) for again in refused} == {(first.id, repeat)}
        assert len(refused) == 19
        assert await store.repeated("key-a", "name") == (repeat, first.id)
        await store.insert(new_task(30, key_id="key-b"), GENERATION, repeat=repeat)
        await store.insert(new_task(31), GENERATION, repeat=replace(repeat, instead_of=first.id))
        assert await store.repeated("key-a", "name") == (repeat, new_task(31).id)
        await store.insert(replace(new_task(32), created=NOW + KEPT_S + 31), GENERATION, repeat=repeat)
        assert await store.repeated("key-a", "name") == (repeat, new_task(32).id)

    async def test_what_waits_beyond_its_deadline_is_found(self, store: Store) -> None:
        late, soon, never = (replace(new_task(number), deadline=end) for number, end in enumerate((NOW, NOW + 9, None)))
        taken = claimed(replace(new_task(3), deadline=NOW))
        for task in (late, soon, never, taken):
            await store.insert(task, GENERATION)
        assert await store.overdue(NOW + 1, 10) == [late]
        assert len(await store.overdue(NOW + 9, 1)) == 1

    async def test_pending_tasks_are_counted(self, store: Store) -> None:
        for number in range(4):
            await store.insert(new_task(number), GENERATION)
        await store.claim("worker-a", 1, ROOM, NOW)
        assert sum((await store.pending()).values()) == 3

    async def test_a_task_taken_up_again_keeps_its_first_start(self, store: Store) -> None:
        task = claimed(new_task(1))
        await store.insert(task, GENERATION)
        assert await store.save(transition(task, Lost(), NOW + 1, POLICY))
        [(again, generation)] = await store.claim("worker-b", 9, ROOM, NOW + 100)
        assert (again.attempt, again.started, again.owner) == (2, NOW, "worker-b")
        assert generation == GENERATION

    async def test_orphans_are_those_whose_workers_lease_ran_out(self, store: Store) -> None:
        await store.beat("worker-a", NOW + 30)
        await store.beat("worker-b", NOW + 10)
        for number, owner in enumerate(["worker-a", "worker-b", "worker-gone"]):
            await store.insert(claimed(new_task(number), owner), GENERATION)
        await store.insert(new_task(9), GENERATION)
        assert {task.owner for task in await store.orphans("worker-me", NOW + 20, 10)} == {"worker-b", "worker-gone"}
        await store.beat("worker-b", NOW + 50)
        assert {task.owner for task in await store.orphans("worker-me", NOW + 20, 10)} == {"worker-gone"}
        await store.retire("worker-a")
        assert {task.owner for task in await store.orphans("worker-me", NOW + 20, 10)} == {"worker-a", "worker-gone"}

    async def test_a_worker_is_never_its_own_orphan(self, store: Store) -> None:
        await store.insert(claimed(new_task(1), "worker-slow"), GENERATION)
        assert await store.orphans("worker-slow", NOW + 99, 10) == []
        assert len(await store.orphans("worker-b", NOW + 99, 10)) == 1

    async def test_lists_are_ones_own_newest_first_page_by_page(self, store: Store) -> None:
        for number in range(7):
            await store.insert(new_task(number, key_id="key-a" if number != 3 else "key-b"), GENERATION)
        seen: list[str] = []
        after: str | None = None
        more = True
        while more:
            page = await store.list_tasks(TaskFilter(key_id="key-a", after=after, limit=2))
            seen += [task.id for task, _ in page.tasks]
            after, more = seen[-1], page.has_more
        assert seen == [new_task(number).id for number in (6, 5, 4, 2, 1, 0)]

    async def test_lists_filter(self, store: Store) -> None:
        await store.insert(new_task(1, model="gpt-5.4"), GENERATION)
        await store.insert(claimed(new_task(2)), GENERATION)
        lost = transition(claimed(new_task(3)), Lost(), NOW, POLICY)
        await store.insert(lost, GENERATION)

        async def ids(**wanted: object) -> list[int]:
            found = await store.list_tasks(TaskFilter(key_id="key-a", **wanted))  # type: ignore[arg-type]
            return [int(task.id[-1]) for task, _ in found.tasks]

        assert await ids(model="gpt-5.4") == [1]
        assert await ids(status=Status.PENDING) == [1]
        assert await ids(status=Status.PROCESSING) == [3, 2]  # as it is shown: one to be taken up again counts
        assert await ids(created_after=NOW + 1) == [3, 2]
        assert await ids(after="task-llm-unknown") == [3, 2, 1]

    async def test_keys_are_found_by_digest_and_listed_oldest_first(self, store: Store) -> None:
        for number in (2, 1):
            await store.add_key(new_key(number))
        assert await store.key_by_digest(new_key(2).digest) == new_key(2)
        assert await store.key_by_digest(b"x" * 32) is None
        assert list(await store.list_keys()) == [new_key(1), new_key(2)]

    async def test_every_change_of_a_key_changes_the_epoch(self, store: Store) -> None:
        epochs = [store.keys_epoch()]
        await store.add_key(new_key(1))
        epochs.append(store.keys_epoch())
        changed = replace(new_key(1), revoked=NOW, digest=b"y" * 32)
        assert await store.update_key(changed, was=new_key(1))
        epochs.append(store.keys_epoch())
        assert all(before != after for before, after in pairwise(epochs))
        assert await store.key_by_digest(new_key(1).digest) is None

    async def test_a_key_that_somebody_else_changed_is_not_overwritten(self, store: Store) -> None:
        await store.add_key(new_key(1))
        revoked = replace(new_key(1), revoked=NOW)
        assert await store.update_key(revoked, was=new_key(1))
        assert not await store.update_key(replace(new_key(1), name="mine"), was=new_key(1))
        assert not await store.update_key(new_key(2), was=new_key(2))
        assert list(await store.list_keys()) == [revoked]

    async def test_a_file_is_found_as_it_was_by_id_and_by_token(self, store: Store) -> None:
        file = new_file(1, size=2**40)
        assert await store.add_file(file, 2**41, cleanup=False) == []
        assert await store.find_file(file.id) == await store.file_by_token(file.token) == file
        assert await store.find_file("file-none") is await store.file_by_token("none") is None

    async def test_two_files_share_neither_id_nor_token(self, store: Store) -> None:
        kept = [new_file(2, size=40), new_file(1, size=40)]
        for file in reversed(kept):
            await store.add_file(file, 100, cleanup=True)
        for other in (replace(new_file(3), id=kept[0].id), replace(new_file(3), token=kept[0].token)):
            refused = False
            try:
                await store.add_file(replace(other, size=50), 100, cleanup=True)
            except Exception:  # noqa: BLE001 each back-end has its own
                refused = True
            assert refused
        assert (await store.list_files("key-a", None, 10)).files == kept  # nor did any make room for them
        assert await _is_full(store, new_file(4, size=21), cleanup=False)

    async def test_without_cleanup_a_full_storage_takes_no_more(self, store: Store) -> None:
        await store.add_file(new_file(1, size=60), 100, cleanup=False)
        await store.add_file(new_file(2, size=40), 100, cleanup=False)
        assert await _is_full(store, new_file(3, size=1), cleanup=False)
        assert await store.find_file(new_file(3).id) is None
        assert await store.delete_file(new_file(1).id)
        assert await store.add_file(new_file(3, size=60), 100, cleanup=False) == []

    async def test_with_cleanup_the_oldest_make_room_and_no_more_than_that(self, store: Store) -> None:
        for number in range(4):
            await store.add_file(new_file(number, size=25), 100, cleanup=True)
        assert await store.add_file(new_file(4, size=30), 100, cleanup=True) == [new_file(n, size=25) for n in (0, 1)]
        assert [file.id for file in (await store.list_files("key-a", None, 10)).files] == [
            new_file(number).id for number in (4, 3, 2)
        ]

    async def test_one_keys_files_make_no_room_for_anothers(self, store: Store) -> None:
        await store.add_file(new_file(1, size=100), 100, cleanup=True)
        assert await store.add_file(new_file(2, key_id="key-b", size=100), 100, cleanup=True) == []
        assert await store.find_file(new_file(1).id) is not None

    async def test_what_is_larger_than_the_quota_is_always_refused_and_nothing_goes(self, store: Store) -> None:
        await store.add_file(new_file(1), 100, cleanup=True)
        for cleanup in (True, False):
            assert await _is_full(store, new_file(2, size=101), cleanup=cleanup)
        assert await store.find_file(new_file(1).id) is not None

    async def test_what_has_expired_makes_room_without_cleanup_too(self, store: Store) -> None:
        await store.add_file(new_file(1, size=60, lives_s=5), 100, cleanup=False)
        await store.add_file(new_file(2, size=40), 100, cleanup=False)
        assert await _is_full(store, new_file(5, size=10), cleanup=False)
        assert await store.add_file(new_file(6, size=10), 100, cleanup=False) == [new_file(1, size=60, lives_s=5)]

    async def test_a_quota_holds_against_many_at_once(self, store: Store) -> None:
        adding = [store.add_file(new_file(number), 100, cleanup=False) for number in range(30)]
        outcomes = await asyncio.gather(*adding, return_exceptions=True)
        assert sum(isinstance(outcome, StorageFull) for outcome in outcomes) == 20
        assert len((await store.list_files("key-a", None, 100)).files) == 10
        adding = [store.add_file(new_file(number), 100, cleanup=True) for number in range(30, 60)]
        left = [file.id for gone in await asyncio.gather(*adding) for file in gone]
        assert len(left) == len(set(left)) == 30
        assert len((await store.list_files("key-a", None, 100)).files) == 10

    async def test_files_are_listed_newest_first_page_by_page(self, store: Store) -> None:
        for number in range(7):
            await store.add_file(new_file(number, key_id="key-a" if number != 3 else "key-b"), 100, cleanup=True)
        seen: list[str] = []
        after: str | None = None
        more = True
        while more:
            page = await store.list_files("key-a", after, 2)
            seen += [file.id for file in page.files]
            after, more = seen[-1], page.has_more
        assert seen == [new_file(number).id for number in (6, 5, 4, 2, 1, 0)]
        assert (await store.list_files("key-b", new_file(1).id, 9)).files == [new_file(3, key_id="key-b")]

    async def test_a_file_is_deleted_once(self, store: Store) -> None:
        await store.add_file(new_file(1), 100, cleanup=True)
        assert await store.delete_file(new_file(1).id)
        assert not await store.delete_file(new_file(1).id)
        assert await store.find_file(new_file(1).id) is None

    async def test_files_expire_in_order_at_their_time(self, store: Store) -> None:
        for number, lives_s in ((1, 30), (2, 10), (3, 20), (4, 99)):
            await store.add_file(new_file(number, lives_s=lives_s), 100, cleanup=True)
        assert [file.id for file in await store.expired_files(NOW + 31, 10)] == [
            new_file(number).id for number in (2, 3, 1)
        ]
        assert [file.id for file in await store.expired_files(NOW + 31, 1)] == [new_file(2).id]
        assert await store.expired_files(NOW + 11.9, 10) == []


async def _is_full(store: Store, file: File, *, cleanup: bool) -> bool:
    try:
        await store.add_file(file, 100, cleanup=cleanup)
    except StorageFull:
        return True
    return False
