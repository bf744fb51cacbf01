"""What runs during the measurements, and the ways in which it is asked."""

import asyncio
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import click
import msgspec
from msgspec import Struct

from bench import cost, servers
from bench.figures import UPSTREAM
from bench.streams import reader
from bench.streams.reader import Target
from bench.subject import Start, Subject, Unavailable

RELAY: Final = "bare relay"
SYNC: Final = "reynard sync"
DURABLE: Final = "reynard durable"
NGINX: Final = "nginx"
LITELLM: Final = "litellm"
PORTKEY: Final = "portkey"

OWN: Final = (RELAY, SYNC, DURABLE, NGINX)
"""Quick to start: where memory is counted, each is a process that did nothing yet."""
PEERS: Final = (LITELLM, PORTKEY)
SUBJECTS: Final = (*OWN, *PEERS)
STARTED_AS: Final = {SYNC: "reynard", DURABLE: "reynard"}

SUBJECT_CORE: Final = 0
LOAD_CORE: Final = 1
QUIET_S: Final = 0.2
QUIET_SHARE: Final = 0.1
MOST_QUIETS: Final = 25


class Figure(Struct, frozen=True):
    """One value of one round: `what` there is to say of a target in a `part` of a scenario."""

    part: str
    what: str
    unit: str
    value: float


class Session:
    """The upstream, and the subjects that were asked for so far, each started once and asked round after round."""

    def __init__(self, folder: Path, starts: Mapping[str, Start], stack: ExitStack) -> None:
        self._folder = folder
        self._starts = starts
        self._stack = stack
        self._started: dict[str, Subject | Unavailable] = {}
        self._count = 0
        self.upstream = stack.enter_context(servers.server(LOAD_CORE, "bench.streams.upstream"))

    def has(self, name: str) -> bool:
        """Whether there is a way to start it."""
        return name == UPSTREAM or STARTED_AS.get(name, name) in self._starts

    def target(self, name: str) -> Target:
        """The one that runs all the time. Raises `Unavailable`."""
        if name == UPSTREAM:
            return reader.upstream_alone(self.upstream.url)
        started = STARTED_AS.get(name, name)
        if started not in self._started:
            try:
                self._started[started] = self._stack.enter_context(self._start(started))
            except Unavailable as error:
                self._started[started] = error
        subject = self._started[started]
        if isinstance(subject, Unavailable):
            raise subject
        return _target(name, subject)

    @contextmanager
    def fresh(self, name: str, start: Start | None = None) -> Iterator[Target]:
        """One that did nothing yet, for as long as this is open; of the peers, the one that runs all the time."""
        if name in (UPSTREAM, *PEERS):
            yield self.target(name)
            return
        with self._start(STARTED_AS.get(name, name), start) as subject:
            yield _target(name, subject)

    @contextmanager
    def turn_of(self, name: str) -> Iterator[None]:
        """All others stand still."""
        own = STARTED_AS.get(name, name)
        others = (subject for other, subject in self._started.items() if other != own)
        with cost.standing_still(pid for other in others if isinstance(other, Subject) for pid in other.pids):
            yield

    def tell(self, word: str) -> int:
        """`go`, `end` or `state`, to the upstream; how many streams are open there."""
        with urllib.request.urlopen(f"{self.upstream.url}/_{word}") as response:
            return int(msgspec.json.decode(response.read())["open"])

    async def settle(self, target: Target) -> None:
        """Ends what is open, and waits until the target has nothing more to do, some seconds at the most."""
        self.tell("end")
        for _ in range(MOST_QUIETS):
            before = cost.cpu_s(target.pids)
            await asyncio.sleep(QUIET_S)
            if cost.cpu_s(target.pids) - before <= QUIET_S * QUIET_SHARE:
                return

    @contextmanager
    def _start(self, name: str, start: Start | None = None) -> Iterator[Subject]:
        self._count += 1
        folder = self._folder / f"{name.replace(' ', '-')}-{self._count}"
        folder.mkdir(parents=True)
        with (start or self._starts[name])(SUBJECT_CORE, self.upstream.url, folder) as subject:
            click.echo(f"{name} {subject.version}: pid {' '.join(map(str, subject.pids))}", err=True)
            yield subject


def _target(name: str, subject: Subject) -> Target:
    return Target(name=name, subject=subject, durable=name == DURABLE)


def percentile_ms(values: Iterable[int], share: float) -> float:
    """Of nanoseconds."""
    found = sorted(values)
    return found[min(len(found) - 1, int(len(found) * share))] / 1e6
