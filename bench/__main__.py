"""`python -m bench`: one run, one table.

The gateway, and the bare loop that is its limit, have core 0 to themselves in turn; the upstream and the load share
core 1. Rounds are interleaved, medians are shown with their spread.
"""

import datetime
import os
import platform
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import click
import msgspec

from bench import installed, load, servers
from bench.figures import Row

RESULTS = Path(__file__).parent / "results"
MODEL = "gpt-5.5"
SYNC = {"model": MODEL, "prompt": "Say hello.", "max_tokens": 24, "sync": True}
ASYNC = {"model": MODEL, "prompt": "Say hello.", "max_tokens": 24}
PLAIN = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 24}
GENERATIONS, CHAT = "/v1/llm/generations", "/v1/chat/completions"


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Rounds of each measurement.")
@click.option("--seconds", default=4.0, show_default=True, help="Length of one measurement.")
def main(rounds: int, seconds: float) -> None:
    """Measure, show, and keep the figures in bench/results/."""
    if os.cpu_count() == 1:
        sys.exit("two cores are needed: one for what is measured, one for what measures")
    os.sched_setaffinity(0, {1})
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(Path(folder), rounds, seconds)
        rows += started(Path(folder))
    rows.append(Row("installed without extras", "MB", [installed.megabytes()]))
    text = table(rows)
    click.echo(text)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{today}.md").write_text(f"# {today}\n\n{machine()}\n\n{text}\n")


def measured(folder: Path, rounds: int, seconds: float) -> list[Row]:
    """Throughput and latency, round by round."""
    with (
        servers.server(1, "reynard.testing.upstream") as upstream,
        servers.server(0, "bench.bare", upstream.url) as bare,
        servers.server(
            0, "reynard", "serve", "--port", "0", "--data", str(folder / "data"),
            "--config", servers.gateway_config(folder, upstream.url),
        ) as gateway,
    ):  # fmt: skip
        key = gateway.said[1]
        figures: dict[tuple[str, int], Callable[[int], load.Measured]] = {}
        for connections in (1, 32):
            for name, url, path, body in (
                ("upstream alone", upstream.url, CHAT, PLAIN),
                ("bare loop", bare.url, CHAT, PLAIN),
                ("reynard sync", gateway.url, GENERATIONS, SYNC),
                ("reynard async submit", gateway.url, GENERATIONS, ASYNC),
            ):
                figures[name, connections] = _measuring(url, path, key, body, seconds)
        found: dict[tuple[str, int], list[load.Measured]] = {figure: [] for figure in figures}
        for turn in range(rounds):
            for figure, measure in figures.items():
                click.echo(f"round {turn + 1} of {rounds}: {figure[0]}, {figure[1]} connections", err=True)
                found[figure].append(measure(figure[1]))
                settle(gateway, key)
        rows = [row for figure, runs in found.items() for row in _rows(*figure, runs)]
        rows.append(Row("reynard resident after the load", "MB", [servers.resident_mb(gateway)]))
        return [*rows, *_added(found)]


def settle(gateway: servers.Server, key: str) -> None:
    """Waits until no submitted task is left over for the next measurement."""
    for status in ("pending", "processing"):
        while True:
            request = urllib.request.Request(
                f"{gateway.url}/v1/tasks?limit=1&status={status}", headers={"authorization": f"Bearer {key}"}
            )
            with urllib.request.urlopen(request) as response:
                if not msgspec.json.decode(response.read())["data"]:
                    break
            time.sleep(0.2)


def started(folder: Path) -> list[Row]:
    """From nothing to the first answer, five times."""
    listening, answered = [], []
    for turn in range(5):
        began = time.perf_counter()
        with servers.server(0, "reynard", "serve", "--port", "0", "--data", str(folder / f"start{turn}")) as gateway:
            listening.append(gateway.started_s)
            urllib.request.urlopen(f"{gateway.url}/readyz").read()
            answered.append(time.perf_counter() - began)
    return [Row("start to listening", "s", listening), Row("start to first answer", "s", answered)]


def _measuring(
    url: str, path: str, key: str, body: dict[str, object], seconds: float
) -> Callable[[int], load.Measured]:
    return lambda connections: load.run(url, path, key, body, connections=connections, seconds=seconds)


def _rows(name: str, connections: int, runs: list[load.Measured]) -> list[Row]:
    if any(run.failed for run in runs):
        click.secho(f"{name}: {sum(run.failed for run in runs)} answers were no 200", fg="red", err=True)
    title = f"{name}, {connections} connection{'s' if connections > 1 else ''}"
    return [
        Row(title, "requests/s", [run.requests_per_s for run in runs]),
        Row(f"{title}: p50", "ms", [run.p50_ms for run in runs]),
        Row(f"{title}: p99", "ms", [run.p99_ms for run in runs]),
    ]


def _added(found: dict[tuple[str, int], list[load.Measured]]) -> list[Row]:
    """What the gateway adds to the upstream, alone, and its share of the bare loop's throughput."""
    alone = zip(found["reynard sync", 1], found["upstream alone", 1], strict=True)
    share = zip(found["reynard sync", 32], found["bare loop", 32], strict=True)
    return [
        Row("added by reynard sync, alone: p50", "ms", [own.p50_ms - up.p50_ms for own, up in alone]),
        Row(
            "reynard sync / bare loop, 32 connections", "", [own.requests_per_s / b.requests_per_s for own, b in share]
        ),
    ]


def table(rows: list[Row]) -> str:
    """Markdown."""
    lines = ["| what | median | least | most | unit |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *[f"| {' | '.join(_shown(row))} |" for row in rows]])


def _shown(row: Row) -> list[str]:
    form = "{:,.0f}" if row.least >= 100 else "{:.2f}"
    return [row.what, *[form.format(value) for value in (row.median, row.least, row.most)], row.unit]


def machine() -> str:
    """What it was measured on."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("uvicorn", "uvloop", "msgspec", "wreq"))
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return f"{system}, {packages}"


if __name__ == "__main__":
    main()
