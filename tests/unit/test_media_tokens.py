"""Media in tokens: the providers' own examples, sizes that others measured, and what nobody has looked at."""

import struct
from base64 import b64encode
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reynard import config
from reynard.core import media_tokens
from reynard.core.catalogue import Model
from reynard.core.media_tokens import (
    MOST,
    MOST_OF_A_PIECE,
    Crops,
    Detail,
    Flat,
    MediaTokens,
    Patches,
    Piece,
    Tiles,
    Timed,
    Unknown,
    count,
)

MODELS: Final = {model.id: model for model in config.load(None, {}).models}
SIZES: Final = st.tuples(st.integers(1, 2**32 - 1), st.integers(1, 2**32 - 1))
RULES: Final = st.sampled_from([model.media_tokens for model in MODELS.values()] + [MediaTokens()])
PIECES: Final = st.builds(
    Piece,
    st.sampled_from(["image", "video", "audio", "file"]),
    st.text(max_size=40) | st.binary(max_size=200).map(lambda body: data(body)),
    st.sampled_from(["auto", "low", "high"]),
    st.booleans(),
)


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + bytes(5)


def data(body: bytes) -> str:
    return f"data:application/octet-stream;base64,{b64encode(body).decode()}"


def image(model: str, size: tuple[int, int], detail: Detail = "auto") -> int:
    return count(Piece("image", data(png(*size)), detail), MODELS[model].media_tokens)


def test_openais_examples() -> None:
    """https://developers.openai.com/api/docs/guides/images-vision#calculating-costs"""
    patches = Patches(side=32, most=1_536)
    assert [patches.count(size, "auto") for size in ((1024, 1024), (1800, 2400))] == [1024, 1452]
    tiles = Tiles(tokens=170, base=85)
    assert [tiles.count(size, "auto") for size in ((1024, 1024), (2048, 4096))] == [765, 1105]
    assert tiles.count((4096, 8192), "low") == 85


@pytest.mark.parametrize(
    ("size", "tokens"),
    [
        ((256, 256), 77),
        ((512, 512), 308),
        ((768, 768), 692),
        ((1024, 1024), 1229),
        ((1280, 720), 1104),
        ((1080, 1920), 2448),
        ((2560, 1440), 4320),
        ((3840, 2160), 9792),
        ((4032, 3024), 11868),
    ],
)
def test_gpt_as_it_was_measured(size: tuple[int, int], tokens: int) -> None:
    """`gpt55_auto_tokens` in https://huggingface.co/datasets/JOHNISKING/image-token-cost"""
    assert image("gpt-5.5", size) == tokens
    assert image("gpt-5.5", size, "high") == image("gpt-5.4", size) == min(tokens, image("gpt-5.4", size))
    assert image("gpt-5.4", size, "low") <= 308


@pytest.mark.parametrize(
    ("model", "size", "tokens"),
    [
        ("claude-opus-4-6", (1000, 1000), 1_296),
        ("claude-opus-4-6", (1092, 1092), 1_521),
        ("claude-opus-4-7", (1920, 1080), 2_691),
        ("claude-opus-4-7", (2576, 1449), 4_784),
        ("gemini-2.5-pro", (384, 384), 258),
        ("gemini-2.5-pro", (960, 540), 6 * 258),
        ("gemini-2.5-pro", (10_000, 10_000), 16 * 258),
        ("gemini-3.1-pro-preview", (10_000, 10), 1_120),
        ("kimi-k2.6", (1920, 1080), 2_691),
        ("nemotron-3-nano-omni", (10, 10), 256),
        ("nemotron-3-nano-omni", (1024, 1024), 1_024),
    ],
)
def test_images_of_the_catalogue(model: str, size: tuple[int, int], tokens: int) -> None:
    assert image(model, size) == tokens


@given(SIZES)
def test_no_image_is_more_than_its_model_reads(size: tuple[int, int]) -> None:
    assert 1 <= image("claude-opus-4-6", size) <= 1_568
    assert 1 <= image("claude-opus-4-7", size) <= 4_784
    assert 1 <= image("gpt-5.4", size) <= 3_000
    assert 1 <= image("gpt-5.5", size) <= 12_000
    assert 258 <= image("gemini-2.5-pro", size) <= 24 * 258
    assert 256 <= image("nemotron-3-nano-omni", size) <= 3_328
    assert 1 <= Tiles(tokens=1).count(size, "auto") <= 8


WAV: Final = (
    b"RIFF____WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16) + b"data\0\0\0\0" + bytes(64_000)
)


