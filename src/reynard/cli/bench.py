"""`reynard bench`: what this machine does."""

import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import click
import msgspec

from reynard.cli import settings as shared
from reynard.testing.load import Outcome, Unexpected, closed, request, target
from reynard.testing.process import Listening, listening

MODEL: Final = "gpt-5.5"
ASKED: Final = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 24}
CHAT, GENERATIONS = "/v1/chat/completions", "/v1/llm/generations"
WARM_SHARE: Final = 0.1
TIMEOUT_S: Final = 10.0
WAIT_S: Final = 30
HEADINGS: Final = ["WHAT", "CONNECTIONS", "REQUESTS/S", "P50 MS", "P99 MS", "P99.9 MS", "MAX MS", "FAILED"]


class Load(NamedTuple):
    """One of the loads."""

    what: str
    path: str
    connections: int
    is_followed: bool = False


LOADS: Final = (
    Load("sync completion", CHAT, 1),
    Load("sync completion", CHAT, 32),
    Load("async, submit to completed", GENERATIONS, 1, is_followed=True),
    Load("async submit", GENERATIONS, 32),
)


class _Task(msgspec.Struct):
    id: str
    status: str


_tasks = msgspec.json.Decoder(_Task)


@click.command()
@click.option("--seconds", type=click.FloatRange(0.1, 60), default=2.0, show_default=True, help="Length of each load.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def bench(seconds: float, as_json: bool) -> None:
    """Measure what this machine does, with a gateway and a provider of its own; a running one is left alone.

    All shares the cores: the gateway, the simulated provider and the load. Exits with 1 if a request failed.

    \b
    Example:
      reynard bench
    """
    signal.signal(signal.SIGTERM, _interrupt)  # what was started is stopped then too
    with tempfile.TemporaryDirectory() as folder, _gateway(Path(folder)) as gateway:
        outcomes = [(load, _measured(gateway, load, seconds)) for load in LOADS]
    if as_json:
        click.echo(msgspec.json.encode([_fields(load, outcome) for load, outcome in outcomes]))
    else:
        _show(outcomes)
    _judge(outcomes)


def _interrupt(*_: object) -> None:
    """As Ctrl-C, which asyncio takes for a cancellation: an exception out of a signal may come up anywhere in the event
    loop, and be taken there for a connection's failure."""
    signal.raise_signal(signal.SIGINT)


def _judge(outcomes: list[tuple[Load, Outcome]]) -> None:
    failed = [(load, outcome) for load, outcome in outcomes if outcome.failed]
    for load, outcome in failed:
        click.secho(f"{load.what}, {load.connections} at once: {_kinds(outcome)}", fg="red", err=True)
    if failed:
        sys.exit(1)
    click.secho("every answer was good", fg="green", err=True)


def _kinds(outcome: Outcome) -> str:
    return ", ".join(f"{count} times {kind}" for kind, count in outcome.failures.items())


def to_completion(url: str, headers: Mapping[str, str]) -> Callable[[bytes], bytes | None]:
    """For `Target.follow`: a task is waited for until it is completed."""

    def follow(body: bytes) -> bytes | None:
        task = _tasks.decode(body)
        if task.status == "completed":
            return None
        if task.status not in ("pending", "processing"):
            raise Unexpected(task.status)
        return request("GET", urlsplit(url).netloc, f"/v1/tasks/{task.id}?wait={WAIT_S}", headers)

    return follow


@contextmanager
def _gateway(folder: Path) -> Iterator[Listening]:
    """With everything that it always does, a store on this disk too."""
    environment = {name: value for name, value in shared.ENVIRONMENT.items() if not name.startswith("REYNARD_")}
    config = folder / "bench.toml"
    with listening("reynard.testing.upstream", environment=environment) as upstream:
        config.write_text(
            f'[server]\ndrain_s = 0.1\n\n[[channels]]\nname = "bench"\ndialect = "openai"\n'
            f'base_url = "{upstream.url}/v1"\nmodels = ["{MODEL}"]\nconcurrency = 512\n'
        )
        options = ("--port", "0", "--data", str(folder / "data"), "--config", str(config))
        with listening("reynard", "serve", *options, environment=environment) as gateway:
            yield gateway


def _measured(gateway: Listening, load: Load, seconds: float) -> Outcome:
    click.secho(f"{load.what}, {load.connections} at once, {seconds:g} s …", dim=True, err=True)
    headers = {"authorization": f"Bearer {gateway.said[-1]}"}
    follow = to_completion(gateway.url, headers) if load.is_followed else None
    asked = target(gateway.url, load.path, headers, msgspec.json.encode(ASKED), follow=follow)
    warm_s = WARM_SHARE * seconds
    return shared.run(closed(asked, connections=load.connections, seconds=seconds, warm_s=warm_s, timeout_s=TIMEOUT_S))


def _fields(load: Load, outcome: Outcome) -> dict[str, Any]:
    return {
        "what": load.what,
        "connections": load.connections,
        "requests_per_s": round(outcome.per_s, 1),
        "ms": {name: round(value, 3) for name, value in outcome.spectrum().items()},
        "failures": outcome.failures,
    }


def _show(outcomes: list[tuple[Load, Outcome]]) -> None:
    rows = []
    for load, outcome in outcomes:
        spectrum = outcome.spectrum()
        latencies = [f"{spectrum[name]:.2f}" for name in ("p50", "p99", "p99.9", "max")]
        rows.append([load.what, str(load.connections), f"{outcome.per_s:,.0f}", *latencies, str(outcome.failed)])
    shared.table(HEADINGS, rows)
