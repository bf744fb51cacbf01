"""Who calls: a key, checked without a look into the store for garbage, and forgotten as soon as it is revoked."""

import hmac

from reynard.core import keys
from reynard.core.errors import AuthenticationFailed
from reynard.core.keys import Key
from reynard.ports.clock import Clock
from reynard.ports.store import Keys

MOST_CACHED = 20_000


class Access:
    """A cache of good keys by digest. The store's epoch, asked each time, empties it when any key changes.

    A key that is known is not spelled out again: its checksum only keeps garbage from the store.
    """

    def __init__(self, store: Keys, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._epoch = 0
        self._known: dict[bytes, Key] = {}

    async def authenticate(self, secret: str | None) -> Key:
        """The key of a caller. Raises `AuthenticationFailed`; why, is told only where it helps no guesser."""
        if secret is None:
            raise AuthenticationFailed("No API key. Send one in the header `Authorization: Bearer sk-…`.")
        if len(secret) != keys.LENGTH:
            raise _refused()
        digest = keys.digest(secret)
        if digest not in self._known and not keys.is_well_formed(secret):
            raise _refused()
        key = self._cached(digest) or await self._stored(digest)
        if key is None or not key.is_good(self._clock.now()):
            raise _refused()
        return key

    def _cached(self, digest: bytes) -> Key | None:
        epoch = self._store.keys_epoch()
        if epoch != self._epoch:
            self._known.clear()
            self._epoch = epoch
        return self._known.get(digest)

    async def _stored(self, digest: bytes) -> Key | None:
        key = await self._store.key_by_digest(digest)
        if key is None or not hmac.compare_digest(key.digest, digest):
            return None
        if len(self._known) >= MOST_CACHED:
            del self._known[next(iter(self._known))]
        self._known[digest] = key
        return key


def _refused() -> AuthenticationFailed:
    return AuthenticationFailed("The API key is not valid. Check it, or ask the gateway's operator for another.")
