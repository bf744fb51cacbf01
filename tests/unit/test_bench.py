"""What the bench says of its figures: medians with their spread, what is reached, and what was not measured."""

import pytest
from bench import bodies, report
from bench.figures import Figures, by_scenario, named
from bench.scenarios import RATED, sync_name
from bench.targets import TARGETS, verdicts


def measured(**answers: float) -> Figures:
    figures = Figures()
    for subject, value in answers.items():
        figures.add(named(sync_name(32), subject, "answers"), "/s", value)
    return figures


def verdict_of(figures: Figures, what: str) -> tuple[str | None, bool | None]:
    return next((verdict.reached, verdict.good) for verdict in verdicts(figures) if verdict.what == what)


def test_a_row_keeps_every_round_and_shows_median_and_spread() -> None:
    figures = Figures()
    for value in (3.0, 1.0, 2.0):
        figures.add("a · b · c", "ms", value)
    assert figures.rows["a · b · c"].values == [3.0, 1.0, 2.0]
    assert report.shown(figures.rows["a · b · c"]) == "2 (1–3)"
    assert list(by_scenario(figures.rows)["a"]["b"]) == ["c"]


@pytest.mark.parametrize(("portkey", "reached", "good"), [(100.0, "6", True), (101.0, "5.94", False)])
def test_a_target_is_met_at_its_bound_and_not_before(portkey: float, reached: str, good: bool) -> None:
    figures = measured(reynard=600.0, portkey=portkey)
    assert verdict_of(figures, "sync JSON, 32 connections, times Portkey") == (reached, good)


def test_what_was_not_measured_is_said_so() -> None:
    text = report.targets(measured(reynard=600.0))
    assert text.count(report.NOT_MEASURED) == len(TARGETS)


def test_added_latency_is_over_the_upstream_alone() -> None:
    figures = Figures()
    figures.add(named(RATED, "upstream alone", "p50"), "ms", 0.25)
    figures.add(named(RATED, "reynard", "p50"), "ms", 0.75)
    assert verdict_of(figures, "added latency, 200 requests/s, p50") == ("0.5 ms", True)


@pytest.mark.parametrize("size", [1_000, 100_000, 10_000_000])
def test_a_body_has_the_size_that_is_wanted(size: int) -> None:
    assert len(bodies.chat(size)) == pytest.approx(size, abs=4)
