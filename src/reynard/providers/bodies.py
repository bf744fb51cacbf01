"""JSON of a provider's, read as it is meant."""

import re
from typing import Final, TypeVar

import msgspec

from reynard.providers.failures import garbled

T = TypeVar("T")

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
"""An escape of JSON's; the group is half of a surrogate pair that has no other half."""


def decoded(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """The value in `body`. Raises `GenerationError` if there is none."""
    try:
        return read(decoder, body)
    except UNREADABLE:
        raise garbled() from None


def read(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """The value in `body`. Raises what `decoder` raises (`UNREADABLE`).

    Half a surrogate pair (`"\\ud83d"`, from a server that cut an emoji in two) becomes U+FFFD: JSON allows it, UTF-8
    has no form of it, msgspec refuses it, and the answer around it is a good one. Only a body that was refused is
    searched.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        if b"\\ud" not in body and b"\\uD" not in body:
            raise
    return decoder.decode(_ESCAPE.sub(_mended, body))


def _mended(escape: "re.Match[bytes]") -> bytes:
    return rb"\ufffd" if escape[1] else escape[0]
