"""Places that keys take turns for, so that a key with ten thousand calls does not keep another's one waiting."""

import asyncio
from collections import OrderedDict
from typing import Final

from reynard.core.errors import Overloaded

RETRY_AFTER_S: Final = 1.0

_Given = asyncio.Future[None]
_Line = OrderedDict[_Given, None]


class FairGate:
    """At most `places` are held at once, of which one key has `share` at the most; None: no such bound.

    A place that was given cannot be taken back: where it may be held for long, the others' must be there before they
    come. Who waits is let in key by key in turn, and within a key in order of arrival. A key that has its share waits
    beside the turns until it gives one back.

    A place that is given back goes straight to the next in turn, so while anybody waits for more than their own share
    none is free. At most `most_waiting` wait, of all keys together; None: no bound.
    """

    __slots__ = ("_barred", "_free", "_held", "_lines", "_most_waiting", "_share", "waiting")

    def __init__(self, places: int, *, share: int | None = None, most_waiting: int | None = None) -> None:
        self.waiting = 0
        self._free = places
        self._share = places if share is None else share
        self._held: dict[str, int] = {}  # by the keys that have any
        self._most_waiting = most_waiting
        # Ordered, for their first can be taken, and one in the middle leave, in the same time however many there are.
        self._lines: OrderedDict[str, _Line] = OrderedDict()  # the key whose turn it is, first
        self._barred: dict[str, _Line] = {}  # of keys that have their share

    @property
    def is_full(self) -> bool:
        """Whether a place would have to be waited for by any key."""
        return self._free == 0

    async def take(self, key_id: str) -> None:
        """Returns with a place, to be given back once. Raises `Overloaded` if too many wait already."""
        if self._free and self._held.get(key_id, 0) < self._share:
            self._hold(key_id)
        else:
            await self._wait(key_id)

    def give_back(self, key_id: str) -> None:
        """The place that `key_id` had is the next one's in turn."""
        self._free += 1
        left = self._held.pop(key_id) - 1
        if left:
            self._held[key_id] = left
        line = self._barred.pop(key_id, None)
        if line is not None:
            self._lines[key_id] = line  # behind the other keys
        self._let_in()

    def _hold(self, key_id: str) -> None:
        self._free -= 1
        self._held[key_id] = self._held.get(key_id, 0) + 1

    def _let_in(self) -> None:
        while self._free and self._lines:
            key_id, line = self._lines.popitem(last=False)
            given, _ = line.popitem(last=False)
            self.waiting -= 1
            if not given.done():  # else it was cancelled, and has not been told yet
                self._hold(key_id)
                given.set_result(None)
            if line:
                self._line_up(key_id, line)

    def _line_up(self, key_id: str, line: _Line) -> None:
        if self._held.get(key_id, 0) < self._share:
            self._lines[key_id] = line  # behind the other keys
        else:
            self._barred[key_id] = line

    def _line_of(self, key_id: str) -> _Line | None:
        return self._lines.get(key_id) or self._barred.get(key_id)

    async def _wait(self, key_id: str) -> None:
        if self._most_waiting is not None and self.waiting >= self._most_waiting:
            raise Overloaded("As many calls wait for the provider as the gateway takes.", retry_after_s=RETRY_AFTER_S)
        given: _Given = asyncio.get_running_loop().create_future()
        line = self._line_of(key_id)
        if line is None:
            self._line_up(key_id, line := OrderedDict())
        line[given] = None
        self.waiting += 1
        try:
            await given
        except BaseException:
            if given.done() and not given.cancelled():
                self.give_back(key_id)  # cancelled in the moment in which it was let in
            else:
                self._leave(key_id, given)
            raise

    def _leave(self, key_id: str, given: _Given) -> None:
        line = self._line_of(key_id)
        if line is None or given not in line:
            return  # its turn came after it was cancelled, and was passed on
        del line[given]
        self.waiting -= 1
        if not line:
            self._lines.pop(key_id, None)
            self._barred.pop(key_id, None)
