"""Rules of the Messages API that are no golden exchange: ids, seals, hints, paths, counts, and any input at all."""

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reynard.core.chat import Chunk
from reynard.core.errors import InvalidParam, ReynardError, UnsupportedOptions
from reynard.core.forms import MOST_NESTED
from reynard.core.generation import MAX_JSON_DEPTH
from reynard.core.media_tokens import MediaTokens
from reynard.core.surfaces import messages
from reynard.core.surfaces.messages import EventTranslator
from reynard.core.surfaces.messages.calls import INVALID, arguments_of, exchanged, input_of
from reynard.core.surfaces.messages.request import HINTS, MOST_BLOCKS, NAMES
from reynard.core.surfaces.messages.thoughts import MARK, detail_of, packed, redacted
from reynard.core.surfaces.messages.wire import RedactedThinking
from reynard.core.tokens import FRAME, of_prompt

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
SOURCES = st.sampled_from(
    [
        {"type": "base64", "media_type": "image/png", "data": "AAAA"},
        {"type": "url", "url": "https://example.org/a"},
        {"type": "file", "file_id": "f"},
        {"type": "text", "media_type": "text/plain", "data": "a"},
        {"type": "content", "content": [{"type": "text", "text": "a"}]},
    ]
)
BLOCKS = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": st.text() | JSON}),
    st.fixed_dictionaries({"type": st.sampled_from(["image", "document"]), "source": SOURCES | JSON}),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": st.text(), "signature": st.text()}),
    st.fixed_dictionaries(
        {"type": st.just("redacted_thinking"), "data": st.text() | st.binary().map(lambda b: MARK + b.hex())}
    ),
    st.fixed_dictionaries({"type": st.just("tool_use"), "id": st.text(), "name": st.text(), "input": JSON}),
    st.fixed_dictionaries({"type": st.just("tool_result"), "tool_use_id": st.text(min_size=1), "content": JSON}),
    JSON,
)
BODIES = st.fixed_dictionaries(
    {
        "model": st.just("m") | JSON,
        "max_tokens": st.just(9) | JSON,
        "messages": st.lists(
            st.fixed_dictionaries(
                {"role": st.sampled_from(["user", "assistant", "system"]), "content": st.text() | st.lists(BLOCKS)}
            ),
            min_size=1,
            max_size=3,
        )
        | JSON,
    },
    optional={
        "system": JSON,
        "tools": st.lists(
            st.fixed_dictionaries({"name": st.just("a"), "input_schema": JSON}, optional={"type": JSON}), max_size=2
        )
        | JSON,
        "tool_choice": st.sampled_from([{"type": "auto"}, {"type": "tool", "name": "a"}]) | JSON,
        "thinking": st.sampled_from([{"type": "adaptive"}, {"type": "enabled", "budget_tokens": 2000}]) | JSON,
        "context_management": JSON,
        "container": JSON,
        "mcp_servers": JSON,
        "cache_control": JSON,
        "metadata": JSON,
        "output_config": JSON,
    },
)


@settings(max_examples=250, deadline=None)
@given(BODIES)
def test_whatever_is_sent_is_parsed_or_refused(body: Any) -> None:
    sent = json.dumps(body).encode()
    for parse in (messages.parse, messages.parse_count):
        with suppress(ReynardError):
            assert of_prompt(parse(sent).generation, MediaTokens()) > 0


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_bytes_that_are_no_request_are_refused(body: bytes) -> None:
    with pytest.raises(ReynardError):
        messages.parse(body)


def asked(*content: Any, **fields: Any) -> bytes:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": list(content) or "a"}], **fields}
    return json.dumps(body).encode()


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize("field", ["cache_control", "tools", "messages", "output_config"])
def test_depth_is_bounded(field: str) -> None:
    deep = nested(MAX_JSON_DEPTH + 1)
    bodies = {
        "cache_control": asked(cache_control=deep),
        "tools": asked(tools=[{"name": "a", "input_schema": deep}]),
        "messages": asked({"type": "text", "text": "a", "cache_control": deep}),
        "output_config": asked(output_config={"format": {"type": "json_schema", "schema": deep}}),
    }
    with pytest.raises(InvalidParam) as caught:
        messages.parse(bodies[field])
    assert caught.value.param == field


def test_a_count_of_values_is_bounded() -> None:
    body = asked(system=[{"type": "text", "text": "[" * (MOST_NESTED + 1) + " " * 600_000}])
    with pytest.raises(InvalidParam, match="too many values"):
        messages.parse(body)


def test_a_count_of_blocks_is_bounded() -> None:
    inner = [{"type": "text", "text": "x"}]
    result = {"type": "tool_result", "tool_use_id": "a", "content": inner}
    passage = {"type": "search_result", "source": "s", "title": "t", "content": inner}
    document = {"type": "document", "source": {"type": "content", "content": inner}}
    each = [result, passage, document]
    most = (MOST_BLOCKS - 1) // (2 * len(each))
    messages.parse(asked(*each * most))
    with pytest.raises(InvalidParam, match="too many turns and content blocks") as caught:
        messages.parse(asked(*each * (most + 1)))
    assert caught.value.param == "messages"


@settings(deadline=None)
@given(st.text())
def test_an_id_that_went_and_came_is_the_same(call_id: str) -> None:
    assert exchanged(exchanged(call_id)) == call_id


@settings(deadline=None)
@given(st.dictionaries(st.text(), st.integers() | st.text()))
def test_arguments_that_went_and_came_say_the_same(said: dict[str, Any]) -> None:
    assert json.loads(arguments_of(input_of(json.dumps(said)))) == said


