"""How much a node takes on, and how much of that a single key may have."""

from msgspec import Struct


class Capacity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tasks that run, tasks that wait in the store, calls that wait for their answer.

    `max_running_bytes`: of the requests of all tasks and calls under way; the largest part is inline media.
    Of what waits, a key has three quarters at the most: the others always find room.
    """

    max_running: int = 1_000
    max_running_bytes: int = 512_000_000
    max_pending: int = 100_000
    max_sync: int = 5_000

    @staticmethod
    def share_of(most: int) -> int:
        """What one key may have of it: three quarters, rounded up."""
        return -(-most * 3 // 4)
