"""The words of ASGI (https://asgi.readthedocs.io/en/latest/specs/www.html), and the one that is ours."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
RawHeaders = list[tuple[bytes, bytes]]

PRESENCE: Final = "reynard.presence"
"""The name, among a scope's extensions, of the `Presence` of its client."""


class ClientGone(Exception):
    """The client closed its connection; there is nobody to answer."""


class Presence(Protocol):
    """Tells at once when a client goes. ASGI itself tells only who waits for it, which would take a task a call."""

    @property
    def is_gone(self) -> bool:
        """Whether there is nobody to answer any more."""
        ...

    def watch(self, leave: Callable[[], object]) -> None:
        """`leave` is called when the client goes before it is answered; the latest one only."""
        ...

    def unwatch(self) -> None:
        """It is called no more."""
        ...
