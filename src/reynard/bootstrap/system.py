"""The clock and the chance of the machine."""

import random
import secrets
import time


class SystemClock:
    """The one home of `time.time`."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()  # noqa: TID251


class SystemChance:
    """Cryptographic ids, ordinary draws."""

    def below(self, limit: int) -> int:
        """See the port."""
        return secrets.randbelow(limit)

    def uniform(self) -> float:
        """See the port."""
        return random.random()  # noqa: S311
