"""Places that keys take turns for, so that a key with ten thousand calls does not keep another's one waiting."""

import asyncio
from collections import OrderedDict
from typing import Final

from reynard.core.errors import Overloaded

RETRY_AFTER_S: Final = 1.0

_Given = asyncio.Future[None]


class FairGate:
    """At most `places` are held at once. Who waits is let in key by key in turn, and within a key in order of arrival.

    A place that is given back goes straight to the next in turn, so while anybody waits none is free. At most
    `most_waiting` wait, of all keys together; None: no bound.
    """

    __slots__ = ("_free", "_lines", "_most_waiting", "waiting")

    def __init__(self, places: int, *, most_waiting: int | None = None) -> None:
        self.waiting = 0
        self._free = places
        self._most_waiting = most_waiting
        # Ordered, for their first can be taken, and one in the middle leave, in the same time however many there are.
        self._lines: OrderedDict[str, OrderedDict[_Given, None]] = OrderedDict()  # the key whose turn it is, first

    @property
    def is_full(self) -> bool:
        """Whether a place would have to be waited for."""
        return self._free == 0

    async def take(self, key_id: str) -> None:
        """Returns with a place, to be given back once. Raises `Overloaded` if too many wait already."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(key_id)

    def give_back(self) -> None:
        """The place is the next one's in turn."""
        while self._lines:
            key_id, line = self._lines.popitem(last=False)
            given, _ = line.popitem(last=False)
            self.waiting -= 1
            if line:
                self._lines[key_id] = line  # behind the other keys
            if not given.done():  # else it was cancelled, and has not been told yet
                given.set_result(None)
                return
        self._free += 1

    async def _wait(self, key_id: str) -> None:
        if self._most_waiting is not None and self.waiting >= self._most_waiting:
            raise Overloaded("As many calls wait for the provider as the gateway takes.", retry_after_s=RETRY_AFTER_S)
        given: _Given = asyncio.get_running_loop().create_future()
        self._lines.setdefault(key_id, OrderedDict())[given] = None
        self.waiting += 1
        try:
            await given
        except BaseException:
            if given.done() and not given.cancelled():
                self.give_back()  # cancelled in the moment in which it was let in
            else:
                self._leave(key_id, given)
            raise

    def _leave(self, key_id: str, given: _Given) -> None:
        line = self._lines.get(key_id)
        if line is None or given not in line:
            return  # its turn came after it was cancelled, and was passed on
        del line[given]
        self.waiting -= 1
        if not line:
            del self._lines[key_id]
