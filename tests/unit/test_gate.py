"""Places are taken turns for, and none is ever lost."""

import asyncio
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reynard.core.errors import Overloaded
from reynard.engine.gate import FairGate


def task(work: object) -> asyncio.Task[None]:
    return asyncio.create_task(work)  # type: ignore[arg-type]


async def turns(count: int = 3) -> None:
    """Lets whatever is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_one_key_never_has_more_than_its_share() -> None:
    gate = FairGate(8, share=6)
    crowd = [task(gate.take("greedy")) for _ in range(20)]
    await turns()
    assert sum(call.done() for call in crowd) == 6
    for _ in range(2):
        await gate.take("other")
    waits = task(gate.take("other"))
    await turns()
    assert gate.is_full
    assert not waits.done()
    gate.give_back("greedy")
    await turns()
    assert waits.done()  # its turn comes before that of the key which had its share
    for call in crowd:
        call.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)


async def test_who_has_its_share_is_let_in_as_soon_as_it_gives_one_back() -> None:
    gate = FairGate(4, share=3)
    for _ in range(3):
        await gate.take("a")
    waits = task(gate.take("a"))
    gone = task(gate.take("a"))
    await turns()
    assert (waits.done(), gate.waiting) == (False, 2)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert gate.waiting == 1
    gate.give_back("a")
    await waits
    for _ in range(3):
        gate.give_back("a")
    for key in "abcd":
        await gate.take(key)
    assert gate.is_full


async def test_of_one_place_a_key_may_have_it() -> None:
    gate = FairGate(1)
    await gate.take("a")
    assert gate.is_full


async def test_free_places_are_taken_at_once() -> None:
    gate = FairGate(2)
    fullness = []
    for key in "ab":
        await gate.take(key)
        fullness.append(gate.is_full)
    gate.give_back("a")
    assert [*fullness, gate.is_full] == [False, True, False]


async def test_keys_take_turns_and_within_a_key_the_first_comes_first() -> None:
    gate = FairGate(1)
    seen: list[str] = []

    async def call(name: str) -> None:
        await gate.take(name[0])
        seen.append(name)
        gate.give_back(name[0])

    await gate.take("x")
    calls = [task(call(name)) for name in ("a1", "a2", "a3", "b1", "a4", "c1", "b2")]
    await turns()
    gate.give_back("x")
    await asyncio.gather(*calls)
    assert seen == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]
    assert not gate.is_full


async def test_ten_thousand_of_one_key_do_not_keep_another_waiting() -> None:
    gate = FairGate(4, share=3)
    for key in ("greedy", "greedy", "third", "third"):
        await gate.take(key)
    crowd = [task(gate.take("greedy")) for _ in range(10_000)]
    await turns()
    other = task(gate.take("other"))
    await turns()
    assert gate.waiting == 10_001
    gate.give_back("third")
    gate.give_back("third")
    await turns()
    assert other.done()
    assert sum(call.done() for call in crowd) == 1
    for call in crowd:
        call.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    assert gate.waiting == 0


async def test_who_is_cancelled_while_waiting_leaves_the_line() -> None:
    gate = FairGate(1)
    await gate.take("a")
    first, second = task(gate.take("a")), task(gate.take("a"))
    await turns()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert gate.waiting == 1
    gate.give_back("a")
    await second
    gate.give_back("a")
    assert not gate.is_full


async def test_who_is_cancelled_in_the_moment_of_its_turn_gives_the_place_on() -> None:
    gate = FairGate(1)
    await gate.take("a")
    first, second = task(gate.take("a")), task(gate.take("b"))
    await turns()
    gate.give_back("a")  # the first has it, and does not know yet
    first.cancel()
    await second
    assert first.cancelled()
    assert gate.is_full
    gate.give_back("b")
    assert not gate.is_full


async def test_a_turn_is_not_spent_on_one_that_was_cancelled_and_does_not_know_yet() -> None:
    gate = FairGate(1)
    await gate.take("a")
    first, second = task(gate.take("a")), task(gate.take("a"))
    await turns()
    first.cancel()
    gate.give_back("a")
    await second
    await asyncio.gather(first, return_exceptions=True)
    gate.give_back("a")
    assert not gate.is_full
    assert gate.waiting == 0


async def test_no_more_wait_than_are_let() -> None:
    gate = FairGate(1, most_waiting=1)
    await gate.take("a")
    waits = task(gate.take("a"))
    await turns()
    with pytest.raises(Overloaded) as refused:
        await gate.take("b")
    assert refused.value.retry_after_s == 1.0
    gate.give_back("a")
    await waits
    gate.give_back("a")
    await gate.take("b")


@given(places=st.integers(1, 8), seed=st.integers(0, 2**32), steps=st.integers(1, 200))
def test_whatever_happens_no_place_is_lost_and_none_is_given_twice(places: int, seed: int, steps: int) -> None:
    chance = random.Random(seed)

    async def schedule() -> None:
        share = max(1, places * 3 // 4)
        gate = FairGate(places, share=share)
        held: Counter[str] = Counter()
        calls: list[asyncio.Task[None]] = []
        stays: list[asyncio.Event] = []
        keys: list[str] = []

        async def call(key_id: str, leaves: asyncio.Event) -> None:
            await gate.take(key_id)
            held[key_id] += 1
            assert held.total() <= places
            assert held[key_id] <= share
            try:
                await leaves.wait()
            finally:
                held[key_id] -= 1
                gate.give_back(key_id)

        for _ in range(steps):
            match chance.randrange(5):
                case 0 | 1:
                    stays.append(asyncio.Event())
                    key_id = chance.choice("abc")
                    calls.append(task(call(key_id, stays[-1])))
                    keys.append(key_id)
                case 2 if calls:
                    chance.choice(calls).cancel()
                case 3 if stays:
                    chance.choice(stays).set()
                case _:
                    await turns(chance.randrange(3))
        await turns(5 + 3 * len(calls))  # a place may pass through all of them
        live = Counter(key_id for key_id, call in zip(keys, calls, strict=True) if not call.done())
        able = sum(min(share, count) for count in live.values())
        assert held.total() == min(places, able)  # nobody below its share waits while there is a place
        assert gate.waiting == live.total() - held.total()
        for stay in stays:
            stay.set()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert [end for end in ends if isinstance(end, Exception)] == []
        assert gate.waiting == 0
        for number in range(places):  # all of them are there
            assert not gate.is_full
            await gate.take(f"z{number}")
        assert gate.is_full

    asyncio.run(schedule())


@given(arrivals=st.lists(st.sampled_from("abcd"), min_size=1, max_size=40), cancelled=st.sets(st.integers(0, 39)))
def test_between_two_turns_of_a_key_every_other_that_waits_has_one(arrivals: list[str], cancelled: set[int]) -> None:
    async def schedule() -> None:
        gate = FairGate(1)
        seen: list[str] = []

        async def call(key_id: str) -> None:
            await gate.take(key_id)
            seen.append(key_id)
            gate.give_back(key_id)

        await gate.take("z")
        calls = [task(call(key_id)) for key_id in arrivals]
        await turns()
        for number in sorted(cancelled & set(range(len(calls)))):
            calls[number].cancel()
        await turns()
        gate.give_back("z")
        await asyncio.gather(*calls, return_exceptions=True)
        left = Counter(key_id for number, key_id in enumerate(arrivals) if number not in cancelled)
        assert Counter(seen) == left
        while seen:  # round after round, each key once
            turn, seen = seen[: len(left)], seen[len(left) :]
            assert set(turn) == set(left)
            left -= Counter(turn)

    asyncio.run(schedule())
