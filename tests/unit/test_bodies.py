"""Bodies that are no JSON, and properties that hold for every body there is."""

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reynard.core import forms
from reynard.core.errors import InvalidParam, MalformedBody, RequestError
from reynard.core.forms import Submission
from reynard.core.generation import Generation
from reynard.core.messages import Message

SOUND = b'{"model": "m", "prompt": "a"}'


def malformed(body: bytes) -> MalformedBody:
    with pytest.raises(MalformedBody) as caught:
        forms.parse(body)
    msgspec.json.encode([caught.value.message, caught.value.param])
    return caught.value


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"model": "m", "prompt": "a", "temperature": NaN}', "temperature"),
        (b'{"model": "m", "prompt": "a", "temperature": -Infinity}', "temperature"),
        (b'{"model": "m", "messages": [{"role": "user", "content": NaN}]}', "messages[0].content"),
        (rb'{"model": "m", "prompt": "\ud800"}', "prompt"),
        (rb'{"model": "m", "image_urls": ["a", "\udfff"], "prompt": "a"}', "image_urls[1]"),
        (b'{"model": "m", "prompt": "\xed\xa0\x80"}', "prompt"),
        (rb'{"model": "m", "prompt": "a", "metadata": {"\ud800": 1}}', "metadata"),
    ],
)
def test_what_json_does_not_have_is_found_and_named(body: bytes, param: str) -> None:
    error = malformed(body)
    assert error.param == param
    assert f"`{param}`" in error.message


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "empty"),
        (b" \r\n\t", "empty"),
        (b'{"model": "m", "prompt": "\xff"}', "UTF-8"),
        (b'{"model": "m", "prompt": "a"', "truncated"),
        (b'{"model": "m", "prompt": "a"} x', "trailing"),
        (b'{"model": 5, "prompt": "a"} x', "trailing"),
        (b'["a"] x', "trailing"),
        (b'{"model": "m", "prompt": "a",}', "byte"),
        (b"{'model': 'm'}", "byte"),
        (b"model=m&prompt=a", "byte"),
        (b"\xef\xbb\xbf" + SOUND, "byte 0"),
        (SOUND.decode().encode("utf-16"), "byte 0"),
        (rb'{"model": "m", "prompt": "a", "\ud800": NaN}', "surrogate"),
        (b"[" * 10_000_000, "nests too deeply"),
        (b'{"model": "m", "messages": ' + b"[" * 10_000_000, "nests too deeply"),
        (b'{"model": "m", "prompt": "a", "x": ' + b'{"a":' * 2_000_000, "nests too deeply"),
    ],
    ids=range(16),
)
def test_what_is_no_json_is_said_to_be_none(body: bytes, word: str) -> None:
    assert word in malformed(body).message


def test_a_broken_body_of_ten_megabytes_is_refused_at_once() -> None:
    body = b'{"model": "m", "prompt": "' + b"a" * 10_000_000 + b'", "temperature": NaN}'
    begun = time.process_time()
    malformed(body)
    assert time.process_time() - begun < 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
known_fields = st.sampled_from([*forms.CustomForm.__struct_fields__, "prompt", *forms.SIGN_OF, "system_prompt"])
near_misses = st.fixed_dictionaries({"model": st.just("m")}).flatmap(
    lambda base: st.dictionaries(known_fields, json_values, max_size=5).map(lambda more: {**base, **more})
)


def check_parses_or_is_refused(body: bytes) -> None:
    try:
        assert isinstance(forms.parse(body), Submission)
    except RequestError as error:
        msgspec.json.encode([error.message, error.param])


@given(st.binary())
def test_any_bytes_parse_or_are_refused(body: bytes) -> None:
    check_parses_or_is_refused(body)


@given(st.binary(max_size=8), st.integers(0, len(SOUND)), st.integers(0, len(SOUND)))
def test_any_damage_to_a_sound_body_parses_or_is_refused(piece: bytes, begin: int, end: int) -> None:
    check_parses_or_is_refused(SOUND[:begin] + piece + SOUND[end:])


@given(json_values | near_misses, st.booleans())
def test_any_json_value_parses_or_is_refused(value: object, ascii_only: bool) -> None:
    check_parses_or_is_refused(json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))


texts = st.text(max_size=20)
json_objects = st.dictionaries(texts, st.none() | st.booleans() | st.integers(-(2**63), 2**63) | texts, max_size=3)
links = st.text(min_size=1, max_size=20).map(lambda url: {"url": url})
blocks = st.one_of(
    texts.map(lambda text: {"type": "text", "text": text}),
    st.builds(lambda kind, link: {"type": kind, kind: link}, st.sampled_from(["image_url", "video_url"]), links),
)
contents = texts | st.lists(blocks, min_size=1, max_size=3)
calls = st.builds(lambda i, a: {"type": "function", "id": i, "function": {"name": "f", "arguments": a}}, texts, texts)
turns = st.one_of(
    texts.map(lambda text: {"role": "system", "content": text}),
    contents.map(lambda content: {"role": "user", "content": content}),
    st.lists(calls, max_size=2).map(lambda asked: {"role": "assistant", "content": None, "tool_calls": asked}),
    st.builds(lambda c, i: {"role": "tool", "content": c, "tool_call_id": i}, contents, texts),
)
functions = json_objects.map(lambda schema: {"type": "function", "function": {"name": "f", "parameters": schema}})
generations = st.fixed_dictionaries(
    {"model": st.text(min_size=1, max_size=20), "messages": st.lists(turns, min_size=1, max_size=4)},
    optional={
        "stream": st.booleans(),
        "max_tokens": st.integers(1, 2**63),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1) | st.none(),
        "stop": texts | st.lists(texts, max_size=16),
        "seed": st.integers(-(2**80), 2**80),
        "logit_bias": st.dictionaries(texts, st.floats(-100, 100), max_size=3),
        "reasoning": st.booleans() | st.none(),
        "tools": st.lists(functions, max_size=2),
        "tool_choice": texts | json_objects,
        "response_format": st.just({"type": "json_object"}),
        "metadata": st.dictionaries(texts, texts, max_size=3),
    },
)


@given(generations)
@settings(max_examples=200)
def test_a_generation_survives_its_encoding(body: dict[str, Any]) -> None:
    generation = msgspec.convert(body, Generation)
    encoded = msgspec.json.encode(generation)
    assert msgspec.json.decode(encoded, type=Generation) == generation
    assert msgspec.json.encode(msgspec.json.decode(encoded, type=Generation)) == encoded


@given(generations)
def test_what_the_custom_form_takes_is_the_generation_it_says(body: dict[str, Any]) -> None:
    submission = forms.parse(json.dumps(body).encode())
    for field, value in body.items():
        kept = getattr(submission.generation, field)
        if field == "messages":
            assert kept == msgspec.convert(value, tuple[Message, ...])
        elif field != "tools":
            assert json.loads(msgspec.json.encode(kept)) == value


@pytest.mark.parametrize("value", ["0", "{}"])
def test_millions_of_small_values_are_refused_before_they_are_read(value: str) -> None:
    body = f'{{"model": "m", "prompt": "x", "extra": [{",".join([value] * 2_100_000)}]}}'.encode()
    with pytest.raises(InvalidParam, match="too many values"):
        forms.parse(body)


def test_a_long_text_with_many_commas_is_taken() -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "a, b " * 1_500_000}]}).encode()
    assert forms.parse(body).form == "custom"
