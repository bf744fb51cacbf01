import json
from typing import Any

import msgspec
import pytest

from reynard.core import simulation
from reynard.core.generation import Generation
from reynard.core.simulation import WORDS, Failure, Script, Simulation, script

SCHEMA = {
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "share": {"type": "number"},
        "dry": {"type": "boolean"},
        "tags": {"type": "array"},
        "more": {"type": "object"},
        "unit": {"type": "string", "enum": ["C", "F"]},
        "odd": {"type": ["string", "null"]},
        "any": True,
    }
}


def tool(name: str, parameters: Any = None) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def asked(text: str = "Hello", **fields: Any) -> Generation:
    return msgspec.convert({"model": "m", "messages": [{"role": "user", "content": text}], **fields}, Generation)


def play(generation: Generation | None = None, draw: float = 0.999, **settings: Any) -> Script:
    return script(generation or asked(), Simulation(**settings), draw)


def test_the_same_request_and_seed_get_the_same_words() -> None:
    assert play(seed=5) == play(seed=5)


@pytest.mark.parametrize(
    "other",
    [play(seed=6), play(asked("Hello!"), seed=5), play(asked(seed=6), seed=5), play(asked(seed=0), seed=5)],
)
def test_another_request_or_seed_gets_other_words(other: Script) -> None:
    assert other.words != play(seed=5).words


@pytest.mark.parametrize("seed", [0, 6, -1, 10**100])
def test_the_seed_of_the_request_outweighs_that_of_the_settings(seed: int) -> None:
    assert play(asked(seed=seed), seed=5).words == play(asked(seed=seed), seed=9).words


def test_words_are_of_the_list() -> None:
    assert {word.strip() for word in play(tokens=2000).words} == set(WORDS)


@pytest.mark.parametrize(
    ("limits", "count", "reason"),
    [
        ({}, 24, "stop"),
        ({"max_tokens": 5}, 5, "length"),
        ({"max_tokens": 24}, 24, "stop"),
        ({"max_tokens": 25}, 24, "stop"),
        ({"max_completion_tokens": 3}, 3, "length"),
    ],
)
def test_the_limit_of_the_request_is_kept(limits: dict[str, Any], count: int, reason: str) -> None:
    played = play(asked(**limits))
    assert (len(played.words), played.finish_reason) == (count, reason)


@pytest.mark.parametrize(
    ("fields", "thinks"),
    [
        ({}, False),
        ({"reasoning": True}, True),
        ({"reasoning": False}, False),
        ({"reasoning_effort": "low"}, True),
        ({"reasoning_effort": "none"}, False),
    ],
)
def test_it_thinks_when_asked_to(fields: dict[str, Any], thinks: bool) -> None:
    assert len(play(asked(**fields)).reasoning) == (12 if thinks else 0)


def test_the_prompt_is_counted_in_four_characters_a_token() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    blocks = msgspec.convert(
        {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "a" * 40}, picture]}]},
        Generation,
    )
    assert [play(generation).prompt_tokens for generation in (asked("a" * 40), asked(""), blocks)] == [10, 1, 266]


def test_a_tool_is_called_with_an_example_of_its_schema() -> None:
    played = play(asked(tools=[tool("weather", SCHEMA)]))
    assert played.tool is not None
    name, arguments = played.tool
    assert (name, played.finish_reason, played.words) == ("weather", "tool_calls", ())
    assert json.loads(arguments) == {
        "city": "value",
        "days": 7,
        "share": 1.5,
        "dry": True,
        "tags": [],
        "more": {},
        "unit": "C",
        "odd": "value",
        "any": "value",
    }


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        (None, "a"),
        ("auto", "a"),
        ("required", "a"),
        ("none", None),
        ({"type": "function", "function": {"name": "b"}}, "b"),
        ({"type": "function", "function": {"name": "nobody"}}, "a"),
    ],
)
def test_the_named_tool_is_called_or_else_the_first(choice: Any, called: str | None) -> None:
    played = play(asked(tools=[tool("a"), tool("b")], tool_choice=choice))
    assert (played.tool and played.tool[0]) == called


def test_after_the_result_of_a_tool_it_speaks() -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "tool", "tool_call_id": "1", "content": "b"}]
    played = play(msgspec.convert({"model": "m", "messages": turns, "tools": [tool("a")]}, Generation))
    assert (played.tool, played.finish_reason) == (None, "stop")


@pytest.mark.parametrize("parameters", [None, {}, {"properties": []}, {"properties": None}, {"type": "object"}])
def test_a_schema_without_properties_is_called_with_none(parameters: Any) -> None:
    played = play(asked(tools=[tool("a", parameters)]))
    assert played.tool == ("a", "{}")


FAULTS = [
    ("rate", "status"),
    ("cut_stream_rate", "cut"),
    ("stall_rate", "stall"),
    ("garbage_rate", "garbage"),
    ("reset_rate", "reset"),
    ("error_event_rate", "error_event"),
    ("no_end_rate", "no_end"),
    ("lie_rate", "lie"),
]


@pytest.mark.parametrize(("rate", "fault"), FAULTS)
def test_a_fault_comes_below_its_rate_and_not_above(rate: str, fault: str) -> None:
    fail = Failure(**{rate: 0.25})  # type: ignore[arg-type]
    assert [play(draw=draw, fail=fail).fault for draw in (0.0, 0.24, 0.25, 0.99)] == [fault, fault, "none", "none"]


def test_faults_lie_side_by_side() -> None:
    fail = Failure(**dict.fromkeys((rate for rate, _ in FAULTS), 0.1))  # type: ignore[arg-type]
    found = [play(draw=index / 10 + 0.01, fail=fail).fault for index in range(9)]
    assert found == [*(fault for _, fault in FAULTS), "none"]


def test_a_fault_that_is_certain_always_comes() -> None:
    assert {play(draw=draw / 100, fail=Failure(rate=1.0)).fault for draw in range(100)} == {"status"}


@pytest.mark.parametrize(
    ("turns", "failing"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"times": 2}, [0, 1]),
        ({"every": 2}, [0, 2, 4]),
        ({"every": 3, "times": 1}, [0]),
        ({"every": 2, "times": 2}, [0, 2]),
    ],
)
def test_faults_have_their_turns(turns: dict[str, Any], failing: list[int]) -> None:
    simulated = Simulation(tokens=7, fail=Failure(rate=1, **turns))
    behaved = [simulation.at_turn(simulated, turn) for turn in range(6)]
    assert [turn for turn, found in enumerate(behaved) if found == simulated] == failing
    assert {found for found in behaved if found != simulated} <= {Simulation(tokens=7)}


def test_usage_is_a_token_a_word() -> None:
    usage = simulation.usage(play(asked("a" * 40, reasoning=True)))
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (10, 36, 46)
    assert usage.completion_tokens_details == {"reasoning_tokens": 12}
