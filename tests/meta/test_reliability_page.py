"""The page on reliability says what the tests go through."""

from pathlib import Path

from docs import generate
from tests.faults import EACH, SCENARIOS, STATUS

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def test_the_page_is_as_it_would_be_made_now() -> None:
    text = PAGE.read_text("utf-8")
    assert generate.reliability(text) == text, "run `make docs`"
    assert "| no answer at all | `generation_timeout` |" in text


def test_every_scenario_is_bounded_and_ends_in_a_known_way() -> None:
    for scenario in SCENARIOS.values():
        codes = {scenario.code(dialect, stream=stream) for dialect in EACH for stream in (False, True)}
        assert codes <= {None, *STATUS}
        assert 1 <= scenario.most <= 3
