"""Media as it comes in a request: base64 that must be base64, and bytes that must be what they are said to be."""

import binascii
from typing import Final

from reynard.core.formats import FORMAT_OF_TYPE, Kind, type_of
from reynard.testing.wires.exchange import Refused, require

HEAD: Final = 64
SURE: Final = frozenset(
    {"jpeg", "png", "gif", "webp", "heic", "heif", "pdf", "wav", "aiff", "ogg", "flac", "m4a", "mp4", "mov", "webm"}
)
"""Formats whose first bytes always tell them; of the others, silence of the magic proves nothing."""
ISO: Final = frozenset({"mp4", "m4a", "mov"})  # one container, whose brand encoders choose freely
FAMILIES: Final = (ISO, frozenset({"heic", "heif"}))


def kind_of(media_type: str) -> Kind:
    """Image, video or audio by the type's first word; all else is a file."""
    match media_type.partition("/")[0]:
        case "image":
            return "image"
        case "video":
            return "video"
        case "audio":
            return "audio"
        case _:
            return "file"


def matches(data: bytes, media_type: str) -> bool:
    """Whether the first bytes are those of the declared type."""
    silent = type_of(data[:HEAD], kind_of(media_type)) is None
    return _format(media_type) not in SURE if silent else not contradicts(data, media_type)


def contradicts(data: bytes, media_type: str) -> bool:
    """Whether the first bytes are those of another type; bytes that tell nothing contradict nothing."""
    kind = kind_of(media_type)
    declared = _format(media_type)
    found = type_of(data[:HEAD], kind)
    if found is None:
        return False
    told = _format(found)
    if declared == told or any({declared, told} <= family for family in FAMILIES):
        return False
    return not (kind == "file" and declared not in SURE and told == "html")  # a text may begin as a page does


def decoded(text: str, where: str) -> bytes:
    """The bytes of standard, padded base64. Raises `Refused`."""
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise Refused(f"{where}: invalid base64 data") from None
    require(bool(data), f"{where}: the data is empty")
    require(
        len(text) % 4 == 0 and len(data) == len(text) // 4 * 3 - text[-2:].count("="), f"{where}: invalid base64 data"
    )
    return data


def _format(media_type: str) -> str:
    return FORMAT_OF_TYPE.get(media_type, media_type.partition("/")[2])
