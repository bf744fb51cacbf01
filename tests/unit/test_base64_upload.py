"""A file in base64 inside of JSON, whatever the pieces are that it comes in."""

import base64
import json
import random
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reynard.core.errors import InvalidParam, MalformedBody, ReynardError
from reynard.engine.files import Offered
from reynard.http.base64_upload import LONGEST_REST, Base64Decoder, Base64Upload

DATA = bytes(range(256))
TEXT = base64.b64encode(DATA).decode()


def read(*pieces: bytes) -> tuple[bytes, Offered]:
    upload = Base64Upload()
    found = b"".join([upload.feed(piece) for piece in pieces])
    upload.finish()
    return found, upload.offered()


def cut(body: bytes, *places: int) -> list[bytes]:
    return [body[start:end] for start, end in pairwise([0, *places, len(body)])]


BODIES: list[tuple[bytes, bytes, Offered]] = [
    (json.dumps({"file_data": TEXT}).encode(), DATA, Offered(param="file_data")),
    (
        json.dumps({"file_name": 'ü "x\\.png', "file_data": TEXT, "auto_cleanup": False}).encode(),
        DATA,
        Offered(param="file_data", name='ü "x\\.png', cleanup=False),
    ),
    (
        f' {{ "auto_cleanup" : true ,\r\n\t"file_name": null, "file_data" : "{TEXT}" }} \n'.encode(),
        DATA,
        Offered(param="file_data"),
    ),
    (
        b'{"file_data":"data:image/png;base64,%b","file_name":"a.png"}' % TEXT.encode(),
        DATA,
        Offered(param="file_data", type="image/png", name="a.png"),
    ),
    (
        b'{"file_data":"DATA:text/plain;charset=utf-8;base64,aGk="}',
        b"hi",
        Offered(param="file_data", type="text/plain"),
    ),
    (b'{"file\\u005fdata":"%b"}' % TEXT.replace("/", "\\/").encode(), DATA, Offered(param="file_data")),
    (
        b'{"file_data":"\\u0061\\u0047\\u006B\\u003d","file_name":"file_data"}',
        b"hi",
        Offered(param="file_data", name="file_data"),
    ),
    ('{"file_name":"语\\u8bed💾","file_data":"aGk="}'.encode(), b"hi", Offered(param="file_data", name="语语💾")),
    (b'{"file_data":""}', b"", Offered(param="file_data")),
]


@pytest.mark.parametrize(("body", "data", "offered"), BODIES)
def test_a_body_is_read_alike_wherever_it_is_cut(body: bytes, data: bytes, offered: Offered) -> None:
    assert read(body) == (data, offered)
    for place in range(len(body) + 1):
        assert read(*cut(body, place)) == (data, offered), place
    assert read(*[bytes([byte]) for byte in body]) == (data, offered)


@given(st.binary(max_size=600), st.randoms(use_true_random=False), st.booleans())
def test_any_bytes_come_back(data: bytes, chance: random.Random, uri: bool) -> None:
    text = base64.b64encode(data).decode()
    body = json.dumps({"file_data": f"data:a/b;base64,{text}" if uri else text}).encode()
    places = sorted(chance.choices(range(len(body) + 1), k=4))
    assert read(*cut(body, *places))[0] == data


