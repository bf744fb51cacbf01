"""Many tasks at once, in one process: none lost, each paid for once, memory bounded."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.integration.test_answers import submit
from tests.load.money import accounts, check_sums, limited_key, rows
from tests.load.wire import Reader, Wire, raise_descriptors
from tests.processes import FreshGateway, Gateway, Process, Upstream, channel, running, text_request

CHANNEL = "concurrency = 512\nanswer_timeout_s = 1_200\nfirst_byte_timeout_s = 1_200\n"
PRICED = """
[[models]]
id = "gpt-5.5"
price = { input = 1_000, output = 2_000 }
"""
RUNNING = 500
RICH, POOR = 10**13, 2 * 10**7  # micro-credits: enough for everything, and for some hundred tasks
REPLAYED = 100

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Load:
    """`most_bytes`: resident memory, with all of the tasks kept."""

    tasks: int
    connections: int
    most_bytes: int


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(Load(1_000, 32, 250_000_000), id="1000"),
        pytest.param(Load(10_000, 300, 350_000_000), id="10000", marks=[pytest.mark.proof, pytest.mark.timeout(1_200)]),
    ],
)
async def test_all_that_were_submitted_at_once_end(folder: Path, load: Load) -> None:
    raise_descriptors()
    with running(Upstream(folder)) as upstream:
        upstream.behave(first_token_ms=20)
        config = channel(upstream, more=CHANNEL) + PRICED + f"[engine]\nmax_running = {RUNNING}\n"
        with running(FreshGateway(folder, config)) as gateway:
            await flooded(gateway, upstream, load)


async def flooded(gateway: Gateway, upstream: Upstream, load: Load) -> None:
    """The provider says nothing until all tasks are in; then they run."""
    rich, rich_key = await limited_key(gateway, RICH)
    poor, poor_key = await limited_key(gateway, POOR)
    keys = [gateway.key, gateway.key, rich, rich, rich, poor]
    count = load.tasks * len(keys) // (len(keys) - 1)  # those of the poor one come on top
    before = gateway.resident_bytes

    async def submitted(wire: Wire, number: int) -> tuple[str, int, Any]:
        key = keys[number % len(keys)]
        body = text_request(prompt=f"number {number:06}", stream=number % 3 == 0, max_tokens=100)
        status, answer = await wire.call(key, "POST", "/v1/llm/generations", body)
        return key, status, answer

    async def ended(wire: Wire, task: tuple[str, str]) -> Any:
        while True:
            _, answer = await wire.call(task[0], "GET", f"/v1/tasks/{task[1]}?wait=60")
            if answer["status"] not in ("pending", "processing"):
                return answer

    async with AsyncExitStack() as stack:
        wires = [await Wire.to(gateway.url) for _ in range(load.connections)]
        for wire in wires:
            stack.push_async_callback(wire.close)
        began = time.monotonic()
        with silent(upstream):
            answers = await over(wires, submitted, range(count))
            submit_s = time.monotonic() - began
            accepted = [(key, answer["id"]) for key, status, answer in answers if status == 200]
            waiting = dict(rows(gateway, "SELECT status, count(*) FROM tasks GROUP BY status"))
            assert waiting == {"processing": RUNNING, "pending": len(accepted) - RUNNING}
            at_once = gateway.resident_bytes
        began = time.monotonic()
        tasks = await over(wires, ended, accepted)
        end_s = time.monotonic() - began

    # none is lost
    assert len({task["id"] for task in tasks}) == len(accepted)
    assert Counter(task["status"] for task in tasks) == {"completed": len(accepted)}
    assert dict(rows(gateway, "SELECT status, count(*) FROM tasks GROUP BY status")) == {"completed": len(accepted)}
    assert upstream.state()["finished"] == len(accepted)
    assert upstream.state()["refused"] == []

    # a key that runs out is told so, and has not gone below nothing
    told = Counter((key, status) for key, status, _ in answers)
    assert {key for key, status in told if status != 200} <= {poor}
    assert set(Counter(status for _, status in told)) <= {200, 402}
    assert 0 < told[poor, 200] < told[poor, 200] + told[poor, 402] == count // len(keys)
    assert len(accepted) - told[poor, 200] == load.tasks
    check_money(gateway, tasks, rich_key.id, poor_key.id)

    # what was streamed is whole
    streamed = [task for (key, _), task in zip(accepted, tasks, strict=True) if task["stream"] and key == gateway.key]
    for task in streamed[:REPLAYED]:
        reader = await Reader.of(gateway.url, task["stream"]["url"], gateway.key)
        await reader.ended
        assert reader.last == b'event: done\ndata: {"total_chunks": %d}\n\n' % reader.chunks
        assert reader.chunks >= task["usage"]["completion_tokens"]

    after = gateway.resident_bytes
    print(
        f"\n{count} submitted over {load.connections} connections in {submit_s:.1f} s, {len(accepted)} accepted; "
        f"all ended {end_s:.1f} s after the provider answered; resident {before / 1e6:.0f} MB before, "
        f"{at_once / 1e6:.0f} MB with all of them under way, {after / 1e6:.0f} MB after"
    )
    assert max(at_once, after) < load.most_bytes


def check_money(gateway: Gateway, tasks: list[Any], rich: str, poor: str) -> None:
    """What tasks say that they cost is what was taken, once, from nobody else, and from no one more than there was."""
    check_sums(gateway)
    kept = accounts(gateway)
    said = sum(round(task["usage"]["credits_used"] * 1_000_000) for task in tasks)
    assert sum(account.used for account in kept.values()) == said > 0
    assert kept[rich].balance == RICH - kept[rich].used
    assert kept[poor].balance == POOR - kept[poor].used >= 0
    settled = rows(gateway, "SELECT kind, count(*) FROM ledger WHERE task_id IS NOT NULL GROUP BY kind")
    assert dict(settled) == dict.fromkeys(("hold", "settlement"), len(tasks))


@contextmanager
def silent(process: Process) -> Iterator[None]:
    """Stopped as a whole: who connects waits."""
    os.kill(process.popen.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.popen.pid, signal.SIGCONT)


async def over(wires: list[Wire], work: Callable[[Wire, T], Awaitable[R]], items: Iterable[T]) -> list[R]:
    """`work` on all items, in their order; each connection takes the next one as soon as it has time."""
    waiting = iter(list(enumerate(items)))
    found: dict[int, R] = {}

    async def keep(wire: Wire) -> None:
        for number, item in waiting:
            found[number] = await work(wire, item)

    async with asyncio.TaskGroup() as group:
        for wire in wires:
            group.create_task(keep(wire))
    return [found[number] for number in sorted(found)]


async def test_beyond_what_it_keeps_the_gateway_says_so_at_once(folder: Path, upstream: Upstream) -> None:
    upstream.behave(first_token_ms=60_000)
    config = channel(upstream) + "[engine]\nmax_running = 2\nmax_pending = 4\nmax_sync = 1\n"
    with running(FreshGateway(folder, config)) as gateway, gateway.client() as client:
        answers = [submit(client, text_request()) for _ in range(7)]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert {answer.status_code for answer in refused} == {503}
        assert all(answer.json()["error"]["code"] == "overloaded" for answer in refused)
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        kept = [answer.json()["id"] for answer in answers if answer.status_code == 200]
        assert len(kept) == 5  # of those that wait, a key has three quarters at the most
        with gateway.client(gateway.new_key()) as other:
            statuses = [submit(other, text_request()).status_code for _ in range(2)]
            assert statuses == [200, 503]
        assert [task["id"] for task in client.get("/v1/tasks").json()["data"]] == kept[::-1]
