"""JSON of providers, read in spite of half a surrogate pair: some cut their text between the two."""

import re
from typing import Final, TypeVar

import msgspec

T = TypeVar("T")

_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)", re.DOTALL
)
_HALF: Final = 6  # bytes: a lone surrogate; a pair has twelve, any other escape two


def decode(decoder: "msgspec.json.Decoder[T]", data: bytes) -> T:
    """The value in `data`, each lone surrogate as U+FFFD. Raises what `decoder` raises."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        if b"\\ud" not in data and b"\\uD" not in data:
            raise
    return decoder.decode(_ESCAPE.sub(_mended, data))


def _mended(found: "re.Match[bytes]") -> bytes:
    return rb"\ufffd" if len(found[0]) == _HALF else found[0]
