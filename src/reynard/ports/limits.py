"""Keeps keys to their limits."""

from collections.abc import Mapping
from typing import Protocol

from reynard.core.limits import Allowance, Limits


class Limiter(Protocol):
    """Counts what keys use. A window of 60 seconds slides: in no 60 seconds does a key get more than its limit.

    Every `take` that returned is followed by one `release`, when the task has ended, or by one `give_back`.
    """

    async def take(self, key_id: str, limits: Limits, tokens: int) -> Allowance:
        """A request, its tokens (an estimate) and a place for its task; or nothing at all, and `RateLimited`.

        Raises `TooLargeForLimit`, a `RateLimited`, for a request that never fits. Raises `Overloaded` where more keys
        are in use than can be counted.
        """
        ...

    async def correct(self, key_id: str, limits: Limits, estimated: int, real: int, at: float) -> None:
        """The request that was taken at `Allowance.at` as `estimated` tokens used `real` ones.

        Fewer are there again at once, if they still count; more are used from now on.
        """
        ...

    async def give_back(self, key_id: str, limits: Limits, tokens: int, at: float) -> None:
        """The request that was taken at `Allowance.at` was not accepted: request, tokens and place are there again."""
        ...

    async def release(self, key_id: str) -> None:
        """A task of the key has ended: its place is there again."""
        ...

    async def restore(self, running: Mapping[str, int]) -> None:
        """What keys have running, after a restart: tasks by key. They are released as all others."""
        ...
