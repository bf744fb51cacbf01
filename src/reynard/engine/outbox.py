"""Looks for the webhooks that are due, and has them delivered, so that no receiver holds up another."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from reynard.core.errors import StoreUnavailable
from reynard.core.webhooks import Delivery
from reynard.engine.courier import Courier
from reynard.engine.jobs import Jobs
from reynard.ports.clock import Clock
from reynard.ports.store import Deliveries

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0  # between two looks, if nobody wakes it: another process may have put a delivery back
SLACK_S: Final = 5.0  # so much later than it is due may a delivery come into sight
SWEEP_S: Final = 600.0  # between two walks over all that is due, for what came into sight later still
PAGE: Final = 200
HELD: Final = 4_096
HELD_OF_ONE_KEY: Final = 512
HELD_OF_ONE_RECEIVER: Final = 32
TO_ONE_RECEIVER: Final = 4  # at once

Owner = str | tuple[str, str]
"""A key, or a receiver: a key and a host."""


class Outbox:
    """A loop over the store, and a job for each delivery that it holds.

    A receiver that hangs has `TO_ONE_RECEIVER` calls at most, a key half of `concurrency`: the others go on. What an
    owner has beyond what is held of it stays in the store; a mark says from where on, and is gone back to when half of
    what was held has ended. So a walk never passes the same backlog twice.
    """

    def __init__(self, store: Deliveries, courier: Courier, clock: Clock, jobs: Jobs, *, concurrency: int) -> None:
        self._store = store
        self._courier = courier
        self._clock = clock
        self._jobs = jobs
        self._held: dict[str, Delivery] = {}  # as they were seen last
        self._held_of: Counter[Owner] = Counter()
        self._seen = 0.0  # what was due before is held, has ended, or lies behind a mark
        self._marks: dict[Owner, float] = {}
        self._full = False
        self._swept = 0.0
        self._woken = asyncio.Event()
        self._places = asyncio.Semaphore(concurrency)
        self._keys = Turns(max(1, concurrency // 2))
        self._receivers = Turns(TO_ONE_RECEIVER)

    @property
    def held(self) -> int:
        """Deliveries that are under way, or wait for their turn here."""
        return len(self._held)

    def start(self) -> None:
        """From now on what is due is delivered; first, what an earlier process left."""
        self._jobs.start(self._keep_delivering())

    def wake(self, due: float) -> None:
        """The store has a delivery more that is due then."""
        self._seen = min(self._seen, due)
        self._woken.set()

    async def _keep_delivering(self) -> None:
        while True:
            self._woken.clear()
            pause_s = await self._looked()
            try:
                async with asyncio.timeout(pause_s):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def _looked(self) -> float:
        """Takes up what is due; how long the next look can wait."""
        try:
            now = self._clock.now()
            if not self._swept <= now < self._swept + SWEEP_S:  # a clock may be put back
                self._swept, self._seen = now, 0.0
            await self._take_up(now)
            due = await self._store.next_delivery_due(now)
        except StoreUnavailable:
            log.error("the store is not to be reached for webhooks; trying again")
        except Exception:
            log.exception("failed to look for webhooks; trying again")
        else:
            return LOOK_S if due is None else min(LOOK_S, due - now)
        return LOOK_S

    async def _take_up(self, now: float) -> None:
        """What lies behind the marks of those that have room again, then what nobody has looked at yet."""
        for owner in list(filter(self._has_room, self._marks)):
            mark = self._marks.pop(owner)
            left = await self._walk(mark, now, owner)
            if left is not None:
                self._marks.setdefault(owner, left)
        start, self._seen = self._seen, now - SLACK_S  # whoever wakes meanwhile may put it back
        left = await self._walk(start, now, None)
        if left is not None:
            self._seen = min(self._seen, left)

    async def _walk(self, start: float, now: float, owner: Owner | None) -> float | None:
        """Page by page: all that is due from `start` on, or what is `owner`'s until that is enough; None at the end,
        else how far it came."""
        at = (start, "")
        while True:
            self._full = len(self._held) >= HELD
            if self._full or owner in self._marks:
                return at[0]
            page = await self._store.due_deliveries(at, now, PAGE)
            for delivery in page:
                if owner is None or owner in owners(delivery):
                    self._hold(delivery)
            if len(page) < PAGE:
                return None
            at = (page[-1].due, page[-1].id)
            await asyncio.sleep(0)  # others have their turn between two pages

    def _hold(self, delivery: Delivery) -> None:
        if delivery.id in self._held:
            self._held[delivery.id] = delivery
            return
        for owner in owners(delivery):
            if self._held_of[owner] >= _most(owner):
                self._marks[owner] = min(self._marks.get(owner, delivery.due), delivery.due)
                return
        self._held[delivery.id] = delivery
        self._held_of.update(owners(delivery))
        self._jobs.start(self._deliver(delivery))

    async def _deliver(self, delivery: Delivery) -> None:
        key_id, receiver = owners(delivery)
        try:
            async with self._receivers.turn(receiver), self._keys.turn(key_id), self._places:
                kept = await self._courier.deliver(delivery)
        except StoreUnavailable:
            log.error("the store is not to be reached for webhook %s; trying again", delivery.id)
            await asyncio.sleep(LOOK_S)
            kept = False
        finally:
            last = self._held.pop(delivery.id)
            self._let_go(delivery)
        if not kept or last != delivery:  # somebody put it back meanwhile
            self.wake(delivery.due)

    def _let_go(self, delivery: Delivery) -> None:
        for owner in owners(delivery):
            self._held_of[owner] -= 1
            if owner in self._marks and self._has_room(owner):
                self._woken.set()
            if not self._held_of[owner]:
                del self._held_of[owner]
        if self._full and len(self._held) <= HELD // 2:
            self._woken.set()

    def _has_room(self, owner: Owner) -> bool:
        return self._held_of[owner] <= _most(owner) // 2


class Turns:
    """At most so many places for each name, given in the order in which they are asked for."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._named: dict[Owner, asyncio.Semaphore] = {}
        self._users: Counter[Owner] = Counter()

    @asynccontextmanager
    async def turn(self, name: Owner) -> AsyncIterator[None]:
        """A place, when there is one."""
        self._users[name] += 1
        places = self._named.setdefault(name, asyncio.Semaphore(self._places))
        try:
            async with places:
                yield
        finally:
            self._users[name] -= 1
            if not self._users[name]:
                del self._users[name], self._named[name]


def owners(delivery: Delivery) -> tuple[str, tuple[str, str]]:
    """Its key, and its receiver. The same host is another receiver for another key."""
    return delivery.key_id, (delivery.key_id, urlsplit(delivery.url).netloc)


def _most(owner: Owner) -> int:
    return HELD_OF_ONE_KEY if isinstance(owner, str) else HELD_OF_ONE_RECEIVER
