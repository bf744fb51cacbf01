"""A multipart form with one file, in any order, cut anywhere."""

from itertools import pairwise, permutations

import pytest

from reynard.core.errors import InvalidMultipart, InvalidParam, ReynardError
from reynard.engine.files import Offered
from reynard.http.multipart import MultipartUpload

TYPE = "multipart/form-data; boundary=----x"
DATA = b"\r\n------\r\n----x--\x00" + bytes(range(256)) + b"\r\n------y\r\n"
FILE = b'content-disposition: form-data; name="file"; filename="a b.png"\r\nContent-Type: image/png\r\n\r\n' + DATA
NAME = b'Content-Disposition: form-data; name="file_name"\r\n\r\n' + "ü.png".encode()
CLEANUP = b'Content-Disposition: form-data; name="auto_cleanup"\r\n\r\nfalse'


def form(*parts: bytes) -> bytes:
    return b"".join(b"------x\r\n" + part + b"\r\n" for part in parts) + b"------x--\r\n"


def field(name: str, value: bytes) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value


def read(*pieces: bytes, content_type: str = TYPE) -> tuple[bytes, Offered]:
    upload = MultipartUpload(content_type)
    found = b"".join([upload.feed(piece) for piece in pieces])
    upload.finish()
    return found, upload.offered()


@pytest.mark.parametrize("parts", list(permutations([FILE, NAME, CLEANUP])))
def test_the_fields_stand_in_any_order(parts: tuple[bytes, ...]) -> None:
    assert read(form(*parts)) == (DATA, Offered(param="file", name="ü.png", type="image/png", cleanup=False))


def test_a_form_is_read_alike_wherever_it_is_cut() -> None:
    body = form(NAME, FILE, CLEANUP)
    whole = read(body)
    for place in range(len(body) + 1):
        assert read(body[:place], body[place:]) == whole, place
    assert read(*[bytes([byte]) for byte in body]) == whole
    assert read(*[body[start:end] for start, end in pairwise([*range(0, len(body), 7), len(body)])]) == whole


def test_a_form_that_ends_early_is_refused_wherever_that_is() -> None:
    body = form(NAME, FILE, CLEANUP)
    for end in range(len(body) - 4):  # the last line end may be missing, and one hyphen is enough to tell
        with pytest.raises(InvalidMultipart):
            read(body[:end])


def test_the_part_names_the_file_where_the_form_does_not() -> None:
    assert read(form(FILE))[1] == Offered(param="file", name="a b.png", type="image/png")
    assert read(form(field("file", b"x"))) == (b"x", Offered(param="file"))
    assert read(form(FILE, field("file_name", b"")))[1].name == "a b.png"


@pytest.mark.parametrize(("said", "meant"), [("true", True), ("1", True), ("False", False), ("0", False)])
def test_a_switch_is_read(said: str, meant: bool) -> None:
    assert read(form(FILE, field("auto_cleanup", said.encode())))[1].cleanup is meant


REFUSED: list[tuple[str, bytes, type[ReynardError], str | None]] = [
    ("no file", form(NAME), InvalidParam, "file"),
    ("nothing", b"", InvalidMultipart, None),
    ("no part", b"------x--\r\n", InvalidParam, "file"),
    ("two files", form(FILE, FILE), InvalidParam, "file"),
    ("two names", form(NAME, FILE, NAME), InvalidParam, "file_name"),
    ("unknown", form(FILE, field("purpose", b"x")), InvalidParam, "purpose"),
    ("a switch that is none", form(FILE, field("auto_cleanup", b"maybe")), InvalidParam, "auto_cleanup"),
    ("a long field", form(FILE, field("file_name", b"x" * 5_000)), InvalidParam, "file_name"),
    ("no name", form(b"Content-Disposition: form-data\r\n\r\nx"), InvalidMultipart, None),
    ("no disposition", form(b"Content-Type: text/plain\r\n\r\nx"), InvalidMultipart, None),
    ("another disposition", form(b'Content-Disposition: attachment; name="file"\r\n\r\nx'), InvalidMultipart, None),
    ("a long header", form(b"X-Flood: " + b"y" * 9_000 + b"\r\n" + FILE), InvalidMultipart, None),
    ("many headers", form(b"X-Flood: y\r\n" * 20 + FILE), InvalidMultipart, None),
    ("another boundary", b"--other\r\n" + FILE, InvalidMultipart, None),
    ("no form at all", b"hello", InvalidMultipart, None),
]


@pytest.mark.parametrize(("name", "body", "kind", "param"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_wrong_is_refused_by_name(name: str, body: bytes, kind: type[ReynardError], param: str | None) -> None:
    for pieces in ([body], [body[i : i + 5] for i in range(0, len(body), 5)]):
        with pytest.raises(kind) as caught:
            read(*pieces)
        assert caught.value.param == param


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/mixed; boundary=x",
        f"multipart/form-data; boundary={'x' * 300}",
    ],
)
def test_what_says_that_it_is_no_form_is_refused(content_type: str) -> None:
    with pytest.raises(InvalidMultipart):
        MultipartUpload(content_type)
