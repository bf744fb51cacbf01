"""Everything mixed, for long: memory, descriptors, threads and the store stay as they are.

`SOAK_S` is how long the proof takes (1,800 seconds), `SOAK_CSV` where its samples go.
"""

import asyncio
import itertools
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from tests.load import samples as sampled
from tests.load.acts import ACTS, MODELS, PNG, SLOW_MODEL, Surroundings, User
from tests.load.money import accounts, check_sums, limited_key
from tests.load.samples import Sample
from tests.load.wire import raise_descriptors
from tests.processes import Dialect, FreshGateway, Gateway, Upstream, channel, running
from tests.receiver import Receiver
from tests.web import Web

SOAK_S = float(os.environ.get("SOAK_S", "1800"))
SAMPLES = 360
GRANT = 10**13
MOST_FAILURES = 20  # of clients; then it ends early
DIALECTS: tuple[Dialect, ...] = ("openai", "anthropic", "gemini")


@dataclass(frozen=True)
class Soak:
    """For `seconds`, with so many users, who pause for `think_s` at the most between two things that they do."""

    seconds: float
    users: int
    think_s: float

    @property
    def kept_s(self) -> float:
        """How long the gateway keeps what it keeps: much shorter than the soak, so that as much goes as comes."""
        return min(60.0, max(5.0, self.seconds / 30))

    @property
    def sample_s(self) -> float:
        return self.seconds / SAMPLES


@dataclass
class Record:
    """What happened."""

    samples: list[Sample] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    reloads: int = 0


@pytest.mark.parametrize(
    "soak",
    [
        pytest.param(Soak(12, 4, 0.1), id="short"),
        pytest.param(
            Soak(SOAK_S, 12, 0.5), id="long", marks=[pytest.mark.proof, pytest.mark.timeout(SOAK_S * 1.2 + 300)]
        ),
    ],
)
async def test_what_is_held_stays_flat(folder: Path, soak: Soak) -> None:
    raise_descriptors()
    record = Record()
    with running(Upstream(folder)) as upstream, Web() as web, Receiver() as receiver:
        upstream.behave(tokens=24, first_token_ms=10)
        around = Surroundings(web.put("image.png", PNG, "image/png"), receiver)
        with running(FreshGateway(folder, config(upstream, soak, 0))) as gateway:
            secret, key = await limited_key(gateway, GRANT)
            await soaked(gateway, upstream, soak, record, secret, around)
            check_sums(gateway)
            account = accounts(gateway)[key.id]
            assert account.balance == GRANT - account.used < GRANT
            assert gateway.stop() == 0
        refused = upstream.state()["refused"]
    shown(record, soak, folder)
    assert record.failures == []
    assert refused == []
    assert set(record.done) == {act.__name__ for act in ACTS}
    if soak.seconds >= 120:  # what is shorter only warms up
        assert [trend.what for trend in sampled.trends(record.samples) if not trend.is_flat] == []


def config(upstream: Upstream, soak: Soak, turn: int) -> str:
    """Each dialect has a good channel and one that fails half of its calls; `turn` changes how they share."""
    kept = f"retention_s = {soak.kept_s}\n"
    periods = "".join(f"{what}_s = {soak.kept_s}\n" for what in ("tasks", "results", "ledger"))
    rows = [
        f"[retention]\n{periods}",
        f"[chunks]\n{kept}",
        f"[files]\n{kept}quota_bytes = 2_000_000\n",
        "[media]\nallow_private_networks = true\n[webhooks]\nallow_private_networks = true\n",
    ]
    for dialect, model in zip(DIALECTS, MODELS, strict=True):
        rows.append(
            channel(upstream, name=f"good-{dialect}", dialect=dialect, models=f'["{model}"]', more="weight = 3")
        )
        failing = f'[{{ id = "{model}", upstream = "{model}?fail.rate=0.3&fail.reset_rate=0.2" }}]'
        more = f"weight = {1 + turn % 2}\n"
        rows.append(channel(upstream, name=f"bad-{dialect}", dialect=dialect, models=failing, more=more))
    slow = f'[{{ id = "{SLOW_MODEL}", upstream = "{SLOW_MODEL}?tokens=400&tokens_per_s=20" }}]'
    rows.append(channel(upstream, name="slow", models=slow))
    return "".join(rows)


async def soaked(
    gateway: Gateway, upstream: Upstream, soak: Soak, record: Record, key: str, around: Surroundings
) -> None:
    """Users, an operator and an observer, until the time is over; then until nothing is under way."""
    began = time.monotonic()
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(soak.users):
            headers = {"authorization": f"Bearer {key}"}
            client = httpx2.AsyncClient(base_url=gateway.url, headers=headers, timeout=90)
            user = User(client, around, random.Random(number), number)
            group.create_task(keep_asking(user, soak, record, over))
        operator = group.create_task(keep_reloading(gateway, upstream, soak, record))
        observer = group.create_task(keep_looking(gateway, soak, record, began))
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), soak.seconds)  # by then, if clients fail
        over.set()
        operator.cancel()
        observer.cancel()


async def keep_asking(user: User, soak: Soak, record: Record, over: asyncio.Event) -> None:
    """All there is to do, again and again, in another order each time."""
    async with user.client:
        while not over.is_set():
            for act in user.chance.sample(ACTS, len(ACTS)):
                try:
                    await act(user)
                except (AssertionError, httpx2.HTTPError, LookupError, TypeError, ValueError) as error:
                    record.failures.append(f"{act.__name__}: {error!r}")
                    if len(record.failures) >= MOST_FAILURES:
                        over.set()
                record.done[act.__name__] += 1
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), user.chance.uniform(0, soak.think_s))


async def keep_reloading(gateway: Gateway, upstream: Upstream, soak: Soak, record: Record) -> None:
    """An operator: other settings now and then, half of the time with SIGHUP on top of what the change itself does."""
    for turn in itertools.count(1):
        await asyncio.sleep(max(2.0, soak.seconds / 60))
        whole = gateway.config.with_suffix(".new")
        whole.write_text(config(upstream, soak, turn))
        whole.replace(gateway.config)  # SIGHUP must not find half of it
        if turn % 2:
            gateway.popen.send_signal(signal.SIGHUP)
        record.reloads += 1


async def keep_looking(gateway: Gateway, soak: Soak, record: Record, began: float) -> None:
    while True:
        sample = Sample.of(gateway, time.monotonic() - began, record.done.total())
        record.samples.append(sample)
        if len(record.samples) % (SAMPLES // 12) == 0:
            print(
                f"{sample.at_s:7.0f} s  {sample.done:6} done  {sample.resident / 1e6:6.1f} MB  "
                f"{sample.descriptors:4} descriptors  {sample.threads:3} threads  store {sample.store / 1e6:5.1f} MB  "
                f"WAL {sample.wal / 1e6:4.1f} MB  {len(record.failures)} failures",
                flush=True,
            )
        await asyncio.sleep(soak.sample_s)


def shown(record: Record, soak: Soak, folder: Path) -> None:
    """The table, and the samples in a file."""
    path = Path(os.environ.get("SOAK_CSV", folder / "soak.csv"))
    sampled.write(record.samples, path)
    print(
        f"\n{record.done.total()} acts of {soak.users} users in {soak.seconds:.0f} s, {record.reloads} reloads; {path}"
    )
    print("| | first third | second | last | most |\n|---|---|---|---|---|")
    for trend in sampled.trends(record.samples):
        print(trend.row + ("" if trend.is_flat else "  <- grows"))
    print("\n".join(record.failures))
