"""How a webhook reaches its receiver."""

from collections.abc import Mapping
from typing import Literal, Protocol

from msgspec import Struct

Reason = Literal["unreachable", "tls_failed", "timeout"]
"""`unreachable` is all that a private address, an unknown name and a refused connection are told as: a client learns
nothing of the gateway's network."""


class NotDelivered(Exception):
    """There was no answer. `reason` is for the log of the delivery."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class NotTried(Exception):
    """Nothing was posted, for a bound of the gateway's own; it says nothing of the receiver. The text is for a log."""


class Receipt(Struct, frozen=True):
    """What the receiver answered. `retry_after_s`: its `Retry-After`, if that is a number of seconds."""

    status: int
    retry_after_s: float | None = None


class Notifier(Protocol):
    """Posts to addresses that clients name, and to nothing that they must not reach."""

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Receipt:
        """One POST, in bounded time; no redirect is followed. Raises `NotDelivered`, `NotTried`."""
        ...
