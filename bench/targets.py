"""What must be reached, and whether it is."""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from bench import growth
from bench.figures import UPSTREAM, Figures
from bench.scenarios import COMPLETION, RATED, SUBMIT, sync_name
from bench.starting import SCENARIO as START
from bench.streams.scenarios import paced_name
from bench.streams.session import DURABLE, LITELLM, RELAY
from bench.streams.session import SYNC as SYNC_STREAM

Value = Callable[[Figures], float | None]
SYNC: Final = sync_name(32)
OPEN: Final = "5,000 open streams at 2/s"


class Target(Struct, frozen=True):
    """`least` or `most`: the bound. `value`: None if it was not measured."""

    what: str
    value: Value
    unit: str = ""
    least: float | None = None
    most: float | None = None

    @property
    def wanted(self) -> str:
        """In words."""
        sign, bound = ("≥", self.least) if self.least is not None else ("≤", self.most)
        return f"{sign} {bound:,g}{self.unit}"

    def is_met(self, value: float) -> bool:
        """Whether `value` is on the right side of the bound."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


class Verdict(Struct, frozen=True):
    """A line of the table. `reached` and `good` are None if it was not measured in this run."""

    what: str
    wanted: str
    reached: str | None
    good: bool | None


def _median(*words: str) -> Value:
    return lambda figures: figures.median(*words)


def _times(numerator: tuple[str, ...], denominator: tuple[str, ...]) -> Value:
    def ratio(figures: Figures) -> float | None:
        above, below = figures.median(*numerator), figures.median(*denominator)
        return None if above is None or not below else above / below

    return ratio


def _sync_times(peer: str) -> Value:
    return _times((SYNC, "reynard", "answers"), (SYNC, peer, "answers"))


def _streamed(target: str, peer: str) -> Value:
    return _times((paced_name(target), target, "a CPU second"), (paced_name(peer), peer, "a CPU second"))


def _added(scenario: str, what: str) -> Value:
    def added(figures: Figures) -> float | None:
        own, alone = figures.median(scenario, "reynard", what), figures.median(scenario, UPSTREAM, what)
        return None if own is None or alone is None else own - alone

    return added


def _grown(kind: str, more: str) -> Value:
    cost = f"CPU a {kind}"
    return _times((growth.SCENARIO, more, cost), (growth.SCENARIO, growth.tasks_name(growth.TASKS[0]), cost))


FLAT: Final = 1.15  # what two runs of the same differ by on a machine that is not alone

TARGETS: Final = (
    Target("sync JSON, 32 connections, times Portkey", _sync_times("portkey"), least=6),
    Target("sync JSON, 32 connections, times LiteLLM", _sync_times("litellm"), least=60),
    Target("sync JSON, 32 connections, times the bare loop", _sync_times("bare loop"), least=0.4),
    Target("sync JSON, 32 connections, times nginx `proxy_pass`", _sync_times("nginx"), least=0.15),
    *(
        Target(f"added latency, {how}, {what}", _added(scenario, what), " ms", most=most)
        for how, scenario in (("one call at a time", sync_name(1)), ("200 requests/s", RATED))
        for what, most in (("p50", 0.7), ("p99", 2))
    ),
    Target("async submits", _median(SUBMIT, "reynard", "answers"), "/s", least=4_000),
    Target("submit to completed, p50", _median(f"{COMPLETION}, 1 connection", "reynard", "p50"), " ms", most=5),
    *(
        Target(f"SSE at a pace, {target}, chunks a CPU second, times {peer}", _streamed(target, peer), least=least)
        for target in (SYNC_STREAM, DURABLE)
        for peer, least in ((RELAY, 0.6), (LITELLM, 8))
    ),
    *(
        Target(f"{OPEN}, {target}, added delay p99", _median(OPEN, target, "added delay p99"), " ms", most=100)
        for target in (SYNC_STREAM, DURABLE)
    ),
    *(
        Target(f"memory of an open stream, {target}", _median(OPEN, target, "memory each"), " KB", most=100)
        for target in (SYNC_STREAM, DURABLE)
    ),
    Target(
        "memory of a queued task beside its body",
        _median("10,000 queued tasks", SYNC_STREAM, "memory each, beside its body"),
        " KB",
        most=4,
    ),
    Target("memory idle", _median("idle", SYNC_STREAM, "resident"), " MB", most=120),
    Target("import", _median(START, "reynard", "import"), " s", most=0.4),
    Target("ready", _median(START, "reynard", "ready"), " s", most=1),
    Target("installed", _median("installed size", "reynard"), " MB", most=60),
    Target(
        "CPU a sync request, 1 million stored tasks to 1 thousand",
        _grown("sync", growth.tasks_name(growth.TASKS[-1])),
        " times",
        most=FLAT,
    ),
    Target(
        "CPU a poll, 1 million stored tasks to 1 thousand",
        _grown("poll", growth.tasks_name(growth.TASKS[-1])),
        " times",
        most=FLAT,
    ),
    Target("CPU a sync request, 10,000 keys to one", _grown("sync", growth.KEYS_NAME), " times", most=FLAT),
)


def verdicts(figures: Figures) -> Iterator[Verdict]:
    """One for each target."""
    for target in TARGETS:
        value = target.value(figures)
        if value is None:
            yield Verdict(target.what, target.wanted, None, None)
        else:
            yield Verdict(target.what, target.wanted, f"{_number(value)}{target.unit}", target.is_met(value))


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
