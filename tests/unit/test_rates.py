"""Limits of a minute, keys that rest, and the signs of a channel's health: pure, with the time as an argument."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reynard.core.health import ENOUGH, LEAST, SAMPLES, Vitals, fitness
from reynard.core.keyring import Keyring
from reynard.core.rates import Bucket, LastMinute

steps = st.lists(st.floats(0, 30, allow_nan=False), max_size=200)


@given(st.integers(1, 20), steps)
def test_no_sixty_seconds_have_more_than_the_limit(most: int, waits: list[float]) -> None:
    limit, now, taken = LastMinute(most), 0.0, []
    for wait in waits:
        now += wait
        if limit.wait_s(now) <= 0:
            limit.add(now)
            taken.append(now)
    for start in taken:
        assert sum(start <= time < start + 60 for time in taken) <= most


def test_a_limit_says_when_there_is_room_again() -> None:
    limit = LastMinute(2)
    limit.add(10)
    assert limit.wait_s(11) == 0
    limit.add(12)
    assert limit.wait_s(12) == 58
    assert limit.wait_s(70) == 0


@given(st.integers(1, 50), st.floats(0.01, 10), steps)
def test_of_a_bucket_no_more_comes_than_was_in_it_and_flowed_in(most: int, per_s: float, waits: list[float]) -> None:
    bucket, now, taken = Bucket(most, per_s), 0.0, 0
    for wait in waits:
        now += wait
        if bucket.level(now) >= 1:
            bucket.take(1, now)
            taken += 1
    assert taken <= most + now * per_s + 1e-6


def test_a_bucket_may_owe_and_says_how_long() -> None:
    bucket = Bucket(10, 2)
    bucket.take(13, 0)
    assert (bucket.level(0), bucket.wait_s(1, 0)) == (-3, 2)
    assert bucket.level(100) == 10
    bucket.take(-5, 100)
    assert bucket.level(100) == 10


def test_a_bucket_that_nothing_flows_into_is_empty_for_good() -> None:
    bucket = Bucket(0, 0)
    bucket.take(-0.2, 5)
    assert bucket.level(50) == 0


def test_keys_take_turns() -> None:
    keys = Keyring(3)
    assert [keys.pick(0) for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert Keyring(1).pick(0) == 0


def test_a_benched_key_is_left_out_until_its_time() -> None:
    keys = Keyring(2)
    keys.bench(0, 10)
    assert [keys.pick(5) for _ in range(3)] == [1, 1, 1]
    assert keys.wait_s(5) == 0
    keys.bench(1, 20)
    keys.bench(1, 15)  # no sooner than it was told before
    assert (keys.wait_s(5), keys.pick(5)) == (5, 0)
    assert (keys.wait_s(12), {keys.pick(12) for _ in range(4)}) == (0, {0})
    assert {keys.pick(20) for _ in range(4)} == {0, 1}


def test_a_key_benched_for_one_model_serves_the_others() -> None:
    keys = Keyring(2)
    keys.bench(0, 10, "m")
    assert ({keys.pick(5, "m") for _ in range(4)}, {keys.pick(5, "n") for _ in range(4)}) == ({1}, {0, 1})
    keys.bench(1, 20)
    assert (keys.wait_s(5, "m"), keys.wait_s(5, "n"), keys.wait_s(5)) == (5, 0, 0)
    assert (keys.has_other(0, 15, "m"), keys.has_other(1, 5, "m"), keys.has_other(1, 5, "n")) == (False, False, True)


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 4), st.floats(0, 100)), max_size=20), st.floats(0, 100))
def test_no_benched_key_is_picked_while_another_is_free(
    count: int, benches: list[tuple[int, float]], now: float
) -> None:
    keys, until = Keyring(count), [0.0] * count
    for key, time in benches:
        keys.bench(key % count, time)
        until[key % count] = max(until[key % count], time)
    assert keys.wait_s(now) == pytest.approx(max(0.0, min(until) - now))
    if min(until) <= now:
        assert until[keys.pick(now)] <= now


def test_failures_count_and_fade() -> None:
    vitals = Vitals()
    assert vitals.error_rate(0) == 0
    for _ in range(50):
        vitals.failed(100)
    assert vitals.error_rate(100) > 0.99
    assert vitals.error_rate(160) == pytest.approx(vitals.error_rate(100) / 2.718, rel=0.01)
    before = vitals.error_rate(100)
    vitals.succeeded()
    assert vitals.error_rate(100) < before


def test_the_slow_ones_are_told_when_enough_is_known() -> None:
    vitals = Vitals()
    for number in range(ENOUGH - 1):
        vitals.started(number)
    assert vitals.slow_s() is None
    vitals.started(ENOUGH - 1)
    assert vitals.slow_s() == 18  # of 0 to 19
    for _ in range(SAMPLES):
        vitals.started(1)
    assert vitals.slow_s() == 1
    assert vitals.first_s == pytest.approx(1, abs=0.01)


def test_fitness_goes_by_failures_and_by_the_first_token() -> None:
    assert fitness(0, None, None) == fitness(0, 0.3, 0.3) == 1
    assert fitness(0, None, 0.3) == 1
    assert fitness(0, 0.002, 0.001) > 0.98, "as good as the same"
    assert fitness(0, 4.0, 0.1) == LEAST
    assert fitness(0.5, 0.3, 0.3) == 0.25
    assert fitness(1, 0.3, 0.3) == LEAST


@given(st.floats(0, 1), st.floats(0, 100) | st.none(), st.floats(0, 100) | st.none())
def test_fitness_stays_in_its_bounds(errors: float, first: float | None, best: float | None) -> None:
    assert LEAST <= fitness(errors, first, best) <= 1
