"""What a key has, and what it used."""

from msgspec.structs import replace

from reynard.core.errors import PermissionDenied
from reynard.core.keys import Key
from reynard.core.ledger import Account
from reynard.ports.store import Store, UsageFilter, UsagePage


class Accounts:
    """Every key has an account of its own, limited or not; the keys of a group share none."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of(self, caller: Key) -> Account:
        """The caller's credits, as of the last commit."""
        return await self._store.account(caller.id)

    async def usage(self, wanted: UsageFilter, caller: Key) -> UsagePage:
        """The usage of `wanted.key_id`, or of all that the caller may see: an admin sees every key, others themselves.

        Raises `PermissionDenied`.
        """
        if caller.admin or wanted.key_id == caller.id:
            return await self._store.usage(wanted)
        if wanted.key_id is not None:
            raise PermissionDenied("Only an admin key may see the usage of other keys.", param="key")
        return await self._store.usage(replace(wanted, key_id=caller.id))
