"""`reasoning_details` on their way through a client of the Responses API: the `encrypted_content` of a reasoning item.

The client keeps it unread and sends it back, as the API asks of it; the provider's signature inside guards itself.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Final

import msgspec

from reynard.core.errors import InvalidParam, UnsupportedOptions
from reynard.core.messages import Json

MARK: Final = "reynard-v1."
_details = msgspec.json.Decoder(list[Json])


def sealed(details: Sequence[Json]) -> str | None:
    """`details` as one text, or None if there are none."""
    return MARK + urlsafe_b64encode(msgspec.json.encode(details)).decode() if details else None


def opened(text: str | None, param: str) -> list[Json]:
    """What `sealed` was given. Raises `UnsupportedOptions` for what another provider sealed, `InvalidParam`."""
    if not text:
        return []
    if not text.startswith(MARK):
        raise UnsupportedOptions(
            f"`{param}` was not made by this gateway, which cannot pass it on. Remove the item.", param=param
        )
    try:
        return _details.decode(urlsafe_b64decode(text[len(MARK) :]))
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError):
        raise InvalidParam(f"`{param}` has been changed since this gateway made it.", param=param) from None