@pytest.mark.parametrize(
    ("piece", "tokens"),
    [
        (Piece("audio", b64encode(WAV).decode(), bare=True), 64),
        (Piece("audio", data(WAV)), 64),
        (Piece("audio", data(WAV), bare=True), 64),
        (Piece("audio", data(b"OggS" + bytes(79_996))), 10 * 32),
        (Piece("audio", "https://example.org/a.mp3"), 300 * 32),
        (Piece("video", data(bytes(250_000))), 2 * 300),
        (Piece("video", "https://youtu.be/aaaaaaaaaaa"), 300 * 300),
        (Piece("file", data(b"%PDF-1.4 /Linearized 1 /N 7 ")), 7 * 258),
        (Piece("file", data(b"%PDF-1.4" + bytes(100_000))), 3 * 258),
        (Piece("file", data(b"%PDF-1.4"), bare=True), 258),
        (Piece("file", data(b"PK\x03\x04" + bytes(100_000))), 3 * 258),
        (Piece("file", data(b"a" * 300)), 100),
        (Piece("file", "https://example.org/a.pdf"), 10 * 258),
        (Piece("file", "file-0123456789"), 10 * 258),
        (Piece("image", "https://example.org/a,b.png"), 6 * 258),
        (Piece("image", data(b"\0\0\0\x18ftypheic")), 6 * 258),
        (Piece("image", "data:image/png;base64"), 6 * 258),
        (Piece("image", "data:image/png;base64,%%%"), 6 * 258),
        (Piece("image", "data:image/png;base64,é"), 6 * 258),
        (Piece("image", ""), 6 * 258),
    ],
)
def test_each_kind_by_the_rule_of_gemini(piece: Piece, tokens: int) -> None:
    assert count(piece, MODELS["gemini-2.5-pro"].media_tokens) == tokens


def test_a_header_far_behind_is_found() -> None:
    """The picture that a camera puts in front of the picture."""
    camera = b"\xff\xd8" + (b"\xff\xe1" + struct.pack(">H", 30_000) + bytes(29_998)) * 2
    frame = b"\xff\xc0\0\x11\x08" + struct.pack(">HH", 1_000, 1_000) + bytes(10)
    opus = MODELS["claude-opus-4-6"].media_tokens
    assert count(Piece("image", data(camera + frame)), opus) == 1_296
    assert count(Piece("image", data(camera + camera[2:] + frame)), opus) == count(Piece("image", "x"), opus) == 1_508
    tag = b"ID3\x04\0\0\0\0\x7f\x7f" + bytes(16_383)
    assert count(Piece("audio", data(tag + b"\xff\xfb\x90\0" + bytes(159_996))), MediaTokens()) == 320


def test_what_nothing_tells_is_a_setting() -> None:
    rules = MediaTokens(image=Crops(tokens=1), unknown=Unknown(width=10, height=10, seconds=2, pages=3))
    told = [count(Piece(kind, "https://example.org/a"), rules) for kind in ("image", "audio", "video", "file")]
    assert told == [1, 64, 600, 9_000]
    assert count(Piece("image", "x"), MediaTokens(image=Flat(tokens=5))) == 5


def test_the_media_of_a_model_that_says_nothing() -> None:
    assert count(Piece("image", data(png(9_999, 9_999))), Model(id="m").media_tokens) == 1_600
    assert count(Piece("file", data(b"%PDF-1.4")), Model(id="m").media_tokens) == 3_000


def test_a_piece_is_bounded() -> None:
    long = b"\0\0\0\x18ftypisommvhd" + bytes(12) + struct.pack(">II", 1, 2**32 - 2)
    assert count(Piece("video", data(long)), MediaTokens()) == MOST_OF_A_PIECE
    assert count(Piece("file", "x"), MediaTokens(unknown=Unknown(pages=10**7))) == MOST_OF_A_PIECE
    assert Timed(per_second=0, bytes_per_second=1).of(10**9) == 0


@given(PIECES, RULES)
def test_any_piece_counts(piece: Piece, rules: MediaTokens) -> None:
    assert 0 <= count(piece, rules) <= MOST_OF_A_PIECE


@given(st.sampled_from(["image", "video", "audio", "file"]), st.binary(max_size=40))
def test_of_a_large_piece_the_first_bytes_are_decoded_and_no_more(kind: Any, start: bytes) -> None:
    decoded: list[int] = []

    def watched(said: str, begin: int, most: int) -> bytes:
        part = read(said, begin, most)
        decoded.append(len(part))
        return part

    read = media_tokens.head
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(media_tokens, "head", watched)
        count(Piece(kind, "data:a/b;base64," + b64encode(start).decode().rstrip("=") + LARGE), MediaTokens())
    assert len(decoded) <= 2
    assert all(length <= MOST for length in decoded)


LARGE: Final = "A" * 10_000_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"image": {"rule": "no such"}},
        {"image": {"side": 32}},
        {"image": {"rule": "patches"}},
        {"image": {"rule": "patches", "side": 0}},
        {"image": {"rule": "patches", "side": 32, "details": {"best": {}}}},
        {"image": {"rule": "flat", "tokens": -1}},
        {"audio": {"per_second": 1}},
        {"video": {"per_second": 1, "bytes_per_second": 0}},
        {"unknown": {"pages": 0}},
        {"pages": 1},
    ],
)
def test_a_wrong_rule_is_refused(wrong: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"id": "m", "media_tokens": wrong}, Model)
