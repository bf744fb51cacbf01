"""Names, types, tokens and addresses of uploaded files."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reynard.core import files
from reynard.core.files import File, media_type_of, name_of, safe_name, token_of
from reynard.core.formats import TYPE_OF_FORMAT

TOKEN = "a1" * 16
PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 40
MP4 = b"\x00\x00\x00\x18ftypisom" + b"x" * 40
ZIP = b"PK\x03\x04" + b"x" * 40


def file(name: str = "a.png", media_type: str = "image/png") -> File:
    return File(
        id="file-1-aaaaaa",
        key_id="key-a",
        name=name,
        type=media_type,
        size=1,
        sha256="0" * 64,
        token=TOKEN,
        created=1.0,
        expires=2.0,
    )


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("photo.png", "photo.png"),
        ("My report (final).PDF", "My report (final).PDF"),
        ("日本語 ünï.mp4", "日本語 ünï.mp4"),
        ("u\u0308.txt", "ü.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\win.ini", "win.ini"),
        ("a/b\\c.txt", "c.txt"),
        ("..", ""),
        (".", ""),
        ("/", ""),
        ("", ""),
        (".htaccess", "htaccess"),
        ("a.txt...", "a.txt"),
        ("  a \t b .txt ", "a b .txt"),
        ("a\x00b\x1b[31m\x7f\x9f.txt", "ab[31m.txt"),
        ("a\r\nx-evil: 1.txt", "a x-evil_ 1.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("\u2066a\u2069\u200b\ufeff.txt", "a.txt"),
        ("line\u2028sep.txt", "line sep.txt"),
        ("quo\"te's.txt", "quo_te's.txt"),
        ("<script>.html", "_script_.html"),
        ("a;b%2e|c?*.txt", "a_b_2e_c__.txt"),
        ("\ud800.txt", "txt"),
        ("💾.bin", "💾.bin"),
    ],
)
def test_a_name_is_made_harmless(said: str, kept: str) -> None:
    assert safe_name(said) == kept


@pytest.mark.parametrize("letter", ["a", "ä", "語", "💾"])
def test_a_long_name_keeps_its_extension(letter: str) -> None:
    kept = safe_name(letter * 400 + ".mp4")
    assert 250 <= len(kept.encode()) <= 255
    assert kept.endswith(letter + ".mp4")


@given(st.text(max_size=400))
def test_no_name_does_harm(said: str) -> None:
    kept = safe_name(said)
    assert safe_name(kept) == kept
    assert len(kept.encode()) <= 255
    assert not set(kept) & set('/\\"\r\n\x00;%')
    assert not kept.startswith(".")


@given(
    st.text("aJjKiI.\u0130\u01c5\u030c\u0301\u0307\u0323\u0345\u200d\ue000\u0378 _/\u1100\u1161\u11a8", max_size=400)
)
def test_a_safe_name_is_its_own(said: str) -> None:
    """Else its file is kept, and never found at its address."""
    assert safe_name(safe_name(said)) == safe_name(said)


@pytest.mark.parametrize(
    "said", ["e\u200d\u0301.txt", "A\ue000\u030a.txt", "a" * 300 + ".J\u030c", "e\u200d\u200d\u0301\u200d\u0323"]
)
def test_letters_that_come_together_are_composed(said: str) -> None:
    assert safe_name(safe_name(said)) == safe_name(said)


@pytest.mark.parametrize(
    ("said", "media_type", "name"),
    [(None, "image/png", "file.png"), ("..", "audio/mp4", "file.m4a"), ("", "application/octet-stream", "file")],
)
def test_what_has_no_name_gets_one(said: str | None, media_type: str, name: str) -> None:
    assert name_of(said, media_type) == name


@pytest.mark.parametrize(
    ("head", "name", "declared", "media_type"),
    [
        (PNG, "a.txt", "text/plain", "image/png"),
        (PNG, "", "", "image/png"),
        (b"hello", "a.TXT", "image/png", "text/plain"),
        (b"hello", "a", "text/markdown; charset=utf-8", "text/markdown"),
        (b"hello", "a", "x-evil/\r\nset-cookie: 1", "application/octet-stream"),
        (b"hello", "a.unknown", "", "application/octet-stream"),
        (b"<html><script>", "a.png", "", "text/html"),
        (b"<svg onload=x>", "a.svg", "", "image/svg+xml"),
        (MP4, "a.mp4", "", "video/mp4"),
        (MP4, "a.m4a", "", "audio/mp4"),
        (ZIP, "a.zip", "", "application/zip"),
        (ZIP, "a.png", "", "application/zip"),
        (ZIP, "a.docx", "", TYPE_OF_FORMAT["docx"]),
        (b"", "a.pdf", "", "application/pdf"),
    ],
)
def test_the_type_is_told_by_content_then_by_name(head: bytes, name: str, declared: str, media_type: str) -> None:
    assert media_type_of(head, name, declared) == media_type


@pytest.mark.parametrize(
    ("media_type", "shown"),
    [
        ("image/png", True),
        ("video/mp4", True),
        ("audio/mpeg", True),
        ("application/pdf", True),
        ("text/plain", True),
        ("image/svg+xml", False),
        ("text/html", False),
        ("text/javascript", False),
        ("application/xhtml+xml", False),
        ("application/octet-stream", False),
    ],
)
def test_only_what_holds_no_script_is_shown_in_place(media_type: str, shown: bool) -> None:
    assert file(media_type=media_type).is_shown is shown


def test_an_address_ends_in_the_name_and_leads_back() -> None:
    url = "https://gate.example/base" + file("ä b#?.mp4").path
    assert url.endswith(".mp4")
    assert token_of(url, "https://gate.example/base") == TOKEN
    assert files.name_in(url) == "ä b#?.mp4"


@pytest.mark.parametrize(
    ("public_url", "start"),
    [
        ("http://gate.example", "HTTP://Gate.Example"),
        ("http://gate.example", "http://gate.example:80"),
        ("https://gate.example:443/Base", "https://GATE.example/Base"),
        ("http://gate.example:8080", "http://gate.example:08080"),
        ("http://[2001:db8::A]", "http://[2001:DB8::a]:80"),
    ],
)
def test_one_address_has_several_spellings(public_url: str, start: str) -> None:
    assert token_of(f"{start}/files/{TOKEN}/a.png", public_url) == TOKEN


@pytest.mark.parametrize(
    "url",
    [
        f"https://gate.example:80/files/{TOKEN}/a.png",
        f"https://gate.example:x/files/{TOKEN}/a.png",
        f"https://gate.example@evil.example/files/{TOKEN}/a.png",
        f"https://u@gate.example/files/{TOKEN}/a.png",
        f"https://gate.example/base/files/{TOKEN}/a.png",
        f"https://[gate.example/files/{TOKEN}/a.png",
        "https://gate.example/files/",
        "https://gate.example/files/short/a.png",
        f"https://gate.example/files/{TOKEN.upper()}/a.png",
        f"https://gate.example/files/{TOKEN}x/a.png",
        f"https://gate.example.evil/files/{TOKEN}/a.png",
        f"https://evil.example/?https://gate.example/files/{TOKEN}/a.png",
        f"http://gate.example/files/{TOKEN}/a.png",
        f"https://gate.example/v1/files/{TOKEN}/a.png",
    ],
)
def test_what_is_no_address_of_ours_is_not_taken_for_one(url: str) -> None:
    assert token_of(url, "https://gate.example") is None


def test_ids_and_tokens() -> None:
    below = Random(1).randrange
    assert files.file_id(1_776_874_481.9, below).startswith("file-1776874481-")
    assert len(files.file_id(1.0, below)) == len("file-1-") + 6
    tokens = {files.token(below) for _ in range(100)}
    assert len(tokens) == 100
    assert all(files.is_token(token) for token in tokens)
    assert not files.is_token(TOKEN + "\n")


@pytest.mark.parametrize(
    ("name", "token"),
    [
        (f"{TOKEN}.blob", TOKEN),
        (f"{TOKEN}.blob.part", TOKEN),
        (TOKEN, None),
        (f"{TOKEN}.blob/x", None),
        ("d41d8cd98f00b204e9800998ecf8427e", None),
        ("notes.txt", None),
    ],
)
def test_only_blobs_of_ours_are_taken_for_such(name: str, token: str | None) -> None:
    assert files.token_of_blob(name) == token
