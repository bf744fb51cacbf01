"""Time and chance that a test sets."""

from itertools import count


class FakeClock:
    """Stands still until it is told."""

    def __init__(self, now: float = 1_776_874_481.0) -> None:
        self.time = now

    def now(self) -> float:
        """Unix seconds."""
        return self.time

    def advance(self, seconds: float) -> None:
        """Later."""
        self.time += seconds


class FakeChance:
    """Counts up, and always draws the same number."""

    def __init__(self, drawn: float = 0.5) -> None:
        self.drawn = drawn
        self._turn = count()

    def below(self, limit: int) -> int:
        """The next number."""
        return next(self._turn) % limit

    def uniform(self) -> float:
        """`drawn`."""
        return self.drawn
