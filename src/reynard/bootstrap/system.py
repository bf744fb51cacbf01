"""The clock and the chance of the machine."""

import os
import random
import time
from typing import Final

STOCK_BYTES: Final = 4_096
SPARE_BITS: Final = 64
"""Beyond those of a limit: no number is likelier than another by more than one in 2^64."""


class SystemClock:
    """The one home of `time.time`."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()  # noqa: TID251


class SystemChance:
    """Cryptographic ids, ordinary draws.

    The system is asked for random bytes in stock: a call into the kernel for each id costs more than all the rest of
    making it (5 µs of a request's 200).
    """

    def __init__(self) -> None:
        self._stock = b""
        self._used = 0

    def below(self, limit: int) -> int:
        """See the port."""
        return int.from_bytes(self._bytes((limit.bit_length() + SPARE_BITS + 7) // 8), "big") % limit

    def uniform(self) -> float:
        """See the port."""
        return random.random()  # noqa: S311

    def _bytes(self, count: int) -> bytes:
        """Each byte of the stock is handed out once."""
        begin, self._used = self._used, self._used + count
        if self._used > len(self._stock):
            self._stock, begin, self._used = os.urandom(max(STOCK_BYTES, count)), 0, count
        return self._stock[begin : self._used]
