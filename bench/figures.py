"""What is measured, as rows of figures: every round's value is kept."""

import statistics
from collections.abc import Mapping

from msgspec import Struct

BETWEEN = " · "


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


def named(*words: str) -> str:
    """The `what` of a figure: scenario, subject, what of it."""
    return BETWEEN.join(words)


class Figures:
    """What has been measured so far, and what there is to say of it."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.notes: list[str] = []

    def add(self, what: str, unit: str, value: float) -> None:
        """One round's value."""
        self.rows.setdefault(what, Row(what, unit, [])).values.append(value)

    def note(self, said: str) -> None:
        """Once."""
        if said not in self.notes:
            self.notes.append(said)

    def median(self, *words: str) -> float | None:
        """None if it was not measured."""
        row = self.rows.get(named(*words))
        return None if row is None or not row.values else row.median

    def over_upstream(self, scenario: str, subject: str, what: str) -> list[float]:
        """A subject's latencies less those of the upstream alone, round by round."""
        pair = (self.rows.get(named(scenario, who, what)) for who in (subject, UPSTREAM))
        own, alone = (row.values if row else [] for row in pair)
        return [ours - theirs for ours, theirs in zip(own, alone, strict=False)]


UPSTREAM = "upstream alone"


def by_scenario(rows: Mapping[str, Row]) -> dict[str, dict[str, dict[str, Row]]]:
    """Scenario → subject → what of it → its row, in the order of measuring."""
    found: dict[str, dict[str, dict[str, Row]]] = {}
    for row in rows.values():
        scenario, subject, what = [*row.what.split(BETWEEN), "", ""][:3]
        found.setdefault(scenario, {}).setdefault(subject, {})[what] = row
    return found
