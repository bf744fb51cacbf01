"""The custom form: OpenAI's parameters, and every documented block."""

import json
from typing import Any

import msgspec
import pytest

from reynard.core import forms
from reynard.core.errors import InvalidParam
from reynard.core.generation import Generation

PICTURE = "https://example.org/a.png"
HELLO = {"role": "user", "content": "Hello"}


def parse(**fields: Any) -> Generation:
    body = {"model": "m", "messages": [HELLO], **fields}
    return forms.parse(json.dumps(body).encode()).generation


def refused(**fields: Any) -> str | None:
    with pytest.raises(InvalidParam) as caught:
        parse(**fields)
    return caught.value.param


PARAMETERS = [
    ("max_completion_tokens", 1),
    ("top_p", 0),
    ("top_p", 1),
    ("top_k", 0),
    ("n", 1),
    ("n", 128),
    ("stop", "END"),
    ("stop", ["a", "b"]),
    ("seed", -1),
    ("frequency_penalty", -2),
    ("frequency_penalty", 2),
    ("presence_penalty", -2),
    ("presence_penalty", 2),
    ("logit_bias", {"50256": -100}),
    ("logprobs", True),
    ("top_logprobs", 0),
    ("top_logprobs", 20),
    ("reasoning_effort", "xhigh"),
    ("reasoning_budget", 4096),
    ("verbosity", "low"),
    ("response_format", {"type": "text"}),
    ("response_format", {"type": "json_object"}),
    ("response_format", {"type": "json_schema", "json_schema": {"name": "s", "schema": {}, "strict": True}}),
    ("tools", [{"type": "function", "function": {"name": "f"}}]),
    ("tools", [{"type": "custom", "custom": {"name": "c"}}]),
    ("tool_choice", "required"),
    ("tool_choice", {"type": "function", "function": {"name": "f"}}),
    ("parallel_tool_calls", False),
    ("functions", [{"name": "f", "parameters": {}}]),
    ("function_call", {"name": "f"}),
    ("modalities", ["text", "audio"]),
    ("audio", {"voice": "ash", "format": "wav"}),
    ("prediction", {"type": "content", "content": "a"}),
    ("web_search_options", {}),
    ("stream_options", {"include_usage": True}),
    ("user", "u"),
    ("metadata", {"a": "b"}),
    ("store", False),
    ("service_tier", "flex"),
    ("safety_identifier", "s"),
    ("prompt_cache_key", "p"),
    ("prompt_cache_retention", "24h"),
]


@pytest.mark.parametrize(("field", "value"), PARAMETERS)
def test_a_parameter_of_openai_is_kept_as_it_was_said(field: str, value: object) -> None:
    assert (
        json.loads(msgspec.json.encode(getattr(parse(**{"stream": field == "stream_options", field: value}), field)))
        == value
    )


@pytest.mark.parametrize("field", sorted({field for field, _ in PARAMETERS}))
def test_a_parameter_that_is_null_is_not_said(field: str) -> None:
    assert getattr(parse(**{field: None}), field) is None


def test_every_parameter_of_a_generation_is_in_this_table() -> None:
    elsewhere = {"model", "messages", "stream", "max_tokens", "temperature", "reasoning"}
    assert {field for field, _ in PARAMETERS} == set(Generation.__struct_fields__) - elsewhere


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("max_completion_tokens", 0, "max_completion_tokens"),
        ("top_p", 1.01, "top_p"),
        ("top_p", -0.01, "top_p"),
        ("top_k", -1, "top_k"),
        ("n", 0, "n"),
        ("n", 129, "n"),
        ("stop", ["a"] * 17, "stop"),
        ("stop", [1], "stop[0]"),
        ("seed", 1.5, "seed"),
        ("frequency_penalty", 2.01, "frequency_penalty"),
        ("presence_penalty", -2.01, "presence_penalty"),
        ("top_logprobs", 21, "top_logprobs"),
        ("reasoning_effort", "", "reasoning_effort"),
        ("verbosity", "loud", "verbosity"),
        ("response_format", {"type": "xml"}, "response_format.type"),
        ("response_format", {"type": "json_schema"}, "response_format.json_schema"),
        ("tools", [{"type": "function", "function": {"name": "no spaces"}}], "tools[0].function.name"),
        ("tools", [{"type": "function", "function": {"name": "f", "x": 1}}], "tools[0].function.x"),
        ("tools", [{"type": "retrieval"}], "tools[0].type"),
        ("stream_options", {"include_uses": True}, "stream_options.include_uses"),
        ("metadata", {"a": 1}, "metadata[...]"),
        ("messages", [{"role": "wizard", "content": "a"}], "messages[0].role"),
        ("messages", [{"content": "a"}], "messages[0].role"),
        ("messages", [HELLO, {"role": "user"}], "messages[1].content"),
        ("messages", [{**HELLO, "mood": "good"}], "messages[0].mood"),
        ("messages", [{"role": "user", "content": []}], "messages[0].content"),
        ("messages", [{"role": "user", "content": None}], "messages[0].content"),
        ("messages", [{"role": "tool", "content": "a"}], "messages[0].tool_call_id"),
        ("messages", [{"role": "assistant", "content": [{"type": "image_url"}]}], "messages[0].content[0].type"),
    ],
)
def test_a_wrong_value_is_refused_by_its_path(field: str, value: object, param: str) -> None:
    assert refused(**{field: value}) == param


