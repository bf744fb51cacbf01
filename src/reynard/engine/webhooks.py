"""What a key may do with its webhooks: see what was delivered, have it delivered again, and know its secret."""

from msgspec import Struct

from reynard.core import webhooks
from reynard.core.errors import DeliveryNotFound, InvalidParam
from reynard.core.keys import Key
from reynard.core.webhooks import Delivery, Try, check_callback_url
from reynard.engine.courier import Master
from reynard.engine.outbox import Outbox
from reynard.ports.clock import Clock
from reynard.ports.store import DeliveryFilter, DeliveryPage, Store


class Secret(Struct, frozen=True):
    """A secret that signs, as libraries take it, and until when (Unix seconds; None: until it is rotated)."""

    secret: str
    expires: float | None


class Webhooks:
    """The use cases; delivering itself is the outbox's."""

    def __init__(
        self, *, store: Store, outbox: Outbox, master: Master, clock: Clock, allow_private_networks: bool
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._master = master
        self._clock = clock
        self._private = allow_private_networks

    @property
    def held(self) -> int:
        """See `Outbox`."""
        return self._outbox.held

    def start(self) -> None:
        """From now on what is due is delivered."""
        self._outbox.start()

    def wake(self, due: float) -> None:
        """A delivery was kept that was due then (Unix seconds)."""
        self._outbox.wake(due)

    def check_url(self, url: str, param: str) -> None:
        """Raises `InvalidParam` for an address that is not posted to here."""
        check_callback_url(url, param, private=self._private)

    async def page(self, wanted: DeliveryFilter) -> DeliveryPage:
        """A page of the caller's deliveries. Raises `InvalidParam` if `after` is none of them."""
        if wanted.after is not None:
            last = await self._store.find_delivery(wanted.after)
            if last is None or last.key_id != wanted.key_id:
                raise InvalidParam(
                    f"`after`: there is no delivery `{wanted.after[:80]}`; start anew without it.", param="after"
                )
        return await self._store.list_deliveries(wanted)

    async def find(self, delivery_id: str, caller: Key) -> tuple[Delivery, list[Try]]:
        """A delivery of the caller's, and its last tries, oldest first. Raises `DeliveryNotFound`."""
        found = await self._own(delivery_id, caller)
        return found, await self._store.tries(delivery_id, webhooks.TRIES_KEPT)

    async def redeliver(self, delivery_id: str, caller: Key) -> Delivery:
        """The delivery, due now, whatever became of it before. Raises `DeliveryNotFound`."""
        back = webhooks.again(await self._own(delivery_id, caller), self._clock.now())
        if not await self._store.put_back(back):
            raise _unknown(delivery_id)  # its time was over just now
        self._outbox.wake(back.due)
        return back

    def secrets(self, key: Key) -> list[Secret]:
        """What signs for the key now, the newest first."""
        return secrets_of(key, self._master(), self._clock.now())

    async def rotate(self, caller: Key) -> list[Secret]:
        """As `secrets`, with a new one in front; the one before signs as well for a day."""
        key = await rotate(self._store, caller.id, self._clock.now())
        return self.secrets(caller if key is None else key)

    async def _own(self, delivery_id: str, caller: Key) -> Delivery:
        found = await self._store.find_delivery(delivery_id)
        if found is None or found.key_id != caller.id:
            raise _unknown(delivery_id)
        return found


def secrets_of(key: Key, master: bytes, now: float) -> list[Secret]:
    """What signs for a key, the newest first."""
    return [
        Secret(
            webhooks.shown(webhooks.secret_of(master, key.id, version)),
            None if version == key.signing else key.rotated,
        )
        for version in webhooks.versions(key, now)
    ]


async def rotate(store: Store, key_id: str, now: float) -> Key | None:
    """The key, with the next version of its secret; None if there is no such key."""
    while (key := await store.find_key(key_id)) is not None:
        changed = webhooks.rotated(key, now)
        if await store.update_key(changed, was=key):
            return changed
    return None


def _unknown(delivery_id: str) -> DeliveryNotFound:
    return DeliveryNotFound(f"There is no delivery `{delivery_id[:80]}`.")
