"""All scenarios, round after round."""

import asyncio
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click
import uvloop

from bench.figures import UPSTREAM, Figures, named
from bench.streams import starts as own
from bench.streams.reader import Broken
from bench.streams.scenarios import SCENARIOS, Scenario
from bench.streams.session import RELAY, Figure, Session
from bench.subject import Start, Unavailable
from reynard.testing.process import NotListening

OURS: Final[Mapping[str, Start]] = {"reynard": own.roomy, RELAY: own.relay}
MOST_S: Final = 480.0
Found = dict[str, dict[str, list[Figure]]]
"""Of one round: by scenario and target."""


def measure_all(
    figures: Figures, folder: Path, rounds: int, seconds: float, starts: Mapping[str, Start], only: Sequence[str]
) -> None:
    """See `bench.streams.measure`."""
    _raise_descriptors()
    with ExitStack() as stack:
        session = Session(folder, {**starts, **OURS}, stack)
        began = time.monotonic()
        for turn in range(rounds):
            if turn and (time.monotonic() - began) * (turn + 1) / turn > MOST_S:
                _tell(figures, f"{turn} of {rounds} rounds of streams: another would take too long")
                break
            found: Found = {}
            for scenario, target in _due(session, turn, only):
                click.echo(f"round {turn + 1} of {rounds}: {scenario.name}, {target}", err=True)
                found.setdefault(scenario.name, {})[target] = _values(figures, session, scenario, target, seconds)
            _keep(figures, found)


def _due(session: Session, turn: int, only: Sequence[str]) -> Iterator[tuple[Scenario, str]]:
    for scenario in SCENARIOS:
        if turn >= scenario.most_rounds:
            continue
        for target in scenario.targets:
            if session.has(target) and all(word.lower() in f"{scenario.name}, {target}".lower() for word in only):
                yield scenario, target


def _values(figures: Figures, session: Session, scenario: Scenario, target: str, seconds: float) -> list[Figure]:
    """What could not be measured is said, and the others go on."""
    try:
        with session.turn_of(target), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(scenario.measure(session, target, seconds))
    except (Unavailable, NotListening, Broken, TimeoutError, OSError) as error:
        why = str(error).splitlines() or [""]
        _tell(figures, f"**{scenario.name}, {target} was not measured in one round**: {type(error).__name__} {why[-1]}")
        return []


def _tell(figures: Figures, said: str) -> None:
    """In the report, and at once."""
    figures.note(said)
    click.secho(said, fg="red", err=True)


def _keep(figures: Figures, found: Found) -> None:
    """With what each adds to the upstream alone, where that was measured."""
    for targets in found.values():
        alone = {(each.part, each.what): each.value for each in targets.get(UPSTREAM, ()) if each.unit == "ms"}
        for target, values in targets.items():
            for each in values:
                figures.add(named(each.part, target, each.what), each.unit, each.value)
                base = alone.get((each.part, each.what))
                if base is not None and target != UPSTREAM:
                    figures.add(named(each.part, target, f"added {each.what}"), each.unit, each.value - base)


def _raise_descriptors() -> None:
    """To as many as may be, here and in the processes that are started from here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
