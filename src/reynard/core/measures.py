"""What the first bytes of a piece of media tell of its measure: pixels, seconds, pages.

Nothing is decoded, and no harm is in a header that lies: in the end is paid what the provider counted. What is hostile
or unknown gives None. No function raises, and none looks at more than it was handed, or at more than `MOST_SEGMENTS`
parts of it.
"""

import re
import struct
from collections.abc import Callable
from struct import unpack_from
from typing import Any, Final

MOST_SEGMENTS: Final = 300
"""Parts of a JPEG or a WAV that are looked at: a JPEG has at most 255 of a colour profile, and a few others."""

_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # SOF0 to SOF15; C4, C8, CC are tables
_BARE: Final = frozenset({0x01, *range(0xD0, 0xD9)})  # markers with no length behind them
_LINEARIZED: Final = re.compile(rb"/Linearized\b[^>]{0,256}?/N[ \r\n]{1,4}([0-9]{1,7})\b")
_UNTOLD: Final = (0, 0xFFFFFFFF)  # of a WAV that was streamed

_KBIT_S: Final[dict[tuple[bool, int], tuple[int, ...]]] = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Of a frame of MPEG audio by its index: whether version 1, and the layer (ISO 11172-3, 13818-3)."""
_HERTZ: Final[dict[int, tuple[int, ...]]] = {
    3: (44_100, 48_000, 32_000),
    2: (22_050, 24_000, 16_000),
    0: (11_025, 12_000, 8_000),
}

Pixels = tuple[int, int]


def pixels(head: bytes) -> Pixels | None:
    """Width and height of a PNG, JPEG, GIF, WebP or BMP; None where `head` does not tell."""
    read = next((read for magic, read in _IMAGES if head.startswith(magic)), None)
    found = None if read is None else _tried(read, head)
    return found if found is not None and min(found) > 0 else None


def seconds(head: bytes, size: int) -> float | None:
    """How long a WAV, MP3, FLAC, MP4 or MOV of `size` bytes plays; None where `head` does not tell."""
    for belongs, read in _SOUNDS:
        if belongs(head):
            found: float | None = _tried(read, head, size)
            return found if found is not None and found > 0 else None
    return None


def pages(head: bytes) -> int | None:
    """Pages of a PDF that was written for the web, which says so in its first object (ISO 32000-1, F.3.3)."""
    found = _LINEARIZED.search(head, 0, 2048) if head.startswith(b"%PDF-") else None
    return int(found[1]) or None if found else None


def _tried(read: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return read(*arguments)
    except (struct.error, IndexError, ZeroDivisionError):
        return None


def _png(head: bytes) -> Pixels | None:
    width, height = unpack_from(">II", head, 16)
    return (width, height) if head[12:16] == b"IHDR" else None


def _gif(head: bytes) -> Pixels:
    width, height = unpack_from("<HH", head, 6)
    return width, height


def _bmp(head: bytes) -> Pixels:
    old = unpack_from("<I", head, 14)[0] == 12  # OS/2: two bytes each
    width, height = unpack_from("<HH" if old else "<ii", head, 18)
    return abs(width), abs(height)


def _webp(head: bytes) -> Pixels | None:
    """https://developers.google.com/speed/webp/docs/riff_container"""
    if head[8:12] != b"WEBP":
        return None
    match head[12:16]:
        case b"VP8X":
            wide, wider, high, higher = unpack_from("<HBHB", head, 24)
            return (wide | wider << 16) + 1, (high | higher << 16) + 1
        case b"VP8L":
            (bits,) = unpack_from("<I", head, 21)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            width, height = unpack_from("<HH", head, 26)
            return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg(head: bytes) -> Pixels | None:
    """From marker to marker, to the one of the frame (ITU T.81, B.1)."""
    at = 2
    for _ in range(MOST_SEGMENTS):
        if head[at] != 0xFF:
            return None
        marker = head[at + 1]
        if marker in _FRAMES:
            height, width = unpack_from(">HH", head, at + 5)
            return width, height
        if marker == 0xFF:  # a byte that fills
            at += 1
        else:
            at += 2 if marker in _BARE else 2 + unpack_from(">H", head, at + 2)[0]
    return None


def _wav(head: bytes, size: int) -> float | None:
    """http://soundfile.sapp.org/doc/WaveFormat"""
    at, rate = 12, 0
    for _ in range(MOST_SEGMENTS):
        name, length = unpack_from("<4sI", head, at)
        if name == b"fmt ":
            (rate,) = unpack_from("<I", head, at + 16)
        elif name == b"data":
            there = max(0, size - at - 8)
            return (there if length in _UNTOLD else min(length, there)) / rate
        at += 8 + length + length % 2
    return None


def _flac(head: bytes, _: int) -> float:
    """STREAMINFO comes first (RFC 9639, 8.2): 20 bits of samples a second, 36 bits of samples."""
    rate = int.from_bytes(head[18:21], "big") >> 4
    return (int.from_bytes(head[21:26], "big") & 0xFFFFFFFFF) / rate


def _mp4(head: bytes, _: int) -> float | None:
    """The movie's header, where it stands in front of the movie (ISO 14496-12, 8.2.2)."""
    at = head.find(b"mvhd")
    if at < 0:
        return None
    shape, begin, untold = (">IQ", at + 24, 2**64 - 1) if head[at + 4] == 1 else (">II", at + 16, 2**32 - 1)
    scale, duration = unpack_from(shape, head, begin)
    return None if duration == untold else float(duration / scale)


def _mp3(head: bytes, size: int) -> float | None:
    """By the count of frames that an encoder of changing bit rate leaves in the first (`Xing`, `Info`); else by its
    rate."""
    at = _behind_tags(head)
    first, second, third = head[at], head[at + 1], head[at + 2]
    version, layer, index = second >> 3 & 3, 4 - (second >> 1 & 3), third >> 4
    if first != 0xFF or second < 0xE0 or version == 1 or layer == 4 or index == 15:
        return None
    frames = _frames(head, at)
    if frames:
        return frames * _samples(version, layer) / _HERTZ[version][third >> 2 & 3]
    return max(0, size - at) / (_KBIT_S[version == 3, layer][index] * 125)


def _behind_tags(head: bytes) -> int:
    """Where the sound begins behind ID3v2, whose length has seven bits a byte."""
    if not head.startswith(b"ID3"):
        return 0
    length = head[6:10]
    return 10 + (length[0] << 21 | length[1] << 14 | length[2] << 7 | length[3])


def _frames(head: bytes, at: int) -> int:
    found = re.compile(rb"Xing|Info").search(head, at, at + 48)
    flags, frames = unpack_from(">II", head, found.start() + 4) if found else (0, 0)
    return int(frames) if flags & 1 else 0


def _samples(version: int, layer: int) -> int:
    """Of a frame."""
    return 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1_152


_IMAGES: Final[tuple[tuple[bytes, Callable[[bytes], Pixels | None]], ...]] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8\xff", _jpeg),
    (b"GIF8", _gif),
    (b"RIFF", _webp),
    (b"BM", _bmp),
)
_SOUNDS: Final[tuple[tuple[Callable[[bytes], bool], Callable[[bytes, int], float | None]], ...]] = (
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"WAVE", _wav),
    (lambda head: head[:4] == b"fLaC", _flac),
    (lambda head: head[4:8] == b"ftyp", _mp4),
    (lambda head: head[:3] == b"ID3" or head[:1] == b"\xff", _mp3),
)
