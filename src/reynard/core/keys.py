"""API keys: how they are made and told from garbage, and what is kept of them. The key itself is kept nowhere."""

import binascii
import hashlib
from typing import Final

from msgspec import Struct

from reynard.core.ids import ALPHABET, Below, spelled
from reynard.core.limits import Limits

PREFIX: Final = "sk-"
BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BODY_LENGTH: Final = 42  # 250 bits
CHECK_LENGTH: Final = 6
LENGTH: Final = len(PREFIX) + BODY_LENGTH + CHECK_LENGTH


class Key(Struct, frozen=True, kw_only=True):
    """A key as it is stored. `models` None: all of them. Times are Unix seconds."""

    id: str
    digest: bytes
    name: str
    hint: str  # the first and last characters, to tell keys apart on a list
    created: float
    admin: bool = False
    group: str = "default"
    models: tuple[str, ...] | None = None
    expires: float | None = None
    revoked: float | None = None
    limited: bool = False  # to its credits; what another key uses is recorded, and not refused
    callback_url: str | None = None  # told of the end of its tasks, where a request names no other
    limits: Limits = Limits()
    signing: int = 1  # the version of the secret that signs its webhooks
    rotated: float | None = None  # when the version before that stops to sign as well

    def is_good(self, now: float) -> bool:
        """Neither revoked nor expired."""
        return self.revoked is None and (self.expires is None or now < self.expires)

    def may_use(self, model: str) -> bool:
        """Whether the key is not bound, or bound to this model among others."""
        return self.models is None or model in self.models


def make(below: Below) -> str:
    """A new key: `sk-`, 42 random characters, and a checksum, so that garbage never costs a look into the store."""
    body = spelled(below(62**BODY_LENGTH), BASE62, BODY_LENGTH)
    return f"{PREFIX}{body}{_checksum(body)}"


def key_id(below: Below) -> str:
    """A name for the key that is no secret."""
    return f"key-{spelled(below(36**12), ALPHABET, 12)}"


def digest(key: str) -> bytes:
    """What is stored in place of a key. Its 250 random bits need no slow hash and no salt."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def hint(key: str) -> str:
    """`sk-ab…yz`."""
    return f"{key[:5]}…{key[-2:]}"


def is_well_formed(key: str) -> bool:
    """Whether `key` can be one of ours at all."""
    return len(key) == LENGTH and key.startswith(PREFIX) and key.isascii() and key[-6:] == _checksum(key[3:-6])


def _checksum(body: str) -> str:
    return spelled(binascii.crc32(body.encode()), BASE62, CHECK_LENGTH)
