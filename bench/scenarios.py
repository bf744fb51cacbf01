"""What is measured of whom."""

import math
import time
import urllib.request
from collections.abc import Callable, Coroutine
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from bench import bodies, cost
from bench.figures import UPSTREAM, Figures, named
from bench.subject import Subject
from reynard.cli.bench import GENERATIONS, to_completion
from reynard.testing import load
from reynard.testing.load import Outcome, Target

PROXIES: Final = ("nginx", "bare loop", "reynard", "portkey", "litellm")
OURS: Final = ("reynard",)
RATE: Final = 200
SIZES: Final = {"1 KB": 1_000, "100 KB": 100_000, "10 MB": 10_000_000}
FEW, MANY = 3, 1_000
CONNECTIONS: Final = {1: MANY, 8: FEW, 32: MANY, 256: FEW}
"""And how many rounds they take at most: the slowest need half a minute for a round of 256."""
WARM_S: Final = 0.4
TIMEOUT_S: Final = 10.0
POLLED: Final = 64
HALF: Final = 0.5
"""Of the length of a measurement: where latencies of one in a thousand are not what is asked for."""
COMPLETION: Final = "async submit to completed"

Loading = Coroutine[Any, Any, Outcome]
Loads = Callable[[Subject, float], Loading]


class Scenario(Struct, frozen=True):
    """`share`: of the length of a measurement, where less is long enough. `most_rounds`: for what takes long."""

    name: str
    subjects: tuple[str, ...]
    load: Loads
    share: float = 1.0
    most_rounds: int = MANY


def closed(connections: int, size: int = 0) -> Loads:
    """Chat completions, as fast as they are answered."""
    return lambda subject, seconds: load.closed(
        asked(subject, size),
        connections=connections,
        seconds=seconds,
        warm_s=WARM_S,
        timeout_s=TIMEOUT_S,
        least=connections,
    )


def at_rate(asks: Callable[[Subject], Target]) -> Loads:
    """So many a second, whatever comes of them."""
    return lambda subject, seconds: load.at_rate(
        asks(subject), rate=RATE, seconds=seconds, warm_s=WARM_S, timeout_s=TIMEOUT_S
    )


def looped(asks: Callable[[Subject], Target], connections: int) -> Loads:
    """The same, as fast as they are answered."""
    return lambda subject, seconds: load.closed(
        asks(subject), connections=connections, seconds=seconds, warm_s=WARM_S, timeout_s=TIMEOUT_S
    )


def asked(subject: Subject, size: int = 0) -> Target:
    """A chat completion."""
    return load.target(subject.url, subject.path, subject.headers, bodies.chat(size))


def submitted(subject: Subject) -> Target:
    """A durable task."""
    return load.target(subject.url, GENERATIONS, subject.headers, bodies.chat())


def completed(subject: Subject) -> Target:
    """A durable task, and its end."""
    follow = to_completion(subject.url, subject.headers)
    return load.target(subject.url, GENERATIONS, subject.headers, bodies.chat(), follow=follow)


def polled(subject: Subject) -> Target:
    """Tasks that have ended, in turn."""
    tasks = [_call(subject, GENERATIONS, bodies.chat())["id"] for _ in range(POLLED)]
    for task in tasks:
        _call(subject, f"/v1/tasks/{task}?wait=30")
    return polls(subject, tasks)


def polls(subject: Subject, tasks: list[str]) -> Target:
    """What `tasks` have come to, in turn."""
    where = urlsplit(subject.url)
    requests = tuple(load.request("GET", where.netloc, f"/v1/tasks/{task}", subject.headers) for task in tasks)
    return Target(where.hostname or "", where.port or 80, requests)


def sync_name(connections: int) -> str:
    """Of the scenario."""
    return f"sync JSON, {connections} connection{'s' if connections > 1 else ''}"


RATED: Final = f"sync JSON at {RATE} requests/s"
SUBMIT: Final = "async submit, 32 connections"

SCENARIOS: Final = (
    *(
        Scenario(sync_name(count), (UPSTREAM, *PROXIES) if count in (1, 32) else PROXIES, closed(count), HALF, most)
        for count, most in CONNECTIONS.items()
    ),
    Scenario(RATED, (UPSTREAM, *PROXIES), at_rate(asked)),
    Scenario(SUBMIT, OURS, looped(submitted, 32), HALF),
    Scenario(f"{COMPLETION}, 1 connection", OURS, looped(completed, 1), HALF),
    Scenario(f"{COMPLETION}, at {RATE} tasks/s", OURS, at_rate(completed)),
    Scenario("polls, 32 connections", OURS, looped(polled, 32), HALF),
    *(
        Scenario(f"body of {name}, {count} connections", PROXIES, closed(count, SIZES[name]), HALF, FEW)
        for name, count in (("1 KB", 8), ("100 KB", 8), ("10 MB", 4))
    ),
)


def measure(scenario: Scenario, subject: Subject, seconds: float, figures: Figures) -> None:
    """One round of one scenario of one subject. Raises `OSError` if it is not there any more."""
    loading = scenario.load(subject, seconds * scenario.share)
    cost.forget_peak(subject.pids)
    before_s = cost.cpu_s(subject.pids)
    outcome = load.on_loop(loading)
    used_s = cost.cpu_s(subject.pids) - before_s

    def add(what: str, unit: str, value: float) -> None:
        if not math.isnan(value):
            figures.add(named(scenario.name, subject.name, what), unit, value)

    add("answers", "/s", outcome.per_s)
    for name, value in outcome.spectrum().items():
        add(name, "ms", value)
    if subject.pids:
        add("CPU", "ms a request", 1000 * used_s / outcome.total if outcome.total else math.nan)
        add("peak memory", "MB", cost.peak_mb(subject.pids))
    add("failed", "requests", outcome.failed)
    for kind, count in outcome.failures.items():
        figures.note(f"{scenario.name}, {subject.name}: {count} failed with `{kind}` in one round")


def settle(subject: Subject) -> None:
    """Waits until no submitted task is left over for the next measurement."""
    for status in ("pending", "processing"):
        while _call(subject, f"/v1/tasks?limit=1&status={status}")["data"]:
            time.sleep(0.1)


def _call(subject: Subject, path: str, body: bytes | None = None) -> Any:
    headers = {"content-type": "application/json", **subject.headers}
    with urllib.request.urlopen(urllib.request.Request(subject.url + path, body, headers)) as response:
        return msgspec.json.decode(response.read())
