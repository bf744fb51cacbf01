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
    """Counts through the alphabet, and always draws the same number."""

    def __init__(self, drawn: float = 0.5) -> None:
        self.drawn = drawn
        self._turn = count()

    def choice(self, alphabet: str) -> str:
        """The next character."""
        return alphabet[next(self._turn) % len(alphabet)]

    def uniform(self) -> float:
        """`drawn`."""
        return self.drawn
