import pytest

from reynard.core.errors import Overloaded
from reynard.core.limits import Limits
from reynard.storage.limits_memory import MemoryLimiter
from reynard.testing.clock import FakeClock
from reynard.testing.conformance.limits import LimiterConformance, taken

METERED = Limits(rpm=5, tpm=50)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def limiter(clock: FakeClock) -> MemoryLimiter:
    return MemoryLimiter(clock, most_keys=3)


class TestMemoryLimiter(LimiterConformance):
    async def test_idle_keys_make_room_and_used_ones_do_not(self, limiter: MemoryLimiter, clock: FakeClock) -> None:
        for name in ("a", "b", "c"):
            await limiter.take(name, METERED, 1)
        with pytest.raises(Overloaded):
            await limiter.take("d", METERED, 1)
        await limiter.take("d", Limits(concurrency=9), 1)  # nothing of it is metered
        clock.advance(30)
        await limiter.take("a", METERED, 1)
        clock.advance(30)
        for name in ("d", "e"):
            allowance = await limiter.take(name, METERED, 1)
            assert allowance.remaining_requests == 4
        assert (await limiter.take("a", METERED, 1)).remaining_requests == 3
        with pytest.raises(Overloaded):
            await limiter.take("b", METERED, 1)

    async def test_a_correction_is_never_refused(self, limiter: MemoryLimiter) -> None:
        for name in ("a", "b", "c"):
            await limiter.take(name, METERED, 1)
        await limiter.correct("d", METERED, 1, 1_000, 0.0)

    async def test_keys_that_are_not_metered_leave_nothing_behind(self, limiter: MemoryLimiter) -> None:
        for number in range(100):
            await taken(limiter, Limits(concurrency=1), 5, f"key-{number}")
            await limiter.correct(f"key-{number}", Limits(rpm=1), 5, 9, 0.0)
        assert not limiter._meters
        assert not limiter._running
        assert not limiter._unmetered.tokens.used
