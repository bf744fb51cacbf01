"""`python -m bench`: one run, and the tables and the picture of it.

What is measured has core 0 to itself in turn, while everybody else on it stands still; the upstream, which is nginx,
and the load share core 1. Rounds are interleaved, medians are shown with their spread.
"""

import datetime
import gc
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path

import click

from bench import cost, growth, scenarios, starting, streams, subjects
from bench.figures import UPSTREAM, named
from bench.peers import upstream
from bench.report import Report
from bench.scenarios import SCENARIOS, Scenario
from bench.subject import Subject

RESULTS = Path(__file__).parent / "results"
MEASURED_CORE, MEASURING_CORE = 0, 1
QUICK_ROUNDS, QUICK_S = 1, 0.5
STREAM_ROUNDS = 3  # thousands of streams take their time to be opened and to end


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Rounds of each measurement.")
@click.option("--seconds", default=4.0, show_default=True, help="Length of one measurement.")
@click.option("--only", multiple=True, help="Only scenarios, or only subjects, with this in their name.")
@click.option("--quick", is_flag=True, help="One round, half a second each: to see that all of it runs.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, help="The folder of the results.")
def main(rounds: int, seconds: float, only: tuple[str, ...], quick: bool, out: Path) -> None:
    """Measure, show, and keep the figures in bench/results/."""
    if os.cpu_count() == 1:
        sys.exit("two cores are needed: one for what is measured, one for what measures")
    os.sched_setaffinity(0, {MEASURING_CORE})
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # what was started is stopped then too
    gc.freeze()
    gc.disable()  # a pause of ours would be a latency of theirs
    if quick:
        rounds, seconds = QUICK_ROUNDS, QUICK_S
    words = [word.lower() for word in only]
    name = datetime.datetime.now(datetime.UTC).date().isoformat() + ("-part" if words or quick else "")
    report = Report(out / name, f"{rounds} rounds of {seconds:g} s, medians (least–most)")
    try:
        run(report, rounds, seconds, words)
    except KeyboardInterrupt:
        report.figures.note("**the run was broken off**")
    finally:
        click.echo(report.finish())


def run(report: Report, rounds: int, seconds: float, words: list[str]) -> None:
    """All parts, one after the other."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = Path(folder)
        url = stack.enter_context(upstream.start(MEASURING_CORE, _made(place / "upstream")))
        with _whatever_happens(report, "side by side"):
            side_by_side(report, place, url, rounds, seconds, words)
        with _whatever_happens(report, "starts"):
            for turn in range(rounds if _wanted(starting.SCENARIO, words) else 0):
                _say(f"start, round {turn + 1} of {rounds}")
                starting.measure(place, MEASURED_CORE, turn, report.figures)
        with _whatever_happens(report, "growth"):
            if _wanted(growth.SCENARIO, words):
                growth.measure(report.figures, _made(place / "growth"), url, rounds, seconds / 4, _say)
        with _whatever_happens(report, "streams"):
            few = min(rounds, STREAM_ROUNDS)
            streams.measure(report.figures, _made(place / "streams"), few, seconds, subjects.STARTS, words)


@contextmanager
def _whatever_happens(report: Report, part: str) -> Iterator[None]:
    """The other parts are worth having too."""
    began = time.monotonic()
    try:
        yield
    except Exception as error:  # noqa: BLE001 it is told
        report.figures.note(f"**{part}: broken off**, {type(error).__name__}: {error}")
    report.figures.add(named("this run", part, "took"), "minutes", (time.monotonic() - began) / 60)
    gc.collect()
    report.keep()


def side_by_side(report: Report, folder: Path, url: str, rounds: int, seconds: float, words: list[str]) -> None:
    """Every scenario of every subject, round by round."""
    pairs = [
        (scenario, name) for scenario in SCENARIOS for name in scenario.subjects if _wanted_of(scenario, name, words)
    ]
    names = [name for name in subjects.STARTS if any(name == wanted for _, wanted in pairs)]
    with ExitStack() as stack:
        _say(f"starting {', '.join(names)}")
        found = subjects.started(stack, MEASURED_CORE, url, folder, names, report.figures)
        report.versions |= {subject.name: subject.version for subject in found}
        alive = {UPSTREAM: Subject(name=UPSTREAM, version="", url=url, pids=()), **{each.name: each for each in found}}
        for turn in range(rounds):
            for scenario, name in pairs:
                if name in alive and turn < scenario.most_rounds:
                    _say(f"round {turn + 1} of {rounds}: {scenario.name}, {name}")
                    _measured(report, scenario, name, seconds, alive)


def _measured(report: Report, scenario: Scenario, name: str, seconds: float, alive: dict[str, Subject]) -> None:
    others = chain.from_iterable(other.pids for other in alive.values() if other.name != name)
    with cost.standing_still(others):
        try:
            scenarios.measure(scenario, alive[name], seconds, report.figures)
            if name in scenarios.OURS:
                scenarios.settle(alive[name])
            cost.until_quiet(alive[name].pids)
        except OSError as error:
            report.figures.note(f"**{name} was gone during `{scenario.name}`**: {error}")
            del alive[name]
    gc.collect()
    report.keep()


def _wanted(name: str, words: list[str]) -> bool:
    return not words or any(word in name.lower() for word in words)


def _wanted_of(scenario: Scenario, subject: str, words: list[str]) -> bool:
    """Each word narrows: by subjects if it is in the name of one, else by scenarios."""
    return all(_hits(word, scenario.name, subject) for word in words)


def _hits(word: str, scenario: str, subject: str) -> bool:
    is_subject = any(word in name for name in (UPSTREAM, *subjects.STARTS))
    return word in (subject if is_subject else scenario).lower()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _say(what: str) -> None:
    click.secho(what, dim=True, err=True)


if __name__ == "__main__":
    main()