REFUSED: list[tuple[str, bytes, type[ReynardError], str | None]] = [
    ("no base64", b'{"file_data":"a!bc"}', InvalidParam, "file_data"),
    ("cut in a group", b'{"file_data":"aGk"}', InvalidParam, "file_data"),
    ("padding inside", b'{"file_data":"aGk=aGk="}', InvalidParam, "file_data"),
    ("padding after a whole group", b'{"file_data":"aGkhaGkh===="}', InvalidParam, "file_data"),
    ("too much padding", b'{"file_data":"a==="}', InvalidParam, "file_data"),
    ("padding first", b'{"file_data":"=aGk"}', InvalidParam, "file_data"),
    ("url alphabet", b'{"file_data":"-_-_"}', InvalidParam, "file_data"),
    ("line ends", b'{"file_data":"aGkh\\naGkh"}', InvalidParam, "file_data"),
    ("a raw control character", b'{"file_data":"aGkh\naGkh"}', InvalidParam, "file_data"),
    ("not ASCII", '{"file_data":"ääää"}'.encode(), InvalidParam, "file_data"),
    ("an escape inside of the text", b'{"file_data":"\\\\/\\\\/\\\\/\\\\/"}', InvalidParam, "file_data"),
    ("a quote inside of the text", b'{"file_data":"aGkh\\"\\"\\"\\""}', InvalidParam, "file_data"),
    ("a lone surrogate", b'{"file_data":"\\ud800"}', InvalidParam, "file_data"),
    ("a broken escape", b'{"file_data":"\\x61"}', InvalidParam, "file_data"),
    ("a data URI with no end", b'{"file_data":"data:' + b"x" * 300 + b'"}', InvalidParam, "file_data"),
    ("a data URI with no comma", b'{"file_data":"data:image/png"}', InvalidParam, "file_data"),
    ("a data URI that is not base64", b'{"file_data":"data:text/plain,hi"}', InvalidParam, "file_data"),
    ("a number", b'{"file_data":1}', InvalidParam, "file_data"),
    ("null", b'{"file_data":null}', InvalidParam, "file_data"),
    ("an object", b'{"file_data":{"file_data":"aGk="}}', InvalidParam, "file_data"),
    ("missing", b'{"file_name":"a"}', InvalidParam, "file_data"),
    ("nothing in it", b"{}", InvalidParam, "file_data"),
    ("unknown", b'{"file_data":"aGk=","purpose":"x"}', InvalidParam, "purpose"),
    ("twice", b'{"file_data":"aGk=","file_data":"aGk="}', InvalidParam, "file_data"),
    ("a name twice", b'{"file_name":"a","file_data":"aGk=","file_name":"b"}', InvalidParam, "file_name"),
    ("a name that is no string", b'{"file_data":"aGk=","file_name":1}', InvalidParam, "file_name"),
    ("a switch that is none", b'{"file_data":"aGk=","auto_cleanup":"yes"}', InvalidParam, "auto_cleanup"),
    ("a long name", b'{"file_data":"aGk=","file_name":"' + b"x" * 5_000 + b'"}', InvalidParam, "file_name"),
    ("long beside it", b'{"file_name":"' + b"x" * LONGEST_REST + b'"', InvalidParam, None),
    ("an array", b'["file_data","aGk="]', InvalidParam, None),
    ("cut short", b'{"file_data":"aGk="', MalformedBody, None),
    ("cut in the data", b'{"file_data":"aGkh', MalformedBody, None),
    ("cut in an escape", b'{"file_data":"aGk\\u00', MalformedBody, None),
    ("more behind", b'{"file_data":"aGk="} {}', MalformedBody, None),
    ("two values", b'{"file_data":"aGk=" "file_name":"a"}', MalformedBody, None),
    ("empty", b"", MalformedBody, None),
    ("no JSON", b"hello", MalformedBody, None),
    ("deep", b'{"file_data":' + b"[" * 60_000, MalformedBody, None),
]


@pytest.mark.parametrize(("name", "body", "kind", "param"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_wrong_is_refused_by_name(name: str, body: bytes, kind: type[ReynardError], param: str | None) -> None:
    for pieces in ([body], cut(body, len(body) // 2), [body[i : i + 3] for i in range(0, len(body), 3)]):
        with pytest.raises(kind) as caught:
            read(*pieces)
        assert type(caught.value) is kind
        assert caught.value.param == param


@pytest.mark.parametrize("text", [b"\\/\\/\\/\\/", b"\\u0041AAAAAAAAA", b'aGk"', b"aGkh\n\n\n\n", b"    ", b"QUJD===="])
def test_a_text_that_has_been_read_once_is_not_read_twice(text: bytes) -> None:
    with pytest.raises(InvalidParam):
        Base64Decoder().feed(text)


@pytest.mark.parametrize(
    ("escape", "number", "byte"), [(b"\\/", 800_000, b"\xff"), (b"\\u0041", 200_000, b"\0")], ids=["slash", "unicode"]
)
def test_escapes_take_time_that_grows_with_their_number_alone(escape: bytes, number: int, byte: bytes) -> None:
    """All in one piece; where each is looked for from the start, that is many seconds."""
    began = time.process_time()
    assert read(b'{"file_data":"' + escape * number + b'"}')[0] == byte * (number * 3 // 4)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("place", range(1, 40))
def test_an_escape_that_is_broken_is_refused_wherever_it_is_cut(place: int) -> None:
    for body in (
        b'{"file_data":"aGkhaGkh\\u00zz"}  ',
        b'{"file_data":"aGkhaGkh\\u00"}    ',
        '{"file_data":"\\/\\/é\\/"}'.encode(),
    ):
        with pytest.raises(InvalidParam):
            read(*cut(body, min(place, len(body))))
