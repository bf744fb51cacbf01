"""What a subject holds in memory: when it does nothing, for a connection that does nothing, for a task that waits."""

import asyncio
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from bench.streams import starts
from bench.streams.reader import GENERATIONS, PATIENCE_S, Broken, Target
from bench.streams.session import PEERS, Figure, Session

NOTHING: Final = "/nothing"
IDLE: Final = 5_000
IDLE_OF_PEERS: Final = 200  # they close what is idle for five seconds, and some answer slowly
QUEUED: Final = 10_000
HELD: Final = "paced 0 chunks at 1/s, held"
PAGE_KB: Final = os.sysconf("SC_PAGE_SIZE") / 1024
WARM: Final = 500
SUBMITTERS: Final = 32


def resident_kb(pids: Iterable[int]) -> float:
    """In memory now, of all together."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids) * PAGE_KB


class Asker(asyncio.Protocol):
    """A connection that asks as long as there is something to ask, one answer after the other, and then stays open."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.statuses: list[bytes] = []
        self.is_open = True
        self._requests = requests
        self._answer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = transport  # type: ignore[assignment]
        self._ask()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if found and _is_whole(head.lower(), body):
            self.statuses.append(head[9:12])
            self._answer = b""
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self.is_open = False
        if not self.done.done():
            self.done.set_result(None)

    def close(self) -> None:
        """Leaves."""
        self._transport.close()

    def _ask(self) -> None:
        request = next(self._requests, None)
        if request is not None:
            self._transport.write(request)
        elif not self.done.done():
            self.done.set_result(None)


def _is_whole(head: bytes, body: bytes) -> bool:
    if b"content-length:" in head:
        return len(body) >= int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
    return body.endswith(b"0\r\n\r\n")


async def idle(session: Session, name: str, seconds: float) -> list[Figure]:
    """After its start, and for each of thousands of connections on which a request was answered."""
    count = IDLE_OF_PEERS if name in PEERS else IDLE
    with session.fresh(name) as target:
        started = resident_kb(target.pids)
        await _leave(await _connected(target, count // 20), target, session)
        before = resident_kb(target.pids)
        askers = await _connected(target, count)
        held = resident_kb(target.pids) - before
        lost = sum(not asker.is_open for asker in askers)
        await _leave(askers, target, session)
    if lost:
        raise Broken(f"{name}: {lost} of {count} idle connections were closed")
    return [
        Figure("idle", "resident", "MB", started / 1024),
        Figure(f"{count:,} idle connections", "memory each", "KB", held / count),
    ]


async def queued(session: Session, name: str, seconds: float) -> list[Figure]:
    """For each of thousands of tasks that wait, beside its own body; the provider does not answer."""
    with session.fresh(name, starts.queueing) as target:
        prompt = {"role": "user", "content": HELD}
        body = msgspec.json.encode({"model": target.subject.model, "messages": [prompt]})
        request = target.call("POST", GENERATIONS, body)
        await _submitted(target, request, WARM)
        before = resident_kb(target.pids)
        await _submitted(target, request, QUEUED)
        held = resident_kb(target.pids) - before
    return [Figure(f"{QUEUED:,} queued tasks", "memory each, beside its body", "KB", held / QUEUED - len(body) / 1024)]


async def _submitted(target: Target, request: bytes, count: int) -> None:
    requests = iter([request] * count)
    askers = [await _asker(target, requests) for _ in range(SUBMITTERS)]
    await asyncio.wait([asker.done for asker in askers], timeout=2 * PATIENCE_S)
    taken = sum(asker.statuses.count(b"200") for asker in askers)
    for asker in askers:
        asker.close()
    if taken != count:
        raise Broken(f"{target.name}: {taken} of {count} tasks were taken")


async def _connected(target: Target, count: int) -> list[Asker]:
    found = []
    for _ in range(count):
        asker = await _asker(target, iter([target.call("GET", NOTHING)]))
        found.append(asker)
        if len(found) % SUBMITTERS == 0:
            await asker.done
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(asker.done for asker in found))
    return found


async def _leave(askers: list[Asker], target: Target, session: Session) -> None:
    for asker in askers:
        asker.close()
    await session.settle(target)


async def _asker(target: Target, requests: Iterator[bytes]) -> Asker:
    asker = Asker(requests)
    await asyncio.get_running_loop().create_connection(lambda: asker, *target.address)
    return asker
