"""Bounds on what runs at once, within which keys take turns."""

import asyncio

import pytest

from reynard.engine.turns import Places, Turns


async def test_places_are_bounded_by_name_and_names_are_not_kept() -> None:
    turns = Turns(2)
    for _ in range(2):
        await turns.take("a", "key")
    waiting = asyncio.ensure_future(turns.take("a", "key"))
    await turns.take("b", "key")
    await asyncio.sleep(0)
    assert not waiting.done()
    turns.give_back("a", "key")
    await waiting
    cancelled = asyncio.ensure_future(turns.take("a", "key"))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    for name in ("a", "a", "b"):
        turns.give_back(name, "key")
    assert not turns._gates
    assert not turns._users


async def test_a_key_that_has_none_finds_a_place_among_many_that_are_taken() -> None:
    places = Places(8)
    entered: list[str] = []
    over = asyncio.Event()

    async def call(key_id: str) -> None:
        async with places.turn(key_id):
            entered.append(key_id)
            await over.wait()

    calls = [asyncio.ensure_future(call("a")) for _ in range(20)]
    await asyncio.sleep(0)
    calls += [asyncio.ensure_future(call(key_id)) for key_id in "bbcd"]
    await asyncio.sleep(0)
    assert entered == ["a"] * 6 + ["b", "c"]
    over.set()
    await asyncio.gather(*calls)
    assert set(entered[8:10]) == {"b", "d"}  # before the one who had all of the rest
    assert not places._taken