BLOCKS = [
    {"type": "text", "text": "a"},
    {"type": "image_url", "image_url": {"url": PICTURE}},
    {"type": "image_url", "image_url": {"url": PICTURE, "detail": "high"}},
    {"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}},
    {"type": "audio_url", "audio_url": {"url": "https://example.org/a.wav"}},
    {"type": "file_url", "file_url": {"url": "https://example.org/a.pdf"}},
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
    {"type": "file", "file": {"file_id": "file-1"}},
    {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
]


@pytest.mark.parametrize("role", ["user", "tool"])
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: str(block["type"]))
def test_every_documented_block_is_kept_as_it_was_said(block: dict[str, Any], role: str) -> None:
    turn = {"role": role, "content": [block], **({"tool_call_id": "1"} if role == "tool" else {})}
    assert json.loads(msgspec.json.encode(parse(messages=[turn]).messages)) == [turn]


@pytest.mark.parametrize("kind", ["image_url", "video_url", "audio_url", "file_url"])
@pytest.mark.parametrize(
    ("inner", "param"), [({}, "url"), ({"url": ""}, "url"), ({"url": None}, "url"), ({"url": PICTURE, "uri": 1}, "uri")]
)
def test_a_media_block_is_a_type_and_an_address(kind: str, inner: dict[str, Any], param: str) -> None:
    turn = {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": kind, kind: inner}]}
    assert refused(messages=[turn]) == f"messages[0].content[1].{kind}.{param}"


@pytest.mark.parametrize("kind", ["image", "video", "audio", "document", "image_urls", ""])
def test_another_type_of_block_is_refused(kind: str) -> None:
    turn = {"role": "user", "content": [{"type": kind, "url": PICTURE}]}
    assert refused(messages=[turn]) == "messages[0].content[0].type"


TURNS: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
    {"role": "user", "content": "What is the weather?", "name": "ann"},
    {
        "role": "assistant",
        "tool_calls": [
            {"type": "function", "id": "1", "function": {"name": "weather", "arguments": '{"at": "Paris"'}},
            {"type": "custom", "id": "2", "custom": {"name": "note", "input": "a"}},
        ],
    },
    {"role": "tool", "content": "Rain", "tool_call_id": "1"},
    {"role": "assistant", "function_call": {"name": "f", "arguments": ""}},
    {"role": "function", "name": "f", "content": None},
    {"role": "system", "content": "Be brief still."},
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "refusal": "No."},
    {"role": "assistant", "content": "Rain.", "reasoning_content": "It rains.", "annotations": []},
    {"role": "user", "content": "Thanks"},
]


def test_a_long_conversation_is_kept_as_it_was_said() -> None:
    assert json.loads(msgspec.json.encode(parse(messages=TURNS).messages)) == TURNS


def test_an_assistant_turn_that_a_client_dumped_is_taken_back() -> None:
    dumped = {"role": "assistant", "content": "Rain.", "refusal": None, "tool_calls": None, "audio": None}
    assert parse(messages=[HELLO, dumped, HELLO]).messages[1].content == "Rain."


@pytest.mark.parametrize(
    ("said", "limit"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
    ],
)
def test_the_output_limit_has_two_names(said: dict[str, int], limit: int | None) -> None:
    assert parse(**said).output_limit == limit


@pytest.mark.parametrize(
    ("options", "wanted"),
    [(None, False), ({}, False), ({"include_usage": False}, False), ({"include_usage": True}, True)],
)
def test_the_usage_of_a_stream_is_wanted_when_asked_for(options: object, wanted: bool) -> None:
    assert parse(stream=True, stream_options=options).wants_usage is wanted
