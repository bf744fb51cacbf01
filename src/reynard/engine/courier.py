"""One try of one delivery: what is posted, how it is signed, and what comes of it."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from reynard.core import webhooks
from reynard.core.errors import StoreUnavailable
from reynard.core.keys import Key
from reynard.core.task import Task
from reynard.core.webhooks import GONE, Delivery, Try
from reynard.ports.clock import Chance, Clock
from reynard.ports.store import Store
from reynard.ports.telemetry import UNOBSERVED, Observer
from reynard.ports.webhooks import NotDelivered, Notifier, NotTried

log = logging.getLogger(__name__)

STORE_RETRY_S: Final = 5.0

Master = Callable[[], bytes]
"""The gateway's own secret."""
Payload = Callable[[Task, bytes | None, Key], bytes]
"""The body of a delivery: an ended task, its result and its key."""


class Courier:
    """Posts a delivery, and records the try.

    One that was posted and not recorded, because the process died between, is due still, and posted again under the
    same id: at least once.
    """

    def __init__(
        self,
        *,
        store: Store,
        notifier: Notifier,
        payload: Payload,
        master: Master,
        clock: Clock,
        chance: Chance,
        observer: Observer = UNOBSERVED,
    ) -> None:
        self._store = store
        self._notifier = notifier
        self._payload = payload
        self._master = master
        self._clock = clock
        self._chance = chance
        self._observer = observer

    async def deliver(self, delivery: Delivery) -> bool:
        """Whether the store had nothing else in mind by then: False if somebody put the delivery back meanwhile.

        Raises `StoreUnavailable` if it could not be begun.
        """
        began = self._clock.now()
        found, key = await self._store.find(delivery.task_id), await self._store.find_key(delivery.key_id)
        if found is None or key is None:  # its time was over first
            gone = Try(at=began, error="task_gone", took_ms=0)
            return await self._record(replace(delivery, state="failed", attempt=delivery.attempt + 1), gone, delivery)
        try:
            tried, retry_after_s = await self._post(delivery, found, key, began)
        except NotTried as busy:
            log.info("webhook %s was postponed: %s", delivery.id, busy)
            return await self._postpone(delivery)
        except Exception:
            log.exception("webhook %s could not be posted, and was postponed", delivery.id)
            return await self._postpone(delivery)
        outcome = webhooks.after(delivery, tried, self._clock.now(), self._chance.uniform(), retry_after_s)
        kept = await self._record(outcome, tried, delivery)
        if tried.status == GONE:
            await self._disable(key, delivery.url)
        return kept

    async def _post(
        self, delivery: Delivery, found: tuple[Task, bytes | None], key: Key, began: float
    ) -> tuple[Try, float | None]:
        """The try, and the receiver's `Retry-After`. Raises `NotTried`, and whatever is wrong with the gateway itself:
        neither counts as a try."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            body = self._payload(*found, key)
            receipt = await self._notifier.send(delivery.url, self._headers(delivery.id, body, key, began), body)
        except NotDelivered as failure:
            error = str(failure.reason)
        else:
            return Try(at=began, status=receipt.status, took_ms=_ms(loop.time() - started)), receipt.retry_after_s
        return Try(at=began, error=error, took_ms=_ms(loop.time() - started)), None

    def _headers(self, delivery_id: str, body: bytes, key: Key, now: float) -> Mapping[str, str]:
        master = self._master()
        secrets = [webhooks.secret_of(master, key.id, version) for version in webhooks.versions(key, now)]
        return webhooks.headers(delivery_id, now, body, secrets)

    async def _postpone(self, delivery: Delivery) -> bool:
        later = webhooks.postponed(delivery, self._clock.now(), self._chance.uniform())
        return await self._store.postpone(later, was=delivery)

    async def _record(self, outcome: Delivery, tried: Try, was: Delivery) -> bool:
        """When the store has it: what is not recorded would be posted again."""
        while True:
            try:
                kept = await self._store.record_try(outcome, tried, was=was)
            except StoreUnavailable:
                log.error("the store does not keep what came of webhook %s; trying again", was.id)
                await asyncio.sleep(STORE_RETRY_S)
                continue
            self._observer.delivered(outcome.state)
            if kept and outcome.state == "failed":
                log.info("webhook %s has failed for good, at try %d", was.id, outcome.attempt)
            return kept

    async def _disable(self, key: Key, url: str) -> None:
        """A key's own receiver that is gone is told no more: "Sender should disable the webhook endpoint"."""
        found: Key | None = key
        while found is not None and found.callback_url == url:
            if await self._store.update_key(replace(found, callback_url=None), was=found):
                log.warning("the callback_url of %s answered 410, and was removed", key.id)
                return
            found = await self._store.find_key(key.id)


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
