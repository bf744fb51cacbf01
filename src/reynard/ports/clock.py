"""Time and chance, as arguments of everything."""

from typing import Protocol


class Clock(Protocol):
    """Wall-clock time; waits use the event loop's own."""

    def now(self) -> float:
        """Unix seconds."""
        ...


class Chance(Protocol):
    """Randomness."""

    def below(self, limit: int) -> int:
        """A whole number from 0 up to, and without, `limit`; cryptographic, for ids and keys."""
        ...

    def uniform(self) -> float:
        """A number in [0, 1)."""
        ...
