"""Many open streams, a tenth of them read slowly: everybody gets the same bytes, and memory is bounded."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop
from tests.load.samples import Sample
from tests.load.wire import Reader, Wire, raise_descriptors
from tests.processes import Gateway, Upstream, channel, running, text_request

CHANNEL = "concurrency = 2_000\nfirst_byte_timeout_s = 600\n"
SLOW = 10  # one reader in so many
EVENT = 300  # bytes of a chunk as it is kept, at the most
READER = 60_000  # bytes that an open stream costs, its connections to the client and to the provider with it
SLOW_READER = 400_000  # what waits for one, at the most
CUT_WITHIN_S = 420  # 300 s after it took something for the last time, and what goes before


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
            Load(1_000, 2, 800, 4, 5, deaf=10), id="2000", marks=[pytest.mark.proof, pytest.mark.timeout(1_500)]
        ),
    ],
)
def test_every_reader_gets_every_chunk(folder: Path, load: Load) -> None:
    raise_descriptors()
    with running(Upstream(folder)) as upstream:
        upstream.behave(tokens=load.tokens, tokens_per_s=load.tokens_per_s, first_token_ms=load.streams * 15)
        config = channel(upstream, more=CHANNEL) + "[engine]\nmax_running = 2_000\n"
        with (
            running(Gateway(folder, config)) as gateway,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(read_all(gateway, upstream, load))


async def read_all(gateway: Gateway, upstream: Upstream, load: Load) -> None:
    """Opens all of them, and compares what they got."""
    began = time.monotonic()
    before = gateway.resident_bytes
    samples: list[Sample] = []
    sampling = asyncio.create_task(keep_sampling(gateway, samples, began))
    wire = await Wire.to(gateway.url)
    paths = await submitted(wire, gateway, load.streams)
    opened: list[tuple[str, Reader, bool]] = []
    for number in range(load.streams * load.readers):
        path, slow = paths[number % load.streams], number % SLOW == number // load.streams % SLOW
        opened.append((path, await Reader.of(gateway.url, path, gateway.key, load.every_s if slow else 0.0), slow))
    deaf = [await Reader.of(gateway.url, path, gateway.key, 3_600) for path in paths[: load.deaf]]
    assert upstream.state()["open"] == load.streams
    attentive = [reader for _, reader, slow in opened if not slow]
    slow_ones = [reader for _, reader, slow in opened if slow]
    assert len(slow_ones) * SLOW == len(opened)

    await asyncio.gather(*(reader.ended for reader in attentive))
    attentive_s = time.monotonic() - began
    behind = sum(not reader.ended.done() for reader in slow_ones)
    assert behind == len(slow_ones)
    most = max(sample.resident for sample in samples) - before

    cut = await cut_off(deaf)
    assert not any(reader.is_cut for reader in slow_ones)
    for reader in slow_ones:
        reader.hurry()
    await asyncio.gather(*(reader.ended for reader in slow_ones))
    sampling.cancel()

    found: dict[str, set[tuple[int, bytes, bytes]]] = {path: set() for path in paths}
    for path, reader, _ in opened:
        found[path].add(reader.read)
    for reads in found.values():
        [(chunks, _, last)] = reads  # the same bytes for all of them
        assert chunks >= load.tokens
        assert last == b'event: done\ndata: {"total_chunks": %d}\n\n' % chunks
    await replayed(wire, gateway, found, paths[:: max(1, load.streams // 20)])
    await wire.close()

    chunks = sum(next(iter(reads))[0] for reads in found.values())
    print(
        f"\n{len(opened)} open streams of {load.streams} tasks, {len(slow_ones)} read slowly: {chunks} chunks, "
        f"{chunks * load.readers} deliveries in {attentive_s:.0f} s, the same for all; memory {most / 1e6:.0f} MB more "
        f"at the most, descriptors {max(sample.descriptors for sample in samples)}, "
        f"threads {max(sample.threads for sample in samples)}; {cut} that read nothing were cut"
    )
    assert most < chunks * EVENT + len(opened) * READER + (len(slow_ones) + len(deaf)) * SLOW_READER


async def submitted(wire: Wire, gateway: Gateway, count: int) -> list[str]:
    """The paths of the streams."""
    paths = []
    for number in range(count):
        body = text_request(prompt=f"stream {number}", stream=True)
        status, task = await wire.call(gateway.key, "POST", "/v1/llm/generations", body)
        assert status == 200
        paths.append(task["stream"]["url"])
    return paths


async def cut_off(deaf: list[Reader]) -> int:
    """Waits until those that take nothing have lost their connection; those that take a little keep theirs."""
    await until(lambda: all(reader.is_cut for reader in deaf), CUT_WITHIN_S)
    for reader in deaf:
        reader.hurry()
    await asyncio.gather(*(reader.ended for reader in deaf))
    assert {reader.status for reader in deaf} <= {0}  # no end of theirs ever came
    return len(deaf)


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


async def replayed(
    wire: Wire, gateway: Gateway, found: dict[str, set[tuple[int, bytes, bytes]]], paths: list[str]
) -> None:
    """Who comes when all is over reads the same, and it is what the task says."""
    for path in paths:
        reader = await Reader.of(gateway.url, path, gateway.key)
        await reader.ended
        assert {reader.read} == found[path]
        _, task = await wire.call(gateway.key, "GET", f"/v1/tasks/{path.split('/')[-2]}")
        assert task["status"] == "completed"
        assert task["usage"]["completion_tokens"] <= reader.chunks
