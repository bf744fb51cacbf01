"""Time and chance, as arguments of everything."""

from typing import Protocol


class Clock(Protocol):
    """Wall-clock time; waits use the event loop's own."""

    def now(self) -> float:
        """Unix seconds."""
        ...


class Chance(Protocol):
    """Randomness: `choice` for ids and keys is cryptographic."""

    def choice(self, alphabet: str) -> str:
        """One character of `alphabet`."""
        ...

    def uniform(self) -> float:
        """A number in [0, 1)."""
        ...
