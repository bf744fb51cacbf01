"""Bodies of the Responses API that nobody sane would send, and the seal on what a provider wants back."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reynard.core.errors import InvalidParam, MalformedBody, ReynardError, UnsupportedOptions
from reynard.core.surfaces.responses import request as requests
from reynard.core.surfaces.responses import sealing
from reynard.core.surfaces.responses.answer import task_of
from reynard.core.surfaces.responses.items import Place

WORDS = [
    "model", "input", "tools", "tool_choice", "text", "format", "reasoning", "include", "type", "role", "content",
    "name", "message", "function_call", "function_call_output", "custom_tool_call", "item_reference", "user",
    "assistant", "input_text", "output_text", "input_image", "input_file", "input_audio", "function", "custom",
    "allowed_tools", "json_schema", "schema", "summary", "encrypted_content", "call_id", "arguments", "output",
    "image_url", "file_data", "detail", "auto", "m", "parameters", "grammar", "stream", "background", "metadata",
]  # fmt: skip
WORD = st.sampled_from(WORDS)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORD | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORD, inner, max_size=6),
    max_leaves=24,
)
PART = st.fixed_dictionaries(
    {"type": WORD},
    optional=dict.fromkeys(("text", "image_url", "file_id", "file_data", "input_audio", "refusal", "detail"), VALUES),
)
ITEM = st.fixed_dictionaries(
    {},
    optional={
        "type": WORD,
        "role": WORD,
        "content": st.text(max_size=4) | st.lists(PART | VALUES, max_size=3),
        "output": st.text(max_size=4) | st.lists(PART, max_size=3),
        **dict.fromkeys(("call_id", "name", "arguments", "input", "summary", "encrypted_content"), VALUES),
    },
)
BODY = st.fixed_dictionaries(
    {"model": st.just("m"), "input": st.text(max_size=4) | st.lists(ITEM | VALUES, max_size=4)},
    optional={name: VALUES for name in requests.ResponseForm.__struct_fields__ if name not in ("model", "input")},
)


def parsed(body: bytes) -> requests.Asked | None:
    try:
        return requests.parse(body)
    except ReynardError:
        return None


@settings(max_examples=100, deadline=None)
@given(BODY)
def test_whatever_is_sent_is_parsed_or_refused(body: dict[str, Any]) -> None:
    parsed(json.dumps(body).encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_body_is_refused(body: bytes) -> None:
    assert parsed(body) is None


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda raw: sealing.MARK + raw.hex()))
def test_a_broken_seal_is_no_defect(text: str) -> None:
    with suppress(ReynardError):
        sealing.opened(text, "p")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=4), max_size=4))
def test_a_seal_gives_back_what_went_in(details: list[dict[str, Any]]) -> None:
    assert sealing.opened(sealing.sealed(details), "p") == details


def nested(opening: str, closing: str, depth: int = 5_000) -> str:
    return opening * depth + closing * depth


MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "half": b'{"model": "m", "input": "Hi"',
    "not UTF-8": b'{"model": "m", "input": "\xff"}',
    "a lone surrogate": b'{"model": "m", "input": "\\ud800"}',
    "a lone surrogate in an item": b'{"model": "m", "input": [{"role": "user", "content": "\\ud800"}]}',
    "NaN": b'{"model": "m", "input": "Hi", "temperature": NaN}',
    "an endless nest": f'{{"model": "m", "input": {nested("[", "]")}}}'.encode(),
    "an endless nest in a tool": (
        f'{{"model": "m", "input": "Hi", "tools": [{{"type": "function", "name": "f", "parameters": '
        f"{nested(chr(123) + chr(34) + 'a' + chr(34) + ':', '}')[:-5000]}1{'}' * 5000}}}]}}"
    ).encode(),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        requests.parse(body)


def test_a_body_of_too_many_values_is_not_read() -> None:
    body = b'{"model":"m","input":[' + b"{}," * 500_001 + b"{}]}"
    with pytest.raises(InvalidParam, match="too many values"):
        requests.parse(body)


def test_a_seal_that_nests_too_deep_is_refused() -> None:
    deep: Any = {}
    for _ in range(100):
        deep = {"a": deep}
    item: dict[str, Any] = {"type": "reasoning", "summary": [], "encrypted_content": sealing.sealed([deep])}
    body = {"model": "m", "input": [item, {"role": "user", "content": "u"}]}
    with pytest.raises(InvalidParam, match="nests deeper"):
        requests.parse(json.dumps(body).encode())


def test_an_error_has_the_words_of_this_api() -> None:
    cases = {
        "max_tokens": "max_output_tokens",
        "messages[3].content[1].image_url.url": "input",
        "reasoning_effort": "reasoning.effort",
        "verbosity": "text.verbosity",
        "response_format": "text.format",
        "max_tokens_of_another": "max_tokens_of_another",
        "tools": "tools",
    }
    for chat, own in cases.items():
        error = requests.in_words(UnsupportedOptions(f"The provider has no `{chat}`. Remove it.", param=chat))
        assert (error.message, error.param) == (f"The provider has no `{own}`. Remove it.", own)
    assert requests.in_words(ReynardError("It failed.")).param is None


def test_an_error_tells_where_the_body_has_what_is_wrong() -> None:
    part = {"type": "input_file", "file_id": "file-1"}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    said = [
        {"role": "user", "content": [{"type": "input_text", "text": "a"}, part]},
        {"type": "reasoning", "summary": []},
        call,
        {"type": "function_call_output", "call_id": "c", "output": [part]},
        {"role": "user", "content": "b"},
    ]
    places = requests.parse(json.dumps({"model": "m", "instructions": "i", "input": said}).encode()).places
    told = {
        "messages[0].content": "instructions",
        "messages[1].content[1].file.file_id": "input[0].content[1].file_id",
        "messages[1].content[0].file": "input[0].content[0]",
        "messages[1].content[0].image_url.url": "input[0].content[0].image_url",
        "messages[1].content[0].input_audio.data": "input[0].content[0].input_audio.data",
        "messages[2].tool_calls[0].function.arguments": "input[1]",
        "messages[2].content[0].text": "input[1]",
        "messages[3].content[0].file.file_id": "input[3].output[0].file_id",
        "messages[3].tool_call_id": "input[3]",
        "messages[4].content": "input[4].content",
        "messages[9].content": "input",
        "messages": "input",
    }
    for ours, theirs in told.items():
        error = requests.in_words(InvalidParam(f"`{ours}` is wrong.", param=ours), places)
        assert (error.message, error.param) == (f"`{theirs}` is wrong.", theirs)
    assert requests.parse(b'{"model":"m","input":"Hi"}').places == (Place("input"),)


def test_an_id_is_a_tasks() -> None:
    assert task_of("resp_task-llm-1-abcdefgh") == "task-llm-1-abcdefgh"
    assert task_of("task-llm-1-abcdefgh") is None
