import json
from typing import Any

import msgspec
import pytest

from reynard.core import simulation
from reynard.core.assembly import Assembly, says_nothing
from reynard.core.chat import Answer, Choice, Chunk, Completion, encode
from reynard.core.generation import Generation
from reynard.core.simulation import Simulation

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"properties": {"at": {}}}}}


def assembled(*pieces: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The choices of chunks with one choice each, as JSON has them."""
    assembly = Assembly()
    for piece in pieces:
        choice = {"index": 0, "finish_reason": None, **piece}
        body = {"id": "c", "created": 1, "model": "m", "choices": [choice], **fields}
        assembly.add(msgspec.convert(body, Chunk))
    found: dict[str, Any] = json.loads(encode(assembly.completion(id="c", created=1, model="m")))
    return found


def message(*deltas: dict[str, Any]) -> dict[str, Any]:
    (choice,) = assembled(*[{"delta": delta} for delta in deltas])["choices"]
    found: dict[str, Any] = choice["message"]
    return found


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"reasoning": True},
        {"max_tokens": 3},
        {"tools": [WEATHER]},
        {"tools": [WEATHER], "reasoning": True},
        {"max_tokens": 1, "reasoning_effort": "high"},
    ],
)
def test_the_chunks_of_an_answer_amount_to_the_answer(fields: dict[str, Any]) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], **fields}
    played = simulation.script(msgspec.convert(body, Generation), Simulation(), 0.9)
    assembly = Assembly()
    for chunk in simulation.chunks(played, model="m"):
        assembly.add(chunk)
    whole = simulation.completion(played, model="m")
    assert encode(assembly.completion(id=whole.id, created=whole.created, model="m")) == encode(whole)


def test_text_is_joined_in_order() -> None:
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": ""},
        {"content": "a"},
        {"content": None},
        {"content": "b"},
        {},
    ]
    assert message(*deltas) == {"role": "assistant", "content": "ab"}


def test_reasoning_never_enters_the_content() -> None:
    found = message({"reasoning_content": "r"}, {"content": "a"}, {"reasoning_content": "s"})
    assert found == {"role": "assistant", "content": "a", "reasoning_content": "rs"}


def test_a_refusal_is_joined() -> None:
    assert message({"refusal": "I "}, {"refusal": "won't."})["refusal"] == "I won't."


def call(index: int, **fields: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **fields}]}


def test_tool_calls_are_joined_by_index_however_they_mingle() -> None:
    found = message(
        call(1, id="b", type="function", function={"name": "g", "arguments": "{"}),
        call(0, id="a", type="function", function={"name": "f"}),
        call(1, function={"arguments": '"x"'}),
        call(0, function={"arguments": "{}"}),
        call(1, function={"arguments": ":1}"}),
    )
    assert found == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": '{"x":1}'}},
        ],
    }


def test_a_name_said_again_is_not_doubled() -> None:
    found = message(call(0, id="a", function={"name": "f", "arguments": ""}), call(0, id="a", function={"name": "f"}))
    assert found["tool_calls"] == [{"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]


def test_a_free_form_call_is_joined() -> None:
    found = message(call(0, id="a", type="custom", custom={"name": "c", "input": "x"}), call(0, custom={"input": "y"}))
    assert found["tool_calls"] == [{"id": "a", "type": "custom", "custom": {"name": "c", "input": "xy"}}]


def test_a_function_call_of_the_old_kind_is_joined() -> None:
    found = message({"function_call": {"name": "f", "arguments": "{"}}, {"function_call": {"arguments": "}"}})
    assert found["function_call"] == {"name": "f", "arguments": "{}"}


def test_audio_is_joined_but_its_id_is_not() -> None:
    found = message({"audio": {"id": "1", "data": "AA"}}, {"audio": {"id": "1", "data": "BB", "expires_at": 5}})
    assert found["audio"] == {"id": "1", "data": "AABB", "expires_at": 5}


@pytest.mark.parametrize("field", ["annotations", "images"])
def test_lists_grow(field: str) -> None:
    assert message({field: [{"a": 1}]}, {field: [{"a": 2}]})[field] == [{"a": 1}, {"a": 2}]


def test_logprobs_are_joined_kind_by_kind() -> None:
    found = assembled(
        {"delta": {"content": "a"}, "logprobs": {"content": [{"token": "a"}], "refusal": None}},
        {"delta": {"content": "b"}, "logprobs": {"content": [{"token": "b"}]}},
        {"delta": {"refusal": "c"}, "logprobs": {"refusal": [{"token": "c"}]}, "finish_reason": "stop"},
    )
    (choice,) = found["choices"]
    assert choice["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}], "refusal": [{"token": "c"}]}


def test_choices_are_told_apart_and_in_order() -> None:
    found = assembled(
        {"index": 1, "delta": {"content": "b"}, "finish_reason": None},
        {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"},
        {"index": 1, "delta": {"content": "c"}, "finish_reason": "length"},
    )
    assert [(c["index"], c["message"]["content"], c["finish_reason"]) for c in found["choices"]] == [
        (0, "a", "stop"),
        (1, "bc", "length"),
    ]


def test_a_choice_that_did_not_end_was_cut() -> None:
    assert assembled({"delta": {"content": "a"}})["choices"][0]["finish_reason"] == "length"


def test_the_last_usage_fingerprint_and_tier_count() -> None:
    assembly = Assembly()
    for count in (1, 2):
        usage = {"prompt_tokens": 1, "completion_tokens": count, "total_tokens": 1 + count}
        body = {"id": "c", "created": 1, "model": "m", "choices": [], "usage": usage, "system_fingerprint": f"f{count}"}
        assembly.add(msgspec.convert({**body, "service_tier": "flex"}, Chunk))
    assembly.add(Chunk(id="c", created=1, model="m", choices=[]))
    whole = assembly.completion(id="x", created=9, model="y")
    assert (whole.id, whole.created, whole.model) == ("x", 9, "y")
    assert (whole.usage and whole.usage.completion_tokens, whole.system_fingerprint, whole.service_tier) == (
        2,
        "f2",
        "flex",
    )


@pytest.mark.parametrize(
    ("fields", "reason", "nothing"),
    [
        ({}, "stop", True),
        ({"content": ""}, "stop", True),
        ({}, "content_filter", True),
        ({}, "length", False),
        ({"content": "a"}, "stop", False),
        ({"reasoning_content": "r"}, "stop", False),
        ({"refusal": "No."}, "stop", False),
        ({"audio": {"id": "1"}}, "stop", False),
        ({"images": [{}]}, "stop", False),
    ],
)
def test_an_answer_says_something_or_nothing(fields: dict[str, Any], reason: str, nothing: bool) -> None:
    answer = Answer(**{"content": None, **fields})
    choices = [Choice(index=0, message=answer, finish_reason=reason)]
    assert says_nothing(Completion(id="c", created=1, model="m", choices=choices)) is nothing
