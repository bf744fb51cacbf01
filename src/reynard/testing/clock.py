"""Time that a test sets."""


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
