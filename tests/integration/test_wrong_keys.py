"""A hundred thousand wrong keys: each is refused, all alike, and garbage never costs a look into the store."""

import hmac
import http.client
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.processes import Gateway

from reynard.core import keys
from reynard.core.errors import AuthenticationFailed
from reynard.core.keys import BASE62, LENGTH, Key
from reynard.engine import access
from reynard.engine.access import Access
from reynard.storage.sqlite import SQLiteStore
from reynard.testing.clock import FakeClock

ATTEMPTS = 100_000
OVER_HTTP = 4_000
GOOD = keys.make(random.Random(1).randrange)
KEY = Key(id="key-1", digest=keys.digest(GOOD), name="n", hint=keys.hint(GOOD), created=1.0)
Draw = random.Random


def unknown(draw: Draw) -> str:
    """Of the right shape, with the right checksum, and nobody's."""
    return keys.make(draw.randrange)


def one_wrong(draw: Draw) -> str:
    """The good key, but for one character."""
    at = draw.randrange(3, LENGTH)
    return GOOD[:at] + draw.choice(BASE62.replace(GOOD[at], "")) + GOOD[at + 1 :]


def garbage(draw: Draw) -> str:
    return "".join(draw.choices(BASE62 + "-_.;'\"%", k=draw.randrange(0, 120)))


def other_prefix(draw: Draw) -> str:
    return draw.choice(["pk-", "SK-", "sk_", "sk-proj-", "sk-ant-", "AIza", "Bearer sk-", ""]) + unknown(draw)[3:]


def cut(draw: Draw) -> str:
    return GOOD[: draw.randrange(LENGTH)]


def more_than(draw: Draw) -> str:
    return GOOD + draw.choice(["x", " x", "\x7f", GOOD, "'--"])


def unicode(draw: Draw) -> str:
    """As long as a key, and no ASCII: what Latin-1 makes of a header."""
    return "sk-" + "".join(chr(draw.randrange(0xA1, 0x100)) for _ in range(LENGTH - 3))


def huge(draw: Draw) -> str:
    return "sk-" + draw.choice(BASE62) * draw.randrange(1_000, 50_000)


KINDS: Sequence[Callable[[Draw], str]] = (unknown, one_wrong, garbage, other_prefix, cut, more_than, unicode)


def wrong(count: int) -> Iterator[str]:
    """As many of each kind, and a huge one now and then."""
    draw = random.Random(count)
    for number in range(count):
        yield huge(draw) if number % 1_000 == 999 else KINDS[number % len(KINDS)](draw)


class Counting:
    """`ports.store.Keys`, of which it counts the looks."""

    def __init__(self, found: Key | None = None) -> None:
        self.looked = 0
        self._found = found

    def keys_epoch(self) -> int:
        self.looked += 1
        return 1

    async def key_by_digest(self, digest: bytes) -> Key | None:
        self.looked += 1
        return self._found

    async def add_key(self, key: Key) -> None:
        raise NotImplementedError

    async def update_key(self, key: Key, *, was: Key) -> bool:
        raise NotImplementedError

    async def find_key(self, key_id: str) -> Key | None:
        raise NotImplementedError

    async def list_keys(self) -> Sequence[Key]:
        raise NotImplementedError


async def refusal(door: Access, secret: str) -> str:
    with pytest.raises(AuthenticationFailed) as caught:
        await door.authenticate(secret)
    return caught.value.message


async def test_garbage_never_costs_a_look_into_the_store() -> None:
    store = Counting()
    door = Access(store, FakeClock())
    told, well_formed, looked = set(), 0, 0
    for secret in wrong(ATTEMPTS):
        told.add(await refusal(door, secret))
        if keys.is_well_formed(secret):
            well_formed += 1
        else:
            assert store.looked == looked, secret
        looked = store.looked
    assert len(told) == 1
    assert 0 < well_formed < ATTEMPTS / 6
    assert looked == 2 * well_formed  # whether a key changed, and a look-up by index


async def test_an_unknown_key_is_one_look_up_of_microseconds_and_is_not_kept(tmp_path: Path) -> None:
    """No cache of the unknown: a guesser never asks twice for the same, and would only fill it."""
    store = SQLiteStore(tmp_path / "reynard.db")
    try:
        await store.add_key(KEY)
        said: list[str] = []
        store._reading.set_trace_callback(said.append)
        door = Access(store, FakeClock())
        assert await door.authenticate(GOOD) == KEY
        draw = random.Random(3)
        said.clear()
        await refusal(door, unknown(draw))
        assert [statement.split()[0] for statement in said] == ["SELECT", "SELECT"]
        said.clear()
        for kind in (one_wrong, garbage, other_prefix, cut, more_than, unicode, huge):
            await refusal(door, kind(draw))
        assert said == []
        store._reading.set_trace_callback(None)
        guesses = [unknown(draw) for _ in range(5_000)]
        began = time.perf_counter()
        for guess in guesses:
            await refusal(door, guess)
        print(f"{(time.perf_counter() - began) / len(guesses) * 1e6:.0f} µs a guess")
        assert list(door._known.values()) == [KEY]
        assert await door.authenticate(GOOD) == KEY
    finally:
        await store.close()


async def test_digests_are_compared_in_constant_time_and_by_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def spy(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(access, "hmac", type("Spied", (), {"compare_digest": staticmethod(spy)}))
    draw = random.Random(5)
    door = Access(Counting(KEY), FakeClock())
    for guess in (unknown(draw) for _ in range(100)):
        await refusal(door, guess)  # although the store says that it is this one
        assert compared.pop() == (KEY.digest, keys.digest(guess))
    assert await Access(Counting(KEY), FakeClock()).authenticate(GOOD) == KEY
    assert compared == [(KEY.digest, KEY.digest)]
    monkeypatch.setattr(access, "hmac", type("Never", (), {"compare_digest": staticmethod(lambda *_: False)}))
    await refusal(Access(Counting(KEY), FakeClock()), GOOD)


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
def test_over_http_all_are_401_and_alike(gateway: Gateway, header: str) -> None:
    bearer = "Bearer " if header == "authorization" else ""
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=20)
    bodies, shapes, sockets = set(), set(), set()
    try:
        for secret in wrong(OVER_HTTP // 2):
            if "\x7f" in secret:
                continue  # no header can hold it
            connection.putrequest("GET", "/v1/models", skip_accept_encoding=True)
            connection.putheader(header, (bearer + secret).encode("latin-1"))
            connection.endheaders()
            sockets.add(connection.sock)
            response = connection.getresponse()
            body = json.loads(response.read())["error"]
            bodies.add((response.status, *sorted(body.items())))
            shapes.add(tuple(sorted(name.lower() for name, _ in response.getheaders())))
    finally:
        connection.close()
    [(status, *fields)] = bodies
    assert (status, dict(fields)["code"], dict(fields)["type"]) == (401, "authentication_error", "authentication_error")
    assert len(shapes) == 1
    assert "www-authenticate" in next(iter(shapes))
    assert len(sockets) == 1  # the line stays open: a wrong key is no reason to hang up
    with gateway.client() as client:
        assert client.get("/v1/models").status_code == 200