@pytest.mark.parametrize("arguments", ['{"a', "[1]", "1", "no", "{}" * 2, "[" * 5000, json.dumps(nested(80))])
def test_arguments_that_are_no_object_come_back_as_they_were_written(arguments: str) -> None:
    assert input_of(arguments) == {INVALID: arguments}
    assert arguments_of(input_of(arguments)) == arguments


@settings(deadline=None)
@given(st.dictionaries(st.text(), st.text() | st.integers(), min_size=1))
def test_a_seal_that_went_and_came_is_the_same(detail: dict[str, Any]) -> None:
    assert detail_of(RedactedThinking(data=packed(detail)), "p") == detail


def test_a_seal_of_anthropics_that_looks_like_ours_is_still_theirs() -> None:
    detail = {"type": "reasoning.encrypted", "data": MARK + "x", "format": "anthropic-claude-v1"}
    assert detail_of(RedactedThinking(data=redacted(detail)), "p") == detail


def test_a_deep_seal_is_refused() -> None:
    with pytest.raises(InvalidParam):
        detail_of(RedactedThinking(data=packed(nested(MAX_JSON_DEPTH + 1))), "p")


TEXT = st.none() | st.text(max_size=3)
DETAIL = st.fixed_dictionaries(
    {"type": st.sampled_from(["reasoning.text", "reasoning.encrypted"])},
    optional={
        "format": st.sampled_from(["anthropic-claude-v1", "google-gemini-v1", 3]),
        "text": JSON,
        "signature": JSON | st.text(),
        "data": JSON | st.text(),
    },
)
CALL = st.fixed_dictionaries(
    {"index": st.integers(0, 2)},
    optional={"id": TEXT, "function": st.fixed_dictionaries({}, optional={"name": TEXT, "arguments": TEXT})},
)
DELTA = st.fixed_dictionaries(
    {},
    optional={
        "content": TEXT,
        "refusal": TEXT,
        "reasoning_content": TEXT,
        "reasoning_details": st.lists(DETAIL, max_size=2),
        "tool_calls": st.lists(CALL, max_size=2),
        "images": st.lists(st.dictionaries(st.just("image_url"), JSON), max_size=1),
    },
)


@settings(max_examples=250, deadline=None)
@given(st.lists(DELTA, max_size=6))
def test_whatever_a_provider_streams_its_blocks_never_overlap(deltas: list[Any]) -> None:
    translator = EventTranslator()
    raw = b""
    for delta in deltas:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        one = msgspec.convert({"id": "c", "created": 1, "model": "m", "choices": [choice]}, Chunk)
        raw += translator.feed(one)
    under_way = None
    for block in (raw + translator.end()).decode().strip().split("\n\n"):
        event = json.loads(block.split("data: ", 1)[1])
        if event["type"].startswith("content_block"):
            begins, ends = (event["type"].endswith(end) for end in ("start", "stop"))
            assert under_way == (None if begins else event["index"])
            under_way = None if ends else event["index"]
    assert under_way is None


def test_only_hints_are_left_out() -> None:
    body = asked(
        thinking={"type": "enabled", "budget_tokens": 2000},
        output_config={"effort": "low"},
        metadata={"user_id": "u"},
        service_tier="standard_only",
        top_k=3,
    )
    generation = messages.parse(body).generation
    assert all(getattr(generation, hint) is not None for hint in HINTS)
    assert messages.lighter(generation, "top_k") is None
    assert messages.lighter(generation, None) is None
    for hint in sorted(HINTS):
        lighter = messages.lighter(generation, hint)
        assert lighter is not None
        assert getattr(lighter, hint) is None
        generation = lighter
    assert generation.top_k == 3


def test_an_error_speaks_of_the_clients_own_body() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [image]}
    places = messages.parse(asked(image, result, {"type": "text", "text": "a"}, image, system="s")).places
    told = {
        "messages[1].content[0].image_url.url": "messages[0].content[1].content[0].source",
        "messages[2].content[0].image_url.url": "messages[0].content[0].source",
        "messages[2].content[2].image_url.url": "messages[0].content[3].source",
        "messages[9].content[0].image_url.url": "messages[9].content[0].image_url.url",
        **NAMES,
    }
    for ours, theirs in told.items():
        error = messages.reworded(UnsupportedOptions(f"`{ours}` is wrong.", param=ours), places)
        assert (error.message, error.param) == (f"`{theirs}` is wrong.", theirs)


def counted(body: bytes) -> int:
    return of_prompt(messages.parse_count(body).generation, MediaTokens())


def test_an_estimate_follows_its_rule() -> None:
    assert counted(asked({"type": "text", "text": "a" * 30})) == FRAME + 10
    assert counted(asked({"type": "text", "text": "é" * 41})) == FRAME + 28
    image = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
    document = {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x" * 99},
    }
    assert counted(asked(image, document)) == FRAME + 1_600 + 3_000
    plain = counted(asked())
    assert counted(asked(system="s" * 300)) == plain + FRAME + 100
    tool = {"name": "t" * 30, "description": "d" * 30, "input_schema": {"a": "b" * 22}}
    assert counted(asked(tools=[tool])) == plain + FRAME + 10 + 10 + 10
    turn = {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "n" * 40, "input": {}}]}
    body = {"model": "m", "messages": [{"role": "user", "content": "a" * 4}, turn]}
    assert counted(json.dumps(body).encode()) == 2 * FRAME + -(-46 // 3)
