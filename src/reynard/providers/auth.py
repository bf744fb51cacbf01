"""How a channel shows whose it is: a part of its own, beside the dialect it speaks and the models it carries."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from reynard.core.channels import Auth as Way
from reynard.core.channels import Channel, Dialect
from reynard.ports.clock import Clock
from reynard.providers.google import GoogleAuth

OWN_WAY: Final[dict[Dialect, Way]] = {
    "openai": "bearer",
    "anthropic": "x-api-key",
    "gemini": "x-goog-api-key",
    "simulated": "none",
}
"""What the provider of each dialect documents: a bearer token (OpenAI), or a header of its own (Anthropic, Google)."""

BEARER: Final = ("authorization", "Bearer ")


class Auth(Protocol):
    """What a request carries to be let in."""

    async def headers(self, key: int = 0) -> Mapping[str, str]:
        """For one request, with the channel's key of that number; at once when nothing is to be refreshed.

        Raises `ConnectFailed` where none can be had.
        """
        ...


class KeyAuth:
    """A key in a header; without one there is no header. Whose turn it is among several, the engine says."""

    def __init__(self, header: str, prefix: str, keys: Sequence[str]) -> None:
        self._headers: Sequence[Mapping[str, str]] = [{header: prefix + key} for key in keys] or [{}]

    async def headers(self, key: int = 0) -> Mapping[str, str]:
        """See the protocol."""
        return self._headers[key % len(self._headers)]


def auth_of(channel: Channel, keys: Sequence[str], clock: Clock) -> Auth:
    """The channel's way, or its dialect's own, with the keys that are its."""
    match channel.auth or OWN_WAY[channel.dialect]:
        case "google":
            return GoogleAuth(keys[0] if keys else None, clock)
        case "none":
            return KeyAuth(*BEARER, ())
        case "bearer":
            return KeyAuth(*BEARER, keys)
        case header:
            return KeyAuth(header, "", keys)
