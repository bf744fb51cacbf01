"""The load generator counts right: against a small server that answers, stalls once, refuses, hangs or hangs up."""

import asyncio
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from reynard.testing import load
from reynard.testing.load import Target, Unexpected

STALL_S = 0.3
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nwh\r\n3\r\nole\r\n0\r\n\r\n"

Serve = Callable[[bytes], bytes | None]


class Server:
    """Answers with what `serve` makes of a request's first line; None hangs, nothing hangs up.

    Before the answer numbered `stalls_at` it stands still as a whole.
    """

    def __init__(self, serve: Serve, stalls_at: int) -> None:
        self.served = 0
        self.port = 0
        self._serve = serve
        self._stalls_at = stalls_at
        self._held: list[tuple[asyncio.Transport, bytes]] | None = None

    def asked(self, transport: asyncio.Transport, head: bytes) -> None:
        self.served += 1
        if self.served == self._stalls_at:
            self._held = []
            asyncio.get_running_loop().call_later(STALL_S, self._go_on)
        if self._held is None:
            self._answer(transport, head)
        else:
            self._held.append((transport, head))

    def _go_on(self) -> None:
        held, self._held = self._held, None
        for transport, head in held or ():
            self._answer(transport, head)

    def _answer(self, transport: asyncio.Transport, head: bytes) -> None:
        answer = self._serve(head.split(b"\r\n")[0])
        if answer:
            transport.write(answer)
        elif answer is not None:
            transport.close()


