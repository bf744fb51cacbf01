"""`ports.limits.Limiter` of one process, in memory: a restart forgets the minute before it."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from reynard.core.errors import Overloaded
from reynard.core.limits import Allowance, Limits
from reynard.core.meter import Meter
from reynard.ports.clock import Clock

MOST_KEYS: Final = 100_000


class MemoryLimiter:
    """Meters of keys that have limits and were in use in the last minute, `most_keys` at most; places of all keys.

    Places are counted for keys without a limit too: they may get one while their tasks run.
    """

    def __init__(self, clock: Clock, *, most_keys: int = MOST_KEYS) -> None:
        self._clock = clock
        self._most_keys = most_keys
        self._meters: OrderedDict[str, Meter] = OrderedDict()  # who was in use longest ago, first
        self._running: dict[str, int] = {}  # tasks by key, none of them 0
        self._unmetered = Meter()  # of keys of which nothing is counted over time; it stays empty

    async def take(self, key_id: str, limits: Limits, tokens: int) -> Allowance:
        """See the port."""
        running, now = self._running.get(key_id, 0), self._clock.now()
        if limits.are_none:
            allowance = Allowance(at=now)
        else:
            allowance = self._meter_for(key_id, limits, now).take(limits, tokens, running, now)
        self._running[key_id] = running + 1
        return allowance

    async def correct(self, key_id: str, limits: Limits, estimated: int, real: int, at: float) -> None:
        """See the port."""
        now = self._clock.now()
        if limits.tpm is None or real == estimated:
            return
        meter = self._meters.get(key_id) or self._new_meter(key_id, now)
        if meter is not None:  # a correction is of what has happened: there is nobody to refuse
            meter.correct(estimated, real, at, now)
            self._meters.move_to_end(key_id)

    async def give_back(self, key_id: str, limits: Limits, tokens: int, at: float) -> None:
        """See the port."""
        if key_id in self._meters:
            self._meters[key_id].give_back(limits, tokens, at)
        await self.release(key_id)

    async def release(self, key_id: str) -> None:
        """See the port."""
        left = self._running.get(key_id, 0) - 1
        if left > 0:
            self._running[key_id] = left
        else:
            self._running.pop(key_id, None)

    async def restore(self, running: Mapping[str, int]) -> None:
        """See the port."""
        for key_id, tasks in running.items():
            self._running[key_id] = self._running.get(key_id, 0) + tasks

    def _meter_for(self, key_id: str, limits: Limits, now: float) -> Meter:
        if not limits.are_metered:
            return self._unmetered
        meter = self._meters.get(key_id) or self._new_meter(key_id, now)
        if meter is None:
            raise Overloaded("More keys with limits are in use than the gateway can count. Try again later.")
        self._meters.move_to_end(key_id)
        return meter

    def _new_meter(self, key_id: str, now: float) -> Meter | None:
        """In place of those that are idle; None if there is no room."""
        while self._meters:
            oldest, meter = next(iter(self._meters.items()))
            if not meter.is_idle(now):
                break
            del self._meters[oldest]
        if len(self._meters) >= self._most_keys:
            return None
        meter = self._meters[key_id] = Meter()
        return meter
