"""How a channel has been doing lately: the share of its calls that failed, and how long it takes to its first token."""

from collections import deque
from math import ceil, exp
from typing import Final

STEP: Final = 0.1
FADES_S: Final = 60.0
SLACK_S: Final = 0.1
LEAST: Final = 0.05
SAMPLES: Final = 128
ENOUGH: Final = 20


class Vitals:
    """Moving averages, each call counting a tenth, and the last times to a first token.

    `now` is seconds on a clock that never goes back.
    """

    __slots__ = ("_at", "_errors", "_first_s", "_firsts")

    def __init__(self) -> None:
        self._errors = 0.0
        self._at = 0.0
        self._first_s: float | None = None
        self._firsts: deque[float] = deque(maxlen=SAMPLES)

    def succeeded(self) -> None:
        """A call was answered."""
        if self._errors:
            self._errors -= STEP * self._errors

    def failed(self, now: float) -> None:
        """A call was not."""
        self._errors = self.error_rate(now)
        self._errors += STEP * (1.0 - self._errors)
        self._at = now

    def started(self, first_s: float) -> None:
        """A stream began so long after it was asked for."""
        self._firsts.append(first_s)
        before = self._first_s
        self._first_s = first_s if before is None else before + STEP * (first_s - before)

    def error_rate(self, now: float) -> float:
        """From 0 to 1. A failure fades by itself too: a channel that is not asked has no way to do better."""
        return self._errors * exp(-max(0.0, now - self._at) / FADES_S) if self._errors else 0.0

    @property
    def first_s(self) -> float | None:
        """The usual time to a first token; None before there was one."""
        return self._first_s

    def slow_s(self) -> float | None:
        """What only one stream in twenty takes longer than, to its first token; None while too few are known."""
        if len(self._firsts) < ENOUGH:
            return None
        return sorted(self._firsts)[ceil(0.95 * len(self._firsts)) - 1]


def fitness(error_rate: float, first_s: float | None, best_s: float | None) -> float:
    """What a channel's weight is worth, from `LEAST` to 1: less for failures, less for being slower than the best.

    Times that differ by less than about a tenth of a second are the same to it.
    """
    slowness = 1.0 if first_s is None or best_s is None else (best_s + SLACK_S) / (max(first_s, best_s) + SLACK_S)
    return max(LEAST, (1.0 - error_rate) ** 2 * slowness)
