"""`Idempotency-Key`: the same key and body within a day is the same request (spec section 2.6)."""

import hashlib
from typing import Final

from msgspec import Struct

from reynard.core.errors import InvalidParam

KEPT_S: Final = 86_400.0
LONGEST: Final = 255


class Repeat(Struct, frozen=True):
    """What a request is known again by. `name`: the header's value. `fingerprint`: of the path and the body.

    `instead_of`: the task of an earlier request of that name, which nobody was answered; this one takes its place.
    """

    name: str
    fingerprint: bytes
    instead_of: str | None = None


class Repeated(Exception):
    """The store knows the request already: `task_id` is its task. For the engine; no client is told of it as such."""

    def __init__(self, repeat: Repeat, task_id: str) -> None:
        super().__init__(f"The Idempotency-Key stands for {task_id}.")
        self.repeat = repeat
        self.task_id = task_id


def repeat_of(name: str, path: str, body: bytes) -> Repeat:
    """Raises `InvalidParam` for a header that is empty, longer than 255 characters, or not plain printable ASCII."""
    if not 0 < len(name) <= LONGEST or not name.isascii() or not name.isprintable():
        raise InvalidParam(
            f"`Idempotency-Key` must be 1 to {LONGEST} printable ASCII characters.", param="Idempotency-Key"
        )
    digest = hashlib.sha256(path.encode("utf-8", "replace"))
    digest.update(b"\0")
    digest.update(body)
    return Repeat(name, digest.digest())
