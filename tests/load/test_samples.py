"""What the soak takes for flat."""

import random

import pytest
from tests.load.samples import ALLOWED, Sample, trends

FLAT = {"resident": 120e6, "descriptors": 60, "threads": 12, "store": 8e6, "wal": 4e6, "files": 30, "done": 0}


def growing(what: str, by: float, count: int = 360) -> list[str]:
    """What is found in samples of which one figure grows by `by` in all, with some noise in all of them."""
    chance = random.Random(1)
    samples = []
    for number in range(count):
        values = {name: value * chance.uniform(0.98, 1.02) for name, value in FLAT.items()}
        values[what] += by * number / count
        samples.append(Sample(at_s=number, **{name: int(value) for name, value in values.items()}))
    return [trend.what for trend in trends(samples) if not trend.is_flat]


@pytest.mark.parametrize("what", ALLOWED)
def test_what_grows_is_found(what: str) -> None:
    assert growing(what, 4 * FLAT[what]) == [what]


def test_what_wavers_is_flat() -> None:
    assert growing("done", 100_000) == []


def test_warming_up_is_no_growth() -> None:
    samples = [Sample(at_s=n, **{name: int(v * min(1.0, 0.5 + n / 60)) for name, v in FLAT.items()}) for n in range(90)]
    assert all(trend.is_flat for trend in trends(samples))
