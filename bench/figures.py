"""What is measured, as rows of figures: every round's value is kept."""

import statistics

from msgspec import Struct


class Row(Struct, frozen=True):
    """One figure. `what` is unique in a run; `values`: one a round, in the order they were measured."""

    what: str
    unit: str
    values: list[float]

    @property
    def median(self) -> float:
        """Of all rounds."""
        return statistics.median(self.values)

    @property
    def least(self) -> float:
        """Of all rounds."""
        return min(self.values)

    @property
    def most(self) -> float:
        """Of all rounds."""
        return max(self.values)
