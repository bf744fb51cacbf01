"""All scenarios, round after round."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import click
import uvloop

from bench.figures import Row
from bench.streams import process
from bench.streams import starts as own
from bench.streams.reader import Broken
from bench.streams.scenarios import SCENARIOS, Scenario
from bench.streams.session import ALONE, RELAY, Figure, Session
from bench.subject import Start, Unavailable

Round = dict[tuple[str, str], Figure]
"""By target, and what it is of it."""

OURS: Mapping[str, Start] = {"reynard": own.reynard(own.OPEN), RELAY: own.relay}
"""With room for thousands of streams; nobody needs to bring these."""


def measured(folder: Path, rounds: int, seconds: float, starts: Mapping[str, Start], only: Sequence[str]) -> list[Row]:
    """See `bench.streams.figures`."""
    process.raise_descriptors()
    found: list[dict[str, Round]] = []
    with ExitStack() as stack:
        session = Session(folder, {**starts, **OURS}, stack)
        for turn in range(rounds):
            found.append({})
            for scenario, target in _due(session, turn, only):
                click.echo(f"round {turn + 1} of {rounds}: {scenario.name}, {target}", err=True)
                found[-1].setdefault(scenario.name, {}).update(_round(session, scenario, target, seconds))
    return [row for scenario in SCENARIOS for row in _rows(scenario, [one.get(scenario.name, {}) for one in found])]


def _due(session: Session, turn: int, only: Sequence[str]) -> Iterator[tuple[Scenario, str]]:
    for scenario in SCENARIOS:
        if turn >= scenario.most_rounds:
            continue
        for target in scenario.targets:
            if session.has(target) and all(word in f"{scenario.name}, {target}" for word in only):
                yield scenario, target


def _round(session: Session, scenario: Scenario, target: str, seconds: float) -> Round:
    """What could not be measured is said, and the others go on."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            values = runner.run(scenario.measure(session, target, seconds))
    except (Unavailable, Broken, TimeoutError, OSError) as error:
        click.secho(f"{scenario.name}, {target}: {type(error).__name__} {error}", fg="red", err=True)
        return {}
    return {(target, value.what): value for value in values}


def _rows(scenario: Scenario, rounds: Sequence[Round]) -> Iterator[Row]:
    seen = dict.fromkeys(key for one in rounds for key in one)
    for target, what in seen:
        values = [one[target, what].value for one in rounds if (target, what) in one]
        unit = next(one[target, what].unit for one in rounds if (target, what) in one)
        yield Row(f"{target}, {what}", unit, values)
        if scenario.compared and unit == "ms" and target != ALONE:
            added = [
                one[target, what].value - one[ALONE, what].value
                for one in rounds
                if (target, what) in one and (ALONE, what) in one
            ]
            if added:
                yield Row(f"added by {target}, {what}", unit, added)
