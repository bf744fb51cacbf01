"""How much of a thing there may be in a minute. `now`, in seconds on any clock that never goes back, is an argument."""

from collections import deque
from typing import Final

MINUTE_S: Final = 60.0


class LastMinute:
    """At most `most` events in any 60 seconds, counted exactly."""

    __slots__ = ("_times",)

    def __init__(self, most: int) -> None:
        self._times: deque[float] = deque(maxlen=most)

    def wait_s(self, now: float) -> float:
        """How long until one more may be: 0 for now."""
        times = self._times
        return max(0.0, times[0] + MINUTE_S - now) if len(times) == times.maxlen else 0.0

    def add(self, now: float) -> None:
        """One more; the oldest is forgotten."""
        self._times.append(now)


class Bucket:
    """Fills by `per_s` up to `most`, at which it starts. What is taken may be more than there is: it can be in debt."""

    __slots__ = ("_at", "_level", "_most", "_per_s")

    def __init__(self, most: float, per_s: float, now: float = 0.0) -> None:
        self._most = most
        self._per_s = per_s
        self._level = most
        self._at = now

    def level(self, now: float) -> float:
        """What is in it."""
        if now > self._at:
            self._level = min(self._most, self._level + (now - self._at) * self._per_s)
            self._at = now
        return self._level

    def take(self, amount: float, now: float) -> None:
        """Takes `amount`; less than nothing puts it in."""
        self._level = min(self._most, self.level(now) - amount)

    def wait_s(self, amount: float, now: float) -> float:
        """How long until there is `amount`: 0 for now."""
        missing = amount - self.level(now)
        return max(0.0, missing / self._per_s) if missing > 0 else 0.0