class Talk(asyncio.Protocol):
    """One connection of it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, rest = self._received.partition(b"\r\n\r\n")
            self._received = rest.removeprefix(b"{}")
            self._server.asked(self._transport, head)


@asynccontextmanager
async def serving(serve: Serve = lambda head: ANSWER, stalls_at: int = 0) -> AsyncIterator[Server]:
    server = Server(serve, stalls_at)
    listening = await asyncio.get_running_loop().create_server(lambda: Talk(server), "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server


def asked(server: Server, *paths: str, follow: Callable[[bytes], bytes | None] | None = None) -> Target:
    requests = tuple(load.request("POST", "x", path, {}, b"{}") for path in paths or ("/",))
    return Target("127.0.0.1", server.port, requests, follow)


async def test_the_closed_loop_counts_each_answer_once() -> None:
    async with serving() as server:
        outcome = await load.closed(asked(server), connections=4, seconds=0.2, warm_s=0.05)
    assert outcome.failed == 0
    assert outcome.total == server.served
    assert 0 < outcome.answered <= len(outcome.latencies) <= outcome.total
    assert outcome.per_s == pytest.approx(outcome.answered / 0.2)


async def test_a_slow_server_is_waited_for_until_it_has_answered() -> None:
    async with serving(stalls_at=1) as server:
        short = await load.closed(asked(server), connections=2, seconds=0.1)
    async with serving(stalls_at=1) as server:
        outcome = await load.closed(asked(server), connections=2, seconds=0.1, least=2)
    assert short.answered == 0
    assert outcome.answered >= 2
    assert 10.0 > outcome.seconds > STALL_S
    assert outcome.per_s == pytest.approx(outcome.answered / outcome.seconds)


async def test_a_server_that_never_answers_is_not_waited_for_forever() -> None:
    async with serving(lambda head: None) as server:
        outcome = await load.closed(asked(server), connections=1, seconds=0.1, timeout_s=0.2, least=1)
    assert outcome.answered == 0
    assert outcome.seconds < 10.0


async def test_the_open_loop_asks_as_often_as_it_is_told() -> None:
    async with serving() as server:
        outcome = await load.at_rate(asked(server), rate=500, seconds=0.4, warm_s=0.1)
    assert outcome.failed == 0
    assert len(outcome.latencies) == 200
    assert server.served == outcome.total == 250


def slow(outcome: load.Outcome) -> int:
    """Requests that waited for half of the stall at the least."""
    return sum(latency > STALL_S / 2 for latency in outcome.latencies)


async def test_a_stall_is_in_the_latencies_of_all_that_were_due() -> None:
    """Coordinated omission: the closed loop asks nothing while the server stands still, and so sees one slow answer."""
    async with serving(stalls_at=100) as server:
        due = await load.at_rate(asked(server), rate=500, seconds=1.0)
    async with serving(stalls_at=100) as server:
        alone = await load.closed(asked(server), connections=1, seconds=1.0)
    assert len(due.latencies) == 500
    assert due.ms(0.99) > 900 * STALL_S  # of 500 requests, 150 were due in the stall
    assert due.ms(0.8) > 100 * STALL_S
    assert alone.ms(1.0) > 900 * STALL_S
    assert slow(due) > 10 * slow(alone)


async def test_waiting_for_one_of_few_connections_counts() -> None:
    async with serving(stalls_at=100) as server:
        outcome = await load.at_rate(asked(server), rate=500, seconds=1.0, connections=2)
    assert len(outcome.latencies) == 500
    assert outcome.ms(0.8) > 100 * STALL_S


async def test_a_server_that_hangs_is_given_up_and_its_time_counts() -> None:
    async with serving(lambda head: None) as server:
        closed = await load.closed(asked(server), connections=2, seconds=0.1, timeout_s=0.2)
        rated = await load.at_rate(asked(server), rate=100, seconds=0.1, connections=2, timeout_s=0.2)
    assert (dict(closed.failures), closed.answered) == ({"timeout": 2}, 0)
    assert (dict(rated.failures), rated.answered) == ({"timeout": 10}, 0)
    assert closed.ms(0) > 200
    assert len(rated.latencies) == 10
    assert rated.ms(0) > 200


async def test_failures_are_told_apart() -> None:
    answers = {
        b"POST /good": ANSWER,
        b"POST /chunked": CHUNKED,
        b"POST /full": b"HTTP/1.1 429 Too Many\r\ncontent-length: 0\r\n\r\n",
        b"POST /odd": b"what?\r\n\r\n",
        b"POST /gone": b"",
        b"POST /short": ANSWER[:-2] + b"HTTP/1.1 200 OK\r\n",  # the next head where the body should go on
        b"POST /once": ANSWER.replace(b"OK\r\n", b"OK\r\nconnection: close\r\n"),
    }
    async with serving(lambda head: answers[head.rpartition(b" ")[0]]) as server:
        paths = [name.split()[1].decode() for name in answers]
        outcome = await load.closed(asked(server, *paths), connections=1, seconds=0.5)
    kinds = outcome.failures
    assert set(kinds) == {"status 429", "not HTTP", "connection lost"}
    assert kinds["status 429"] >= 1
    assert kinds["connection lost"] >= 1
    assert kinds["not HTTP"] > kinds["status 429"]  # /odd and /short
    assert abs(outcome.total - 3 * kinds["status 429"]) <= 3
    assert len(outcome.latencies) == outcome.total


async def test_nobody_listens() -> None:
    async with serving() as server:
        nowhere = asked(server)
    closed = await load.closed(nowhere, connections=1, seconds=0.2)
    rated = await load.at_rate(nowhere, rate=100, seconds=0.2, timeout_s=1.0)
    assert set(closed.failures) == set(rated.failures) == {"refused"}
    assert rated.failures["refused"] == 20
    assert closed.answered == rated.answered == len(closed.latencies) == 0


async def test_what_follows_an_answer_is_part_of_it() -> None:
    def follow(body: bytes) -> bytes | None:
        return load.request("GET", "x", "/again", {}) if body == b"first" else None

    async with serving(lambda head: ANSWER if b"again" in head else ANSWER.replace(b"whole", b"first")) as server:
        outcome = await load.closed(asked(server, follow=follow), connections=1, seconds=0.2)
    assert outcome.failed == 0
    assert 2 * outcome.total == server.served


async def test_an_answer_that_is_not_what_it_should_be_is_a_failure() -> None:
    def follow(body: bytes) -> bytes | None:
        raise Unexpected("not completed")

    async with serving() as server:
        outcome = await load.closed(asked(server, follow=follow), connections=1, seconds=0.1)
    assert set(outcome.failures) == {"not completed"}
    assert outcome.total == 0


@pytest.mark.parametrize(("share", "ms"), [(0.5, 50.0), (0.99, 99.0), (0.999, 100.0), (1.0, 100.0), (0.0, 1.0)])
def test_percentiles_are_latencies_that_were_seen(share: float, ms: float) -> None:
    latencies = array("d", [n / 1000 for n in range(1, 101)])
    assert load.Outcome(1.0, 100, 100, latencies, Counter()).ms(share) == pytest.approx(ms)
