"""Clients that send a body slowly, not at all, or too much of it at once."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from reynard.core.errors import BodyStalled, BodyTooLarge, Overloaded, UploadStalled
from reynard.http import bodies
from reynard.http.asgi import ClientGone, Receive
from reynard.http.bodies import FREE_BYTES, PACE_BYTES, Incoming, Room
from reynard.http.errors import response_of
from reynard.http.request import Request, Services
from reynard.http.requests import json_body


def message(body: bytes, more: bool = True) -> Any:
    return {"type": "http.request", "body": body, "more_body": more}


def receiving(*messages: Any, every_s: float = 0) -> Receive:
    """What comes, a message each `every_s`; and then nothing more."""
    waiting = list(messages)

    async def receive() -> Any:
        if not waiting:
            await asyncio.Event().wait()
        if every_s:
            await asyncio.sleep(every_s)
        return waiting.pop(0)

    return receive


def request(
    *messages: Any, every_s: float = 0, key: str = "key-a", room: Room | None = None, announced: int = 0
) -> Request:
    """One whose body comes so."""
    services = SimpleNamespace(room=room or Room(FREE_BYTES), max_body_bytes=10 * FREE_BYTES)
    headers = [(b"content-length", b"%d" % announced)] if announced else []
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    made = Request(scope, receiving(*messages, every_s=every_s), cast("Services", services))
    made.caller_id = key
    return made


@pytest.mark.parametrize("kind", [BodyStalled, UploadStalled])
async def test_a_body_that_stalls_is_given_up(monkeypatch: pytest.MonkeyPatch, kind: type[BodyStalled]) -> None:
    monkeypatch.setattr(bodies, "PACE_S", 0.01)
    incoming = Incoming(receiving(message(b"a")), kind)
    assert await incoming.next() == (b"a", True)
    with pytest.raises(kind) as caught:
        await incoming.next()
    assert type(caught.value) is kind
    answer = response_of(caught.value)
    assert (answer.status, answer.headers["connection"]) == (408, "close")


@pytest.mark.parametrize("sent", [[message(b"{")], [message(b"x" * FREE_BYTES), message(b"x" * 2 * FREE_BYTES)]])
async def test_a_json_body_that_stalls_is_given_up(monkeypatch: pytest.MonkeyPatch, sent: list[Any]) -> None:
    monkeypatch.setattr(bodies, "PACE_S", 0.05)
    room = Room(FREE_BYTES)
    with pytest.raises(BodyStalled):
        await json_body(request(*sent, room=room))
    assert room._shares._all == 0


async def test_a_body_that_dribbles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PACE_S", 0.1)
    with pytest.raises(BodyStalled):
        await json_body(request(*[message(b"a")] * 1_000, message(b"", more=False), every_s=0.002))


async def test_a_body_may_take_long_if_enough_of_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PACE_S", 0.2)
    incoming = Incoming(receiving(*[message(b"a" * PACE_BYTES)] * 40, every_s=0.01), BodyStalled)
    for _ in range(40):  # 0.4 s
        assert await incoming.next() == (b"a" * PACE_BYTES, True)


async def test_time_that_the_gateway_takes_is_not_the_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PACE_S", 0.1)
    incoming = Incoming(receiving(*[message(b"a")] * 3), BodyStalled)
    for _ in range(3):
        await incoming.next()
        await asyncio.sleep(0.08)


async def test_a_client_that_is_gone_is_told_from_one_that_has_ended() -> None:
    assert await Incoming(receiving({"type": "http.request"}), BodyStalled).next() == (b"", False)
    with pytest.raises(ClientGone):
        await Incoming(receiving({"type": "http.disconnect"}), BodyStalled).next()


async def test_a_body_comes_in_one_message_or_in_many() -> None:
    assert await json_body(request(message(b"ab", more=False))) == b"ab"
    assert await json_body(request(message(b"a"), message(b""), message(b"b", more=False))) == b"ab"
    for sent in ([message(b"x" * 11 * FREE_BYTES, more=False)], [message(b"x" * 6 * FREE_BYTES)] * 2):
        with pytest.raises(BodyTooLarge):
            await json_body(request(*sent))


async def test_large_bodies_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for eight megabytes in all and four for a key, of which one body at a time takes three."""
    monkeypatch.setattr(bodies, "MOST_BYTES", 0)
    room, half = Room(FREE_BYTES), 4 * FREE_BYTES
    small, large = [message(b"x" * FREE_BYTES), message(b"", more=False)], message(b"x" * 3 * FREE_BYTES)
    held = []
    for key in ("key-a", "key-b"):
        held.append(asyncio.ensure_future(json_body(request(large, key=key, room=room))))
        await asyncio.sleep(0)
    for key, announced in (("key-a", 0), ("key-a", 3 * FREE_BYTES), ("key-c", 0), ("key-c", 3 * FREE_BYTES)):
        with pytest.raises(Overloaded):
            await json_body(request(large, key=key, room=room, announced=announced))
        assert await json_body(request(*small, key=key, room=room)) == b"x" * FREE_BYTES
    assert await json_body(request(message(b"x" * 3 * FREE_BYTES, more=False), room=room))  # it has come already
    for reading in held:
        reading.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    whole = [message(b"x" * half), message(b"", more=False)]
    assert len(await json_body(request(*whole, room=room, announced=half))) == half
    assert room._shares._all == 0
    assert not room._shares._held
