"""Looks for the webhooks that are due, and has them delivered, so that no receiver holds up another."""

import asyncio
import logging
from collections import Counter
from typing import Final
from urllib.parse import urlsplit

from reynard.core.errors import StoreUnavailable
from reynard.core.webhooks import Delivery
from reynard.engine.courier import Courier
from reynard.engine.jobs import Jobs
from reynard.engine.turns import Places, Turns
from reynard.ports.clock import Clock
from reynard.ports.store import Deliveries

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0  # between two looks, if nobody wakes it: another process may have put a delivery back
SLACK_S: Final = 5.0  # so much later than it is due may a delivery come into sight
SWEEP_S: Final = 600.0  # between two walks over all that is due, for what came into sight later still
PAGE: Final = 200
TO_ONE_RECEIVER: Final = 4  # at once
AHEAD: Final = 2  # so many times what can be under way is held of an owner: when one ends, the next is at hand
HELD: Final = 4_096  # from here on, one of each key

Owner = str | tuple[str, str]
"""A key, or a receiver: a key and a host."""


class Outbox:
    """A loop over the store, and a job for each delivery that it holds.

    A receiver that hangs has `TO_ONE_RECEIVER` calls at most, a host a quarter of `concurrency`, of all keys together,
    and a key half; and keys take turns: the others go on. What an owner has beyond what is held of it stays in the
    store; a mark says from where on, and is gone back to when half of what was held has ended. So a walk never passes
    the same backlog twice, and no owner's backlog ends it.
    """

    def __init__(self, store: Deliveries, courier: Courier, clock: Clock, jobs: Jobs, *, concurrency: int) -> None:
        self._store = store
        self._courier = courier
        self._clock = clock
        self._jobs = jobs
        self._held: dict[str, Delivery] = {}  # as they were seen last
        self._held_of: Counter[Owner] = Counter()
        self._seen = 0.0  # what was due before is held, has ended, or lies behind a mark
        self._unseen = True  # whether anything may have come since, but room behind a mark
        self._marks: dict[Owner, float] = {}
        self._swept = 0.0
        self._woken = asyncio.Event()
        self._of_one_key = max(1, concurrency // 2)
        self._places = Places(concurrency)
        self._keys = Turns(self._of_one_key)
        self._hosts = Turns(max(1, concurrency // 4))
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
        self._unseen = True
        self._woken.set()

    async def _keep_delivering(self) -> None:
        while True:
            self._woken.clear()
            pause_s = await self._looked()
            try:
                async with asyncio.timeout(pause_s):
                    await self._woken.wait()
            except TimeoutError:
                self._unseen = True

    async def _looked(self) -> float:
        """Takes up what is due; how long the next look can wait."""
        try:
            now = self._clock.now()
            if not self._swept <= now < self._swept + SWEEP_S:  # a clock may be put back
                self._swept, self._seen, self._unseen = now, 0.0, True
            await self._take_up(now)
            due = await self._store.next_delivery_due(now)
        except StoreUnavailable:
            self._seen, self._unseen = 0.0, True  # nobody knows how far it came
            log.error("the store is not to be reached for webhooks; trying again")
        except Exception:
            self._seen, self._unseen = 0.0, True
            log.exception("failed to look for webhooks; trying again")
        else:
            return LOOK_S if due is None else min(LOOK_S, due - now)
        return LOOK_S

    async def _take_up(self, now: float) -> None:
        """What lies behind the marks of those that have room again, then what nobody has looked at yet, to its end."""
        for owner in list(filter(self._has_room, self._marks)):
            mark = self._marks.pop(owner)
            left = await self._walk(mark, now, owner)
            if left is not None:
                self._marks.setdefault(owner, left)
        if self._unseen:
            self._unseen = False
            start, self._seen = self._seen, now - SLACK_S  # whoever wakes meanwhile may put it back
            await self._walk(start, now, None)

    async def _walk(self, start: float, now: float, owner: Owner | None) -> float | None:
        """Page by page: all that is due from `start` on, or what is `owner`'s until that is enough; None at the end,
        else how far it came."""
        at = (start, "")
        while True:
            if owner in self._marks:
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
            if self._held_of[owner] >= self._most(owner):
                self._marks[owner] = min(self._marks.get(owner, delivery.due), delivery.due)
                return
        self._held[delivery.id] = delivery
        self._held_of.update(owners(delivery))
        self._jobs.start(self._deliver(delivery))

    async def _deliver(self, delivery: Delivery) -> None:
        key_id, receiver = owners(delivery)
        try:
            async with (
                self._receivers.turn(receiver, key_id),
                self._keys.turn(key_id, key_id),
                self._hosts.turn(receiver[1], key_id),
                self._places.turn(key_id),
            ):
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

    def _has_room(self, owner: Owner) -> bool:
        return self._held_of[owner] <= self._most(owner) // 2

    def _most(self, owner: Owner) -> int:
        if not isinstance(owner, str):
            return AHEAD * TO_ONE_RECEIVER
        return AHEAD * self._of_one_key if len(self._held) < HELD else 1


def owners(delivery: Delivery) -> tuple[str, tuple[str, str]]:
    """Its key, and its receiver. The same host is another receiver for another key."""
    return delivery.key_id, (delivery.key_id, urlsplit(delivery.url).netloc.lower())
