"""The promises of `ports.limits.Limiter`."""

import pytest

from reynard.core.errors import RateLimited, TooLargeForLimit
from reynard.core.limits import Allowance, Limits
from reynard.ports.limits import Limiter
from reynard.testing.clock import FakeClock

NONE = Limits()


async def taken(limiter: Limiter, limits: Limits, tokens: int = 0, key_id: str = "key-a") -> Allowance | None:
    """A task that has ended at once; None if it was refused."""
    try:
        allowance = await limiter.take(key_id, limits, tokens)
    except RateLimited:
        return None
    await limiter.release(key_id)
    return allowance


class LimiterConformance:
    """Subclass it with a `limiter` fixture, and a `clock` fixture that is the limiter's clock."""

    async def test_a_key_without_limits_is_never_refused(self, limiter: Limiter, clock: FakeClock) -> None:
        for _ in range(1_000):
            assert await limiter.take("key-a", NONE, 10**9) == Allowance(at=clock.now())

    async def test_requests_are_limited_in_any_60_seconds(self, limiter: Limiter, clock: FakeClock) -> None:
        limits = Limits(rpm=3)
        clock.advance(55)  # no edge of a minute lets more through
        assert [await taken(limiter, limits) is not None for _ in range(4)] == [True, True, True, False]
        clock.advance(59)
        assert await taken(limiter, limits) is None
        clock.advance(1)
        assert [await taken(limiter, limits) is not None for _ in range(4)] == [True, True, True, False]

    async def test_a_refusal_says_which_limit_what_is_left_and_when_to_come(
        self, limiter: Limiter, clock: FakeClock
    ) -> None:
        limits = Limits(rpm=2, tpm=100)
        await taken(limiter, limits, 30)
        clock.advance(20)
        await taken(limiter, limits, 30)
        with pytest.raises(RateLimited, match=r"requests a minute, 2\. Come back in 40 s") as refused:
            await limiter.take("key-a", limits, 1)
        assert refused.value.retry_after_s == 40
        assert refused.value.allowance == Allowance(
            at=clock.now(),
            limit_requests=2,
            remaining_requests=0,
            reset_requests_s=60,
            limit_tokens=100,
            remaining_tokens=40,
            reset_tokens_s=60,
        )
        clock.advance(40)
        assert await taken(limiter, limits, 1) is not None

    async def test_tokens_are_waited_for_as_long_as_it_takes(self, limiter: Limiter, clock: FakeClock) -> None:
        limits = Limits(tpm=100)
        for _ in range(4):
            await taken(limiter, limits, 25)
            clock.advance(10)
        with pytest.raises(RateLimited, match=r"tokens a minute, 100\. Come back in 30 s") as refused:
            await limiter.take("key-a", limits, 40)
        assert refused.value.retry_after_s == 30
        clock.advance(30)
        allowance = await taken(limiter, limits, 40)
        assert allowance is not None
        assert allowance.remaining_tokens == 10

    async def test_a_request_larger_than_its_minute_is_told_that_it_never_fits(self, limiter: Limiter) -> None:
        with pytest.raises(TooLargeForLimit, match="Waiting does not help") as refused:
            await limiter.take("key-a", Limits(rpm=5, tpm=100, concurrency=1), 101)
        assert refused.value.retry_after_s is None
        assert refused.value.allowance.remaining_requests == 5
        assert await taken(limiter, Limits(rpm=5, tpm=100, concurrency=1), 100) is not None

    async def test_tasks_at_once_are_limited(self, limiter: Limiter) -> None:
        limits = Limits(concurrency=2)
        await limiter.take("key-a", limits, 0)
        await limiter.take("key-a", limits, 0)
        for _ in range(2):
            with pytest.raises(RateLimited, match=r"tasks at once, 2") as refused:
                await limiter.take("key-a", limits, 0)
            assert refused.value.retry_after_s == 1
            await limiter.take("key-b", limits, 0)
        await limiter.release("key-a")
        await limiter.take("key-a", limits, 0)

    @pytest.mark.parametrize("full", [Limits(rpm=1), Limits(tpm=10), Limits(concurrency=1)])
    async def test_what_is_refused_takes_nothing(self, limiter: Limiter, full: Limits) -> None:
        await limiter.take("key-a", Limits(rpm=9, tpm=90, concurrency=9), 10)
        for _ in range(20):
            with pytest.raises(RateLimited):
                await limiter.take("key-a", full, 10)
        allowance = await limiter.take("key-a", Limits(rpm=9, tpm=90, concurrency=2), 10)
        assert (allowance.remaining_requests, allowance.remaining_tokens) == (7, 70)

    async def test_keys_have_nothing_to_do_with_each_other(self, limiter: Limiter) -> None:
        limits = Limits(rpm=1, tpm=10, concurrency=1)
        await limiter.take("key-a", limits, 10)
        await limiter.take("key-b", limits, 10)

    async def test_fewer_tokens_than_estimated_are_there_again_at_once(
        self, limiter: Limiter, clock: FakeClock
    ) -> None:
        limits = Limits(tpm=100)
        first = await limiter.take("key-a", limits, 100)
        clock.advance(30)
        await limiter.correct("key-a", limits, 100, 20, first.at)
        second = await limiter.take("key-a", limits, 80)
        assert second.remaining_tokens == 0
        clock.advance(30)  # the 20 were used then, not when they were corrected
        assert await taken(limiter, limits, 20) is not None

    async def test_more_tokens_than_estimated_count_from_when_it_is_known(
        self, limiter: Limiter, clock: FakeClock
    ) -> None:
        limits = Limits(tpm=100)
        first = await limiter.take("key-a", limits, 10)
        clock.advance(200)
        await limiter.correct("key-a", limits, 10, 130, first.at)
        with pytest.raises(RateLimited) as refused:
            await limiter.take("key-a", limits, 1)
        assert refused.value.retry_after_s == 60
        assert refused.value.allowance.remaining_tokens == 0
        clock.advance(60)
        assert await taken(limiter, limits, 100) is not None

    async def test_what_has_left_the_window_is_not_given_back(self, limiter: Limiter, clock: FakeClock) -> None:
        limits = Limits(tpm=100)
        first = await limiter.take("key-a", limits, 100)
        clock.advance(60)
        await limiter.take("key-a", limits, 100)
        await limiter.correct("key-a", limits, 100, 0, first.at)
        assert await taken(limiter, limits, 1) is None

    async def test_what_was_not_accepted_is_given_back(self, limiter: Limiter) -> None:
        limits = Limits(rpm=1, tpm=10, concurrency=1)
        for _ in range(5):
            allowance = await limiter.take("key-a", limits, 10)
            await limiter.give_back("key-a", limits, 10, allowance.at)

    async def test_no_more_is_given_back_than_was_taken(self, limiter: Limiter) -> None:
        await limiter.take("key-a", Limits(rpm=1, tpm=10), 10)
        for limits in (NONE, Limits(tpm=99), Limits(rpm=9)):
            allowance = await limiter.take("key-a", limits, 5)
            await limiter.give_back("key-a", limits, 5, allowance.at)
        for limits in (Limits(rpm=1), Limits(tpm=10)):
            assert await taken(limiter, limits, 1) is None

    async def test_a_limit_that_is_changed_holds_at_once(self, limiter: Limiter) -> None:
        for _ in range(5):
            await limiter.take("key-a", Limits(rpm=10), 0)
        with pytest.raises(RateLimited) as refused:
            await limiter.take("key-a", Limits(rpm=3), 0)
        assert refused.value.allowance.remaining_requests == 0
        assert (await limiter.take("key-a", Limits(rpm=6), 0)).remaining_requests == 0

    async def test_tasks_count_that_were_begun_without_a_limit(self, limiter: Limiter) -> None:
        await limiter.take("key-a", NONE, 0)
        with pytest.raises(RateLimited):
            await limiter.take("key-a", Limits(concurrency=1), 0)
        await limiter.release("key-a")
        await limiter.take("key-a", Limits(concurrency=1), 0)

    async def test_what_ran_before_a_restart_counts(self, limiter: Limiter) -> None:
        limits = Limits(concurrency=2)
        await limiter.take("key-a", limits, 0)  # a new one may come first
        await limiter.restore({"key-a": 1, "key-b": 1})
        assert await taken(limiter, limits) is None
        assert await taken(limiter, limits, key_id="key-b") is not None
        await limiter.release("key-a")
        assert await taken(limiter, limits) is not None

    async def test_a_release_too_many_makes_no_place(self, limiter: Limiter) -> None:
        await limiter.release("key-a")
        await limiter.take("key-a", Limits(concurrency=1), 0)
        with pytest.raises(RateLimited):
            await limiter.take("key-a", Limits(concurrency=1), 0)
