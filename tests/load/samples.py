"""What a process has open and in memory, looked at from outside, and whether that stays as it is."""

import csv
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

from tests.processes import Gateway


@dataclass(frozen=True)
class Sample:
    """`at_s`: since the start. Sizes in bytes."""

    at_s: float
    resident: int
    descriptors: int
    threads: int
    store: int
    wal: int
    files: int
    done: int  # what clients have done so far

    @classmethod
    def of(cls, gateway: Gateway, at_s: float, done: int) -> "Sample":
        """As it is now."""
        process, data = Path(f"/proc/{gateway.popen.pid}"), gateway.folder / "data"
        return cls(
            at_s=round(at_s, 1),
            resident=gateway.resident_bytes,
            descriptors=sum(1 for _ in (process / "fd").iterdir()),
            threads=sum(1 for _ in (process / "task").iterdir()),
            store=(data / "reynard.db").stat().st_size,
            wal=(data / "reynard.db-wal").stat().st_size,
            files=sum(1 for _ in (data / "files").iterdir()),
            done=done,
        )


class Allowance(NamedTuple):
    """How much more the last third may have than the one before: a share of that, and an amount beside it."""

    share: float
    amount: float


ALLOWED = {
    "resident": Allowance(0.03, 4e6),
    "descriptors": Allowance(0.10, 8),
    "threads": Allowance(0.0, 2),
    "store": Allowance(0.05, 1e6),
    "wal": Allowance(0.10, 1e6),
    "files": Allowance(0.25, 8),
}
"""A leak of a kilobyte a request is some 30 MB in ten minutes of the soak: three times what is allowed."""


@dataclass(frozen=True)
class Trend:
    """One figure: medians of the three thirds, and the most there was."""

    what: str
    thirds: tuple[float, float, float]
    most: float

    @property
    def is_flat(self) -> bool:
        """Whether the last third has no more than is allowed over the middle one; the first one warms up."""
        allowed = ALLOWED[self.what]
        return self.thirds[2] <= self.thirds[1] * (1 + allowed.share) + allowed.amount

    @property
    def row(self) -> str:
        """For a table."""
        form: Callable[[float], str] = (
            (lambda value: f"{value / 1e6:.1f} MB")
            if self.what in ("resident", "store", "wal")
            else (lambda value: f"{value:.0f}")
        )
        return "| " + " | ".join([self.what, *map(form, self.thirds), form(self.most)]) + " |"


def trends(samples: Sequence[Sample]) -> list[Trend]:
    """Of everything that must stay flat."""
    third = len(samples) // 3
    parts = samples[:third], samples[third : 2 * third], samples[2 * third :]
    found = []
    for what in ALLOWED:
        medians = [statistics.median(getattr(sample, what) for sample in part) for part in parts]
        most = max(getattr(sample, what) for sample in samples)
        found.append(Trend(what, (medians[0], medians[1], medians[2]), most))
    return found


def write(samples: Sequence[Sample], path: Path) -> None:
    """As CSV."""
    with path.open("w", newline="") as file:
        rows = csv.DictWriter(file, [field.name for field in fields(Sample)])
        rows.writeheader()
        rows.writerows(map(asdict, samples))
