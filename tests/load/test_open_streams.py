"""Many open streams, a tenth of them read slowly: everybody gets the same bytes, and memory is bounded."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop
from tests.load.samples import Sample
from tests.load.wire import Read, Reader, Wire, raise_descriptors
from tests.processes import FreshGateway, Gateway, Upstream, channel, running, text_request

CHANNEL = "concurrency = 2_000\nfirst_byte_timeout_s = 600\n"
SLOW = 10  # one reader in so many
EVENT = 520  # bytes of memory that a chunk costs: as it is kept, and what becomes of it in the result
READER = 80_000  # bytes that an open stream costs, its connections to the client and to the provider with it
SLOW_READER = 400_000  # what waits for one, at the most
CUT_WITHIN_S = 700  # 300 s after it took something for the last time, as the gateway sees it: twice that at the most
NEVER_S = 36_000.0


@dataclass(frozen=True)
class Load:
    """`streams` with `readers` each, a tenth of them slow; `deaf` more read nothing. Words at `tokens_per_s`."""

    streams: int
    readers: int
    tokens: int
    tokens_per_s: float
    every_s: float
    deaf: int = 0


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(Load(20, 10, 800, 400, 0.1), id="200"),
        pytest.param(
            Load(1_000, 2, 800, 8, 5, deaf=10), id="2000", marks=[pytest.mark.proof, pytest.mark.timeout(1_500)]
        ),
    ],
)
def test_every_reader_gets_every_chunk(folder: Path, load: Load) -> None:
    raise_descriptors()
    with running(Upstream(folder)) as upstream:
        upstream.behave(tokens=load.tokens, tokens_per_s=load.tokens_per_s, first_token_ms=load.streams * 15)
        config = channel(upstream, more=CHANNEL) + "[engine]\nmax_running = 2_000\n"
        with (
            running(FreshGateway(folder, config)) as gateway,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(read_all(gateway, upstream, load))


@dataclass(frozen=True)
class Opened:
    """Readers, each with the path of its stream."""

    attentive: list[tuple[str, Reader]]
    slow: list[tuple[str, Reader]]
    deaf: list[Reader]

    def close(self) -> None:
        for _, reader in self.attentive + self.slow:
            reader.close()
        for reader in self.deaf:
            reader.close()


async def read_all(gateway: Gateway, upstream: Upstream, load: Load) -> None:
    """Opens all of them, and compares what they got."""
    began = time.monotonic()
    before = gateway.resident_bytes
    samples: list[Sample] = []
    async with AsyncExitStack() as stack:
        stack.callback(asyncio.create_task(keep_sampling(gateway, samples, began)).cancel)
        paths = await submitted(gateway, load.streams)
        readers = await opened(gateway, load, paths)
        stack.callback(readers.close)
        assert upstream.state()["open"] == load.streams  # nothing was said so far
        idle = gateway.resident_bytes - before

        await asyncio.gather(*(reader.ended for _, reader in readers.attentive))
        attentive_s = time.monotonic() - began
        assert not any(reader.ended.done() for _, reader in readers.slow)
        held = max(sample.resident for sample in samples) - before
        await cut_off(readers.deaf)
        for _, reader in readers.slow:
            reader.hurry()
        await asyncio.gather(*(reader.ended for _, reader in readers.slow))

        found = compared(readers, load)
        await replayed(gateway, found, paths[:: max(1, load.streams // 20)])
    chunks = sum(count for count, _, _ in found.values())
    most = max(sample.resident for sample in samples) - before
    print(
        f"\n{load.streams * load.readers} open streams of {load.streams} tasks, {len(readers.slow)} read slowly: "
        f"{chunks} chunks, {chunks * load.readers} deliveries, the same for all, in {attentive_s:.0f} s to the "
        f"attentive; memory {idle / 1e6:.0f} MB more with all of them open, {held / 1e6:.0f} MB at their end, "
        f"{most / 1e6:.0f} MB at the most; "
        f"descriptors {max(sample.descriptors for sample in samples)}, "
        f"threads {max(sample.threads for sample in samples)}; {len(readers.deaf)} that read nothing were cut"
    )
    waiting = (len(readers.slow) + len(readers.deaf)) * SLOW_READER
    assert most < chunks * EVENT + load.streams * load.readers * READER + waiting


async def opened(gateway: Gateway, load: Load, paths: list[str]) -> Opened:
    """All readers of all streams; a slow one shares its stream with attentive ones."""
    readers = Opened([], [], [])
    for number in range(load.streams * load.readers):
        path = paths[number % load.streams]
        if number % SLOW == number // load.streams % SLOW:
            readers.slow.append((path, await Reader.of(gateway.url, path, gateway.key, load.every_s)))
        else:
            readers.attentive.append((path, await Reader.of(gateway.url, path, gateway.key)))
    for path in paths[: load.deaf]:
        readers.deaf.append(await Reader.of(gateway.url, path, gateway.key, NEVER_S))
    assert len(readers.slow) * SLOW == load.streams * load.readers
    return readers


def compared(readers: Opened, load: Load) -> dict[str, Read]:
    """What was read of each stream: the same bytes by all who read it, to its end."""
    found: dict[str, set[Read]] = {}
    for path, reader in readers.attentive + readers.slow:
        found.setdefault(path, set()).add(reader.read)
    for path, reads in found.items():
        assert len(reads) == 1, (path, reads)
        [(chunks, _, last)] = reads
        assert chunks >= load.tokens
        assert last == b'event: done\ndata: {"total_chunks": %d}\n\n' % chunks
    return {path: next(iter(reads)) for path, reads in found.items()}


async def submitted(gateway: Gateway, count: int) -> list[str]:
    """The paths of the streams."""
    paths = []
    wire = await Wire.to(gateway.url)
    for number in range(count):
        body = text_request(prompt=f"stream {number}", stream=True)
        status, task = await wire.call(gateway.key, "POST", "/v1/llm/generations", body)
        assert status == 200
        paths.append(task["stream"]["url"])
    await wire.close()
    return paths


async def cut_off(deaf: list[Reader]) -> None:
    """Waits until those that take nothing have lost their connection. Those that take a little are seen to keep theirs:
    they get the rest."""
    await until(lambda: all(reader.is_cut for reader in deaf), CUT_WITHIN_S)
    for reader in deaf:
        reader.hurry()
    await asyncio.gather(*(reader.ended for reader in deaf))
    assert {reader.status for reader in deaf} <= {0}  # no end of theirs ever came


async def until(holds: Callable[[], bool], within_s: float) -> None:
    """Looks once a second."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(1)


async def keep_sampling(gateway: Gateway, samples: list[Sample], began: float) -> None:
    while True:
        samples.append(Sample.of(gateway, time.monotonic() - began, 0))
        await asyncio.sleep(0.5)


async def replayed(gateway: Gateway, found: dict[str, Read], paths: list[str]) -> None:
    """Who comes when all is over reads the same, and it is what the task says."""
    wire = await Wire.to(gateway.url)
    for path in paths:
        reader = await Reader.of(gateway.url, path, gateway.key)
        await reader.ended
        assert reader.read == found[path]
        _, task = await wire.call(gateway.key, "GET", f"/v1/tasks/{path.split('/')[-2]}")
        assert task["status"] == "completed"
        assert task["usage"]["completion_tokens"] <= reader.chunks
    await wire.close()
