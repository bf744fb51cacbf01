"""What is measured of streams: how soon they begin, what a chunk costs, how late it is among thousands."""

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import Any, Final

import click
from msgspec import Struct

from bench import cost
from bench.figures import UPSTREAM
from bench.streams import memory
from bench.streams.memory import resident_kb
from bench.streams.reader import Crowd, Tally, Target, crowd
from bench.streams.session import DURABLE, LITELLM, OWN, PEERS, PORTKEY, SUBJECTS, SYNC, Figure, Session, percentile_ms

AT_ONCE: Final = "paced 4 chunks at 0/s"
SHORT: Final = "paced 8 chunks at 10/s"
SHORT_S: Final = 0.7
TEN_A_SECOND: Final = "paced 0 chunks at 10/s, held"
TWICE_A_SECOND: Final = "paced 0 chunks at 2/s, held"
POURED: Final = {LITELLM: 100}  # chunks of a stream that comes at once; to the others 1,000
POURED_STREAMS: Final = 16
PACED: Final = {LITELLM: 50, PORTKEY: 200}  # what they can take; the others take 500
WARM: Final = 50
SWING_S: Final = 0.7  # until all streams that were let go have had a turn


async def first_chunk(session: Session, name: str, seconds: float) -> list[Figure]:
    """From the request to the first chunk, one stream after the other."""
    target = session.target(name)
    async with crowd(target, AT_ONCE, again=True) as found:
        await found.join(1)
        await asyncio.sleep(seconds / 20)
        firsts = await _firsts(found, seconds / 4)
        await found.ended()
    return _percentiles("first chunk, 1 stream", "", firsts)


async def first_chunk_of_50(session: Session, name: str, seconds: float) -> list[Figure]:
    """The same among 50 open streams, each with some chunks at a pace."""
    target = session.target(name)
    async with crowd(target, SHORT, again=True) as found:
        for _ in range(50):
            await found.join(1)
            await asyncio.sleep(SHORT_S / 50)
        firsts = await _firsts(found, seconds / 2)
        await found.ended()
    return _percentiles("first chunk, 50 streams", "", firsts)


def paced_name(target: str) -> str:
    """What `paced` measures `target` with."""
    return f"{PACED.get(target, 500)} streams at 10/s"


async def paced(session: Session, name: str, seconds: float) -> list[Figure]:
    """What a chunk costs while there is time enough for all."""
    target = session.target(name)
    async with crowd(target, TEN_A_SECOND) as found:
        await found.join(PACED.get(name, 500))
        session.tell("go")
        await asyncio.sleep(SWING_S)
        window = await Window.of(found.tally, target, seconds / 2)
        session.tell("end")
        await found.ended()
    await session.settle(target)
    return [Figure(paced_name(name), "a CPU second", "chunks", window.chunks / max(window.cpu_s, 0.01))]


async def saturated(session: Session, name: str, seconds: float) -> list[Figure]:
    """As many chunks as one core takes."""
    target = session.target(name)
    words = f"paced {POURED.get(name, 1_000)} chunks at 0/s"
    async with crowd(target, words, timed=False, again=True) as found:
        await found.join(POURED_STREAMS)
        await asyncio.sleep(seconds / 8)
        window = await Window.of(found.tally, target, seconds / 2)
        found.check()
    await session.settle(target)
    return [
        Figure("saturated streams", "delivered", "chunks/s", window.chunks / window.seconds),
        Figure("saturated streams", "a CPU second", "chunks", window.chunks / max(window.cpu_s, 0.01)),
    ]


async def opened(session: Session, name: str, seconds: float, *, streams: int) -> list[Figure]:
    """Many open streams: what each holds in memory, and how late its chunks are."""
    part = f"{streams:,} open streams at 2/s"
    with session.fresh(name) as target:
        async with crowd(target, AT_ONCE) as warming:
            await warming.join(WARM)
            await warming.ended()
        before = resident_kb(target.pids)
        async with crowd(target, TWICE_A_SECOND) as found:
            await found.join(streams)
            opened_kb = resident_kb(target.pids)
            figures = await _lateness(session, found, target, part, seconds)
            held = (max(opened_kb, resident_kb(target.pids)) - before) / streams  # also while chunks flow
            figures += [Figure(part, "memory each", "KB", held)] if target.pids else []
            session.tell("end")
            figures.append(Figure(part, "without a good end", "streams", await found.broken()))
            for fault in found.tally.faults[:1]:
                click.secho(f"{part}, {fault}", fg="red", err=True)
        await session.settle(target)
    return figures


async def _lateness(session: Session, found: Crowd, target: Target, part: str, seconds: float) -> list[Figure]:
    session.tell("go")
    await asyncio.sleep(SWING_S)
    found.tally.notes = True
    window = await Window.of(found.tally, target, seconds / 2)
    found.tally.notes = False
    delivered = Figure(part, "delivered", "chunks/s", window.chunks / window.seconds)
    return [*_percentiles(part, "delay ", found.tally.delays), delivered]


class Window(Struct, frozen=True):
    """What happened in a stretch of time."""

    chunks: int
    cpu_s: float
    seconds: float

    @classmethod
    async def of(cls, tally: Tally, target: Target, seconds: float) -> "Window":
        """From now on."""
        chunks, cpu_s, began = tally.chunks, cost.cpu_s(target.pids), time.monotonic()
        await asyncio.sleep(seconds)
        return cls(tally.chunks - chunks, cost.cpu_s(target.pids) - cpu_s, time.monotonic() - began)


async def _firsts(found: Crowd, seconds: float) -> list[int]:
    seen = len(found.tally.firsts)
    await asyncio.sleep(seconds)
    return list(found.tally.firsts[seen:])


def _percentiles(part: str, what: str, values: Collection[int]) -> list[Figure]:
    if not values:
        return []  # nothing came: what was delivered tells of it
    return [Figure(part, f"{what}p{share}", "ms", percentile_ms(values, share / 100)) for share in (50, 99)]


class Scenario(Struct, frozen=True):
    """`most_rounds`: what takes long, or says the same every time, is measured so often and no more."""

    name: str
    targets: tuple[str, ...]
    measure: Callable[[Session, str, float], Coroutine[Any, Any, list[Figure]]]
    most_rounds: int = 1_000


SCENARIOS: Final = (
    Scenario("idle", tuple(name for name in SUBJECTS if name != DURABLE), memory.idle, most_rounds=1),
    Scenario("queue", (SYNC,), memory.queued, most_rounds=1),
    Scenario("first chunk", (UPSTREAM, *SUBJECTS), first_chunk),
    Scenario("first chunk of 50", (UPSTREAM, *SUBJECTS), first_chunk_of_50, most_rounds=2),
    Scenario("paced", SUBJECTS, paced, most_rounds=3),
    Scenario("saturated", SUBJECTS, saturated, most_rounds=3),
    Scenario("200 open", (UPSTREAM, SYNC, *PEERS), partial(opened, streams=200), most_rounds=2),
    Scenario("1,000 open", (UPSTREAM, *OWN), partial(opened, streams=1_000), most_rounds=2),
    Scenario("5,000 open", (UPSTREAM, *OWN), partial(opened, streams=5_000), most_rounds=2),
)
