"""The guarded fetcher in this process, with a resolver that lies and real servers. 127.0.0.2 plays the public."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.media import OK, PNG, MediaServer, drips, media_server, redirects, says, whole

from reynard.core import addresses
from reynard.core.addresses import Address, Refused, target
from reynard.core.errors import GenerationError
from reynard.providers.fetcher import FetchRules, GuardedFetcher, guarded
from reynard.providers.fetcher.lookup import MOST_LOOKUPS, Busy, Lookup

PUBLIC = "127.0.0.2"
PRIVATE = "127.0.0.1"
NAME = "media.public.org"


class Names:
    """A resolver that says what a test wants, and remembers what it was asked. The last answer is given for ever."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self._answers = {name.replace("_", "."): list(said) for name, said in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        said = self._answers[host]
        return said.pop(0) if len(said) > 1 else said[0]


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.2 counts as public, and nothing else changes."""

    def is_open(found: Address) -> bool:
        return found == IPv4Address(PUBLIC) or addresses.is_open(found)

    monkeypatch.setattr(guarded, "is_open", is_open)


@pytest.fixture
def public() -> Iterator[MediaServer]:
    plays = {
        "/a.png": whole(PNG),
        "/slow": drips(OK + b"\r\n", b"x", 0.02),
        "/silent": drips(b"", b"", 60),
        "/steady": drips(OK + b"\r\n", b"x" * 2_000, 0.02),
        "/to-metadata": redirects("http://169.254.169.254/latest/meta-data/"),
        "/to-mapped": redirects("http://[::ffff:169.254.169.254]/"),
        "/to-number": redirects("http://2130706433/"),
        "/to-itself": redirects("/a.png"),
        "/to-name": redirects("http://inside.public.org/a.png"),
    }
    with media_server(plays, PUBLIC) as server:
        yield server


@pytest.fixture
def inside() -> Iterator[MediaServer]:
    """What nobody may reach."""
    with media_server({"/a.png": whole(PNG)}, PRIVATE) as server:
        yield server


async def read(fetcher: GuardedFetcher, url: str, limit: int = 1_000_000) -> bytes:
    async with fetcher.open(url, limit) as opened:
        return b"".join([part async for part in opened.parts()])


async def refused(fetcher: GuardedFetcher, url: str, limit: int = 1_000_000) -> GenerationError:
    with pytest.raises(GenerationError) as caught:
        await read(fetcher, url, limit)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    return caught.value


async def test_the_address_that_was_checked_is_the_one_connected_to(public: MediaServer) -> None:
    """Rebinding: the name has another address as soon as it was looked up."""
    with media_server({"/a.png": whole(PNG)}, PRIVATE) as inside:
        names = Names(media_public_org=[[PUBLIC], [PRIVATE]])
        fetcher = GuardedFetcher(FetchRules(), names)
        url = f"http://{NAME}:{public.port}/a.png"
        assert await read(fetcher, url) == PNG
        assert names.asked == [NAME]
        assert public.seen[0].startswith("GET /a.png HTTP/1.1\r\n")
        assert f"host: {NAME}:{public.port}\r\n" in public.seen[0].lower()
        assert (await refused(fetcher, url)).message == guarded.FAILED
        assert (public.accepted, inside.accepted) == (1, 0)


async def test_a_name_is_checked_again_after_a_redirect_to_itself(public: MediaServer) -> None:
    names = Names(media_public_org=[[PUBLIC], [PRIVATE]])
    await refused(GuardedFetcher(FetchRules(), names), f"http://{NAME}:{public.port}/to-itself")
    assert names.asked == [NAME, NAME]
    assert public.accepted == 1


async def test_one_private_address_among_many_is_one_too_many(public: MediaServer) -> None:
    for found in ([PUBLIC, PRIVATE], [PRIVATE, PUBLIC], [PUBLIC] * 20 + ["::1"], [PUBLIC, "fe80::1%eth0"]):
        names = Names(media_public_org=[found])
        await refused(GuardedFetcher(FetchRules(), names), f"http://{NAME}:{public.port}/a.png")
    assert public.accepted == 0


@pytest.mark.parametrize("path", ["/to-metadata", "/to-mapped", "/to-number", "/to-name"])
async def test_a_redirect_is_checked_from_scratch(public: MediaServer, inside: MediaServer, path: str) -> None:
    names = Names(media_public_org=[[PUBLIC]], inside_public_org=[[PRIVATE]])
    fetcher = GuardedFetcher(FetchRules(), names)
    began = time.monotonic()
    assert (await refused(fetcher, f"http://{NAME}:{public.port}{path}")).message == guarded.FAILED
    assert time.monotonic() - began < 1  # nobody was waited for
    assert (public.accepted, inside.accepted) == (1, 0)


async def test_a_redirect_to_a_private_server_does_not_reach_it(inside: MediaServer) -> None:
    with media_server(
        {"/": redirects(inside.url + "/a.png"), "/b": redirects(f"http://x.org:{inside.port}/a.png")}, PUBLIC
    ) as server:
        names = Names(media_public_org=[[PUBLIC]], x_org=[[PRIVATE]])
        for path in ("/", "/b"):
            await refused(GuardedFetcher(FetchRules(), names), f"http://{NAME}:{server.port}{path}")
        assert (server.accepted, inside.accepted) == (2, 0)
        assert await read(GuardedFetcher(FetchRules(allow_private_networks=True), names), server.url + "/b") == PNG


LABEL = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,10}[A-Za-z0-9_])?", fullmatch=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LABEL, min_size=1, max_size=4).map(".".join), st.sampled_from(["", "."]))
def test_every_name_that_is_taken_is_pinned(public: MediaServer, name: str, end: str) -> None:
    """wreq looks a name up by itself if it is not the very one that was pinned."""
    url = f"http://{name}{end}:{public.port}/a.png"
    try:
        goal = target(url)
    except Refused:
        return

    async def resolve(host: str, port: int) -> list[str]:
        return [PUBLIC]

    if goal.address is None:
        fetcher = GuardedFetcher(FetchRules(allow_private_networks=True), resolve)
        assert asyncio.run(read(fetcher, url)) == PNG
        assert f"host: {goal.host}:" in public.seen[-1].lower()


async def test_every_failure_reads_the_same(public: MediaServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    names = Names(
        media_public_org=[[PUBLIC]], inside_public_org=[[PRIVATE]], unknown_public_org=[[]], mad_public_org=[["x"]]
    )
    fetcher = GuardedFetcher(FetchRules(), names)
    urls = [
        f"http://{NAME}:{public.port}/to-metadata",
        f"http://{NAME}:1024/refused",
        "http://inside.public.org/a.png",
        "http://unknown.public.org/a.png",
        "http://mad.public.org/a.png",
        "http://127.0.0.1/a.png",
        "http://a.internal/a.png",
        "file:///etc/passwd",
    ]
    assert {(error.code, error.message) for error in [await refused(fetcher, url) for url in urls]} == {
        ("media_fetch_failed", guarded.FAILED)
    }
    for word in ("public.org", PUBLIC, PRIVATE, "169.254", str(public.port), "passwd", "internal"):
        assert word not in caplog.text
    assert caplog.text.count("not a public address") == 4


async def test_a_proxy_of_the_environment_is_not_used(
    public: MediaServer, inside: MediaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, inside.url)
    assert await read(GuardedFetcher(FetchRules()), f"http://{PUBLIC}:{public.port}/a.png") == PNG
    assert inside.accepted == 0


async def test_a_slow_resolver_is_not_waited_for() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    began = time.monotonic()
    await refused(GuardedFetcher(FetchRules(timeout_s=0.1), resolve), f"http://{NAME}/")
    assert time.monotonic() - began < 2


async def test_look_ups_that_hang_hold_up_neither_the_loop_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    released, asked = threading.Event(), []

    def getaddrinfo(name: str, *_: Any, **__: Any) -> Any:
        asked.append((name, threading.current_thread().daemon))
        released.wait(20)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    look = Lookup(absolute=True, lookup_s=0.2)
    fetcher = GuardedFetcher(FetchRules(), look)
    domains = [f"d{number % 4}.org" for number in range(MOST_LOOKUPS)]
    await asyncio.gather(*(refused(fetcher, f"http://{domain}/") for domain in domains))
    assert sorted(asked) == sorted((f"{domain}.", True) for domain in domains)  # the dot: no search domain is tried
    with pytest.raises(Busy):  # one too many, and nobody asks
        await look("other.org", 80)
    assert len(asked) == MOST_LOOKUPS
    waiting = asyncio.create_task(look("other.org", 80))
    await asyncio.sleep(0)
    released.set()  # the threads end, and there is room again
    assert await waiting == []
    assert asked[-1] == ("other.org.", True)


async def test_the_system_resolver_is_asked() -> None:
    assert "127.0.0.1" in await Lookup(absolute=False, lookup_s=5)("localhost", 80)


async def test_too_slow_a_pace_ends_early(public: MediaServer) -> None:
    rules = FetchRules(allow_private_networks=True, pace_s=0.3)
    began = time.monotonic()
    assert (await refused(GuardedFetcher(rules), public.url + "/slow")).code == "media_fetch_failed"
    assert 0.3 <= time.monotonic() - began < 2


async def test_a_steady_pace_goes_on_to_the_end_of_the_whole_time(public: MediaServer) -> None:
    rules = FetchRules(allow_private_networks=True, pace_s=0.3, timeout_s=1)
    began = time.monotonic()
    assert (await refused(GuardedFetcher(rules), public.url + "/steady")).code == "media_fetch_failed"
    assert 1 <= time.monotonic() - began < 3


async def test_a_slow_reader_is_not_the_servers_fault() -> None:
    def play(connection: socket.socket, ended: threading.Event) -> None:
        connection.sendall(OK + b"content-length: 70001\r\n\r\n" + b"x" * 70_000)
        ended.wait(0.7)
        connection.sendall(b"x")

    with media_server({"/": play}, PUBLIC) as server:
        fetcher = GuardedFetcher(FetchRules(allow_private_networks=True, pace_s=0.5))
        sizes = []
        async with fetcher.open(server.url + "/", 1_000_000) as opened:
            async for part in opened.parts():
                sizes.append(len(part))
                await asyncio.sleep(0.6)
    assert sum(sizes) == 70_001


async def test_a_head_that_does_not_come_ends_before_the_whole_time(public: MediaServer) -> None:
    fetcher = GuardedFetcher(FetchRules(allow_private_networks=True, head_s=0.2))
    began = time.monotonic()
    assert (await refused(fetcher, public.url + "/silent")).message == guarded.FAILED
    assert 0.2 <= time.monotonic() - began < 2


async def test_what_the_reader_raises_is_left_alone(public: MediaServer) -> None:
    fetcher = GuardedFetcher(FetchRules(allow_private_networks=True))
    for error in (TimeoutError("mine"), Refused("mine"), ValueError("mine")):
        with pytest.raises(type(error), match="mine"):
            async with fetcher.open(public.url + "/a.png", 1_000):
                raise error


async def test_a_reader_that_leaves_takes_the_connection_along(public: MediaServer) -> None:
    gone = threading.Event()

    def play(connection: socket.socket, ended: threading.Event) -> None:
        try:
            connection.sendall(OK + b"\r\n" + b"x" * 1_000)
            connection.recv(1)  # what is closed with bytes unread is reset
        finally:
            gone.set()

    with media_server({"/": play}, PUBLIC) as server:
        fetcher = GuardedFetcher(FetchRules(allow_private_networks=True))
        async with fetcher.open(server.url + "/", 1_000):
            pass
        assert await asyncio.to_thread(gone.wait, 2)
        gone.clear()
        reading = asyncio.ensure_future(read(fetcher, server.url + "/"))
        while len(server.seen) < 2:
            await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await asyncio.to_thread(gone.wait, 2)


async def test_the_type_is_as_it_was_said() -> None:
    long = b"HTTP/1.1 200 OK\r\ncontent-type: a/" + b"b" * 5_000 + b"\r\n"
    plays = {"/png": whole(PNG), "/none": whole(PNG, b"HTTP/1.1 200 OK\r\n"), "/long": whole(PNG, long)}
    with media_server(plays, PUBLIC) as server:
        fetcher = GuardedFetcher(FetchRules(allow_private_networks=True))
        found = []
        for path in plays:
            async with fetcher.open(server.url + path, 1_000) as opened:
                found.append(opened.type)
        assert found == ["image/png", "", "a/" + "b" * 254]


async def test_small_pieces_come_in_large_parts() -> None:
    chunked = OK + b"transfer-encoding: chunked\r\n\r\n" + b"64\r\n" + b"x" * 100 + b"\r\n"
    pieces = says(chunked, (b"64\r\n" + b"x" * 100 + b"\r\n") * 9_999 + b"0\r\n\r\n")
    with media_server({"/": pieces}, PUBLIC) as server:
        fetcher = GuardedFetcher(FetchRules(allow_private_networks=True))
        async with fetcher.open(server.url + "/", 1_000_000) as opened:
            sizes = [len(part) async for part in opened.parts()]
    assert sum(sizes) == 1_000_000
    assert min(sizes[:-1]) >= guarded.PART_BYTES
