"""The ids of requests."""

import os
from typing import Final

RANDOM_BYTES: Final = 12
AT_ONCE: Final = 256
"""So many are made in a row: asking the system for randomness takes longer than all else of an id."""

_ready: list[bytes] = []


def new_request_id() -> bytes:
    """For a client that brought none: `req-` and 24 hexadecimal digits."""
    if not _ready:
        digits = os.urandom(RANDOM_BYTES * AT_ONCE).hex(" ", RANDOM_BYTES).encode()
        _ready.extend([b"req-" + one for one in digits.split()])
    return _ready.pop()
