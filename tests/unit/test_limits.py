"""A key's limits: how they are told, and that no 60 seconds have more than they allow."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reynard.core.errors import RateLimited, TooLargeForLimit
from reynard.core.keys import Key
from reynard.core.limits import WINDOW_S, Allowance, Limits, duration
from reynard.core.meter import Meter, Window
from reynard.http.errors import response_of

START = 1_776_874_481.0
steps = st.integers(0, 64 * 90).map(lambda ticks: ticks / 64)  # exact in binary, up to 90 s


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0s"),
        (0.0001, "1ms"),
        (0.12, "120ms"),
        (0.9999, "1s"),
        (1, "1s"),
        (1.01, "2s"),
        (59.5, "1m0s"),
        (60, "1m0s"),
        (360, "6m0s"),
        (61, "1m1s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(seconds: float, written: str) -> None:
    assert duration(seconds) == written


def test_headers_tell_of_limits_that_there_are() -> None:
    assert Allowance(at=START).headers() == {}
    half = Allowance(at=START, limit_requests=60, remaining_requests=59, reset_requests_s=60.0)
    assert half.headers() == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1m0s",
    }
    whole = Allowance(at=START, limit_tokens=1000, remaining_tokens=0, reset_tokens_s=0.25)
    assert whole.headers() == {
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "250ms",
    }


def test_a_refusal_on_the_wire_says_when_to_come_and_what_is_left() -> None:
    meter = Meter()
    meter.take(Limits(rpm=1, tpm=10), 5, 0, START)
    with pytest.raises(RateLimited) as refused:
        meter.take(Limits(rpm=1, tpm=10), 1, 0, START + 0.5)
    answer = response_of(refused.value)
    assert answer.status == 429
    assert (answer.headers["retry-after"], answer.headers["x-ratelimit-remaining-requests"]) == ("60", "0")
    assert answer.headers["x-ratelimit-remaining-tokens"] == "5"
    assert "x-should-retry" not in answer.headers


def test_a_request_that_never_fits_is_not_asked_to_come_again() -> None:
    with pytest.raises(TooLargeForLimit) as refused:
        Meter().take(Limits(tpm=10), 11, 0, START)
    answer = response_of(refused.value)
    assert (answer.status, refused.value.retryable) == (429, False)
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-ratelimit-limit-tokens"] == "10"
    assert "retry-after" not in answer.headers


def test_a_key_stored_before_there_were_limits_has_none() -> None:
    key = Key(id="key-1", digest=b"d", name="n", hint="h", created=1.0)
    stored = msgspec.json.decode(msgspec.json.encode(key), type=dict[str, object])
    del stored["limits"]
    assert msgspec.json.decode(msgspec.json.encode(stored), type=Key) == key
    limited = msgspec.structs.replace(key, limits=Limits(rpm=1, concurrency=2))
    assert msgspec.json.decode(msgspec.json.encode(limited), type=Key) == limited


@pytest.mark.parametrize("wrong", [b'{"rpm":0}', b'{"tpm":-1}', b'{"concurrency":1.5}'])
def test_a_limit_is_a_whole_number_from_1_up(wrong: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(wrong, type=Limits)


@given(limit=st.integers(1, 400), seed=st.integers(0, 2**32))
def test_no_60_seconds_have_more_than_the_limit_and_hardly_less(limit: int, seed: int) -> None:
    chance = random.Random(seed)
    longest = chance.choice([0, 1 / 64, 0.5, 2, 10])
    window, now, let = Window(), START, list[tuple[float, int]]()
    for _ in range(300):
        now += chance.choice([0, 1 / 64, longest, longest, 59, 59.5] if chance.random() < 0.02 else [0, longest])
        amount = chance.randint(1, 6)
        window.move(now)
        if amount > limit:
            continue
        wait_s = window.wait_s(amount, limit, now)
        within = [sum(used for at, used in let if at > now - width) for width in (WINDOW_S, WINDOW_S + 1)]
        if wait_s:
            assert within[1] + amount > limit  # nothing is counted for more than a second longer
            assert 0 < wait_s <= WINDOW_S
        else:
            assert within[0] + amount <= limit
            window.add(amount, now)
            let.append((now, amount))
        assert len(window._slots) <= 62
        assert window.used == sum(slot.amount for slot in window._slots)


@given(limit=st.integers(1, 30), uses=st.lists(steps, max_size=60))
def test_who_waits_as_told_is_let_in(limit: int, uses: list[float]) -> None:
    window, now = Window(), START
    for step in uses:
        now += step
        window.move(now)
        now += window.wait_s(1, limit, now)
        window.move(now)
        assert window.wait_s(1, limit, now) == 0
        window.add(1, now)


def test_uses_a_second_apart_count_for_exactly_a_minute() -> None:
    window = Window()
    for second in range(600):
        window.move(START + second)
        assert window.wait_s(1, 60, START + second) == 0
        window.add(1, START + second)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(1, 100), steps),
            st.tuples(st.just("back"), st.integers(1, 100), steps),
            st.tuples(st.just("move"), st.just(0), st.integers(-64 * 200, 64 * 200).map(lambda ticks: ticks / 64)),
        ),
        max_size=100,
    )
)
def test_whatever_comes_the_sum_is_right_and_bounded(events: list[tuple[str, int, float]]) -> None:
    """Also when a clock is set back, and when more is given back than there is."""
    window, now = Window(), START
    for what, amount, step in events:
        match what:
            case "add":
                window.add(amount, now)
            case "back":
                window.take_back(amount, now - step)
            case _:
                now += step
                window.move(now)
        assert window.used == sum(slot.amount for slot in window._slots) >= 0
        assert len(window._slots) <= 62
    later = max([now, *(slot.last for slot in window._slots)]) + WINDOW_S
    window.move(later)
    assert (window.used, window.reset_s(later)) == (0, 0.0)


def test_a_clock_that_is_set_far_back_locks_nobody_out() -> None:
    meter = Meter()
    meter.take(Limits(rpm=1), 0, 0, START)
    meter.take(Limits(rpm=1), 0, 0, START - 3_600)


def test_a_clock_that_is_set_back_a_little_gives_nothing_away() -> None:
    meter = Meter()
    meter.take(Limits(rpm=1), 0, 0, START)
    with pytest.raises(RateLimited) as refused:
        meter.take(Limits(rpm=1), 0, 0, START - 5)
    assert refused.value.retry_after_s == 65


def test_of_two_limits_the_longer_wait_is_told() -> None:
    meter = Meter()
    limits = Limits(rpm=2, tpm=10, concurrency=1)
    meter.take(limits, 10, 0, START)
    meter.take(limits, 0, 0, START + 30)
    with pytest.raises(RateLimited, match=r"requests a minute, 2\. Come back in 20 s"):
        meter.take(limits, 0, 1, START + 40)
    with pytest.raises(RateLimited, match=r"tasks at once, 1\. Come back in 1 s"):
        meter.take(limits, 0, 1, START + 60)
