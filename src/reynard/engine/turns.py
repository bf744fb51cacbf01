"""Bounds on what runs at once, within which keys take turns."""

from collections import Counter
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from reynard.engine.gate import FairGate


class Turns:
    """At most `places` at once under each name, which keys take turns for. A name that nobody uses is not kept."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._gates: dict[Hashable, FairGate] = {}
        self._users: Counter[Hashable] = Counter()

    async def take(self, name: Hashable, key_id: str) -> None:
        """Returns with a place under the name, to be given back once."""
        gate = self._gates.setdefault(name, FairGate(self._places))
        self._users[name] += 1
        try:
            await gate.take(key_id)
        except BaseException:
            self._leave(name)
            raise

    def give_back(self, name: Hashable, key_id: str) -> None:
        """The place that `key_id` had is the next one's in turn."""
        self._gates[name].give_back(key_id)
        self._leave(name)

    @asynccontextmanager
    async def turn(self, name: Hashable, key_id: str) -> AsyncIterator[None]:
        """A place for as long as this is open."""
        await self.take(name, key_id)
        try:
            yield
        finally:
            self.give_back(name, key_id)

    def _leave(self, name: Hashable) -> None:
        self._users[name] -= 1
        if not self._users[name]:
            del self._users[name], self._gates[name]


class Places:
    """`places` for all keys together. A quarter of them is for keys that have none: when the others are full of calls
    that hang, a key that comes anew need not wait until one is given up."""

    def __init__(self, places: int) -> None:
        self._firsts = FairGate(places // 4)
        self._others = FairGate(places - places // 4)
        self._taken: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, key_id: str) -> AsyncIterator[None]:
        """A place for as long as this is open."""
        is_first = self._others.is_full and not self._taken[key_id] and not self._firsts.is_full
        gate = self._firsts if is_first else self._others
        await gate.take(key_id)
        self._taken[key_id] += 1
        try:
            yield
        finally:
            gate.give_back(key_id)
            self._taken[key_id] -= 1
            if not self._taken[key_id]:
                del self._taken[key_id]
