"""What the client for providers leaves behind: no descriptor and no cycle, however a call ends."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from tests.certificates import Authority
from tests.lines import OK
from tests.saying import saying

from reynard.ports.transport import TransportError
from reynard.providers.upstream.address import Address
from reynard.providers.upstream.pool import Pool

pytestmark = pytest.mark.timeout(120, method="thread")  # a signal does not break off uvloop

CALLS: Final = 100
SLOWLY: Final = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n", b"1\r\nk\r\n", b"0\r\n\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(params=[False, True], ids=["plain", "TLS"])
def certificate(request: pytest.FixtureRequest, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Path | None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority.certificate("localhost") if request.param else None


async def call(pool: Pool, address: Address) -> None:
    with suppress(TransportError):
        answer = await pool.ask(address.origin, address.head("POST", "/", {}), b"{}")
        try:
            async for _ in answer.parts():
                pass
        finally:
            answer.let_go()


def descriptors() -> int:
    """Of sockets."""
    found = 0
    for number in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += str(number.readlink()).startswith("socket:")
    return found


async def leaves_nothing(what: Callable[[], Awaitable[None]]) -> None:
    await what()
    gc.collect()
    gc.disable()
    try:
        for _ in range(CALLS):
            await what()
        await asyncio.sleep(0.01)
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("pieces", "closes"),
    [((OK,), False), ((OK,), True), (SLOWLY, False), ((OK[:-1],), True), ((), True), ((b"no HTTP\r\n\r\n",), False)],
    ids=["kept", "closed", "chunks", "cut", "no answer", "no HTTP"],
)
async def test_a_call_leaves_no_cycle(certificate: Path | None, pieces: tuple[bytes, ...], closes: bool) -> None:
    pool = Pool(5.0)
    with saying(*pieces, closes=closes, certificate=certificate) as address:
        await leaves_nothing(lambda: call(pool, address))
        pool.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://localhost:1"])
async def test_a_call_to_nobody_leaves_no_cycle(url: str) -> None:
    pool, address = Pool(5.0), Address.of(url)
    await leaves_nothing(lambda: call(pool, address))


async def test_a_certificate_that_is_refused_leaves_no_cycle(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    pool = Pool(5.0)
    with saying(OK, certificate=authority.certificate("example.com")) as address:
        await leaves_nothing(lambda: call(pool, address))


async def test_cancelled_at_any_moment_it_leaves_no_descriptor(certificate: Path | None) -> None:
    """After each of the event loop's turns that a call takes, from the name to the end of the body."""
    before, pool = descriptors(), Pool(5.0)
    was_whole = False
    with saying(*SLOWLY, certificate=certificate) as address:
        turns = 0
        while not was_whole:
            fresh = Pool(5.0)
            fresh._tls = await pool._trust()  # making one takes long
            calling = asyncio.create_task(call(fresh, address))
            for _ in range(turns):
                await asyncio.sleep(0)
            was_whole = not calling.cancel()
            with suppress(asyncio.CancelledError):
                await calling
            fresh.close()
            turns += 1
    await asyncio.sleep(0.01)
    assert turns > 5
    assert descriptors() == before


async def test_a_pool_that_was_closed_holds_nothing() -> None:
    """Neither its connections, nor the timer that would have closed them."""
    with saying(OK) as address:
        before, pool = descriptors(), Pool(5.0)
        await asyncio.gather(*(call(pool, address) for _ in range(10)))
        assert descriptors() >= before
        pool.close()
        await asyncio.sleep(0.01)
        gone = weakref.ref(pool)
        del pool
        assert gone() is None
