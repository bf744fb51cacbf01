"""Pixels, seconds and pages from the first bytes: of real headers, of cut ones, of anything at all."""

import struct
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reynard.core.measures import MOST_SEGMENTS, pages, pixels, seconds

PNG: Final = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 640, 480)
FRAME_OF_JPEG: Final = b"\xff\xc2\0\x11\x08" + struct.pack(">HH", 480, 640)
JPEG: Final = b"\xff\xd8\xff\xe0\0\x10" + b"J" * 14 + FRAME_OF_JPEG
EXIF: Final = (
    b"\xff\xd8\xff\xe1" + struct.pack(">H", 40_000) + b"\xff\xc0" * 19_999 + b"\xff\xff\xff\xd0" + FRAME_OF_JPEG
)
IMAGES: Final = {
    "png": PNG,
    "jpeg": JPEG,
    "jpeg with a long header in front": EXIF,
    "gif": b"GIF89a" + struct.pack("<HH", 640, 480),
    "webp, lossy": b"RIFF____WEBPVP8 " + b"_" * 10 + struct.pack("<HH", 640 | 0x4000, 480),
    "webp, lossless": b"RIFF____WEBPVP8L____/" + struct.pack("<I", 639 | 479 << 14),
    "webp, extended": b"RIFF____WEBPVP8X" + b"_" * 8 + b"\x7f\x02\0\xdf\x01\0",
    "bmp": b"BM" + b"_" * 12 + struct.pack("<Iii", 40, 640, -480),
    "bmp of old": b"BM" + b"_" * 12 + struct.pack("<IHH", 12, 640, 480),
}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_tells_its_pixels(name: str) -> None:
    assert pixels(IMAGES[name]) == (640, 480)
    for end in range(len(IMAGES[name]) - 1, 0, -max(1, len(IMAGES[name]) // 100)):
        assert pixels(IMAGES[name][:end]) is None, end


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\0\0\0\x18ftypheic",
        PNG[:16] + bytes(8),
        PNG[:12] + b"CgBI" + PNG[16:],
        b"\xff\xd8\xff\xda\0\x02\0\x02" + FRAME_OF_JPEG,
        b"\xff\xd8" + b"\xff\xe0\0\x02" * MOST_SEGMENTS + FRAME_OF_JPEG,
        b"\xff\xd8\xff\xe0\0\0" + bytes(100),
        b"RIFF____WAVEVP8 " + bytes(99),
        b"RIFF____WEBPVP9 " + bytes(99),
    ],
)
def test_what_tells_no_pixels(head: bytes) -> None:
    assert pixels(head) is None


def wav(rate: int, length: int, extra: bytes = b"") -> bytes:
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, rate, 2, 16)
    return b"RIFF____WAVE" + extra + form + b"data" + struct.pack("<I", length)


def mvhd(version: int, scale: int, duration: int) -> bytes:
    times = struct.pack(">QQIQ" if version else ">IIII", 0, 0, scale, duration)
    return b"\0\0\0\x18ftypisom" + bytes(12) + b"\0\0\0\x6cmoov\0\0\0\x6cmvhd" + bytes([version, 0, 0, 0]) + times


MP3: Final = b"\xff\xfb\x90\0"  # MPEG 1, layer III, 128 kbit/s, 44.1 kHz
SOUNDS: Final = {
    "wav": (wav(32_000, 64_000), 10**6, 2.0),
    "wav with another chunk in front": (wav(32_000, 64_000, b"LIST\x03\0\0\0abc\0"), 10**6, 2.0),
    "wav that was streamed": (wav(32_000, 0xFFFFFFFF), 64_044, 2.0),
    "wav that says more than there is": (wav(32_000, 10**9), 64_044, 2.0),
    "mp3": (MP3, 160_000, 10.0),
    "mp3 behind a tag": (b"ID3\x04\0\0\0\0\x02\x01" + bytes(257) + MP3, 160_267, 10.0),
    "mp3 of changing rate": (MP3 + bytes(32) + b"Xing\0\0\0\x01" + struct.pack(">I", 1_225), 99, 32.0),
    "mp3 of 8 kbit/s, MPEG 2": (b"\xff\xf3\x10\0", 10_000, 10.0),
    "flac": (b"fLaC\0\0\0\x22" + bytes(10) + (44_100 << 44 | 88_200).to_bytes(8, "big"), 99, 2.0),
    "mp4": (mvhd(0, 1_000, 2_500), 99, 2.5),
    "mp4 of 64 bits": (mvhd(1, 1_000, 2_500), 99, 2.5),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_a_sound_tells_how_long_it_is(name: str) -> None:
    head, size, told = SOUNDS[name]
    assert seconds(head, size) == pytest.approx(told)
    assert all(seconds(head[:end], size) is None for end in range(3))


@pytest.mark.parametrize(
    "head",
    [
        b"OggS" + bytes(99),
        wav(0, 64_000),
        mvhd(0, 0, 1),
        mvhd(0, 1_000, 0),
        mvhd(0, 1_000, 0xFFFFFFFF),
        b"\0\0\0\x18ftypisom" + bytes(99),
        b"fLaC" + bytes(99),
        b"\xff\xfb\xf0\0",
        b"\xff\xfb\0\0",
        b"\xff\xf1\x50\x80",
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + MP3,
    ],
)
def test_what_tells_no_seconds(head: bytes) -> None:
    assert seconds(head, 10**6) is None


def test_a_pdf_for_the_web_tells_its_pages() -> None:
    first = b"%PDF-1.7\n1 0 obj\n<</Linearized 1/L 54321/H [ 900 120 ]/O 9/E 7000/N 12/T 54000>>\nendobj"
    assert pages(first) == 12
    assert pages(first.replace(b"/N 12", b"/N 0")) is None
    assert pages(b"%PDF-1.7\n" + bytes(4_000) + first[9:]) is None
    assert pages(first[5:]) is None


MAGICS: Final = st.sampled_from(
    [head[:length] for head in [*IMAGES.values(), *(s[0] for s in SOUNDS.values())] for length in (4, 12, 24)]
)


@given(
    st.builds(lambda magic, rest: magic + rest, MAGICS | st.just(b"%PDF-/Linearized"), st.binary(max_size=300)),
    st.integers(0, 2**70),
)
@example(b"\xff\xd8" + b"\xff" * 65_535, 10**6)
@example(b"RIFF____WAVE" + bytes(65_535), 10**6)
@example(b"%PDF-" + b"/Linearized" * 6_000, 10**6)
def test_whatever_the_bytes_are(head: bytes, size: int) -> None:
    found, played, leaves = pixels(head), seconds(head, size), pages(head)
    assert found is None or min(found) > 0
    assert played is None or played > 0
    assert leaves is None or leaves > 0
