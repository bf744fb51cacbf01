"""Anthropic's Messages API, both ways, judged by Anthropic's own SDK.

`messages/requests.json`: what a client asks, and the Generation it is, or how it is refused.
`messages/answers.json`: a completion, and what of the message it makes. `messages/streams.json`: chunks and the events
they make, behind `message_start` and `ping`.
"""

import json
from typing import Any, get_type_hints

import anthropic.types as sdk
import msgspec
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import message_create_params as params
from pydantic import TypeAdapter
from tests.dialects import golden, named

from reynard.core import forms
from reynard.core.assembly import Assembly
from reynard.core.chat import Chunk, Completion
from reynard.core.errors import GenerationError, ReynardError
from reynard.core.surfaces import messages
from reynard.core.surfaces.messages import EventTranslator
from reynard.core.surfaces.messages.stream import MOST_HELD

ASKING: tuple[Any, Any] = (params.MessageCreateParamsNonStreaming, params.MessageCreateParamsStreaming)
JUDGES = [TypeAdapter(kind) for kind in ASKING]
EVENTS: TypeAdapter[Any] = TypeAdapter(sdk.RawMessageStreamEvent)
BLOCK: TypeAdapter[Any] = TypeAdapter(sdk.ContentBlockParam)
NO_LONGER = {"temperature", "top_p", "top_k"}  # the API has them, the SDK does not any more
BETA = {"context_management", "mcp_servers"}


REQUESTS = golden("messages/requests.json")
ANSWERS = golden("messages/answers.json")
STREAMS = golden("messages/streams.json")
TAKEN = [case for case in REQUESTS if "generation" in case]


def parsed(case: dict[str, Any]) -> Any:
    return messages.parse(json.dumps(case["asked"]).encode())


@pytest.mark.parametrize("case", named(TAKEN))
def test_a_request_is_exactly_this_generation(case: dict[str, Any]) -> None:
    assert json.loads(msgspec.json.encode(parsed(case).generation)) == case["generation"]


@pytest.mark.parametrize("case", named(TAKEN))
def test_a_generation_is_one_that_a_chat_could_have_asked(case: dict[str, Any]) -> None:
    generation = parsed(case).generation
    again = forms.parse_chat(msgspec.json.encode(generation)).generation
    assert msgspec.to_builtins(again) == msgspec.to_builtins(generation)


@pytest.mark.parametrize("case", named(TAKEN))
def test_a_request_is_one_that_anthropic_documents(case: dict[str, Any]) -> None:
    asked = {name: value for name, value in case["asked"].items() if value is not None}
    streams = bool(asked.get("stream"))
    assert set(asked) - NO_LONGER - BETA <= set(get_type_hints(ASKING[streams]))
    judged = JUDGES[streams].validate_python({k: v for k, v in asked.items() if k not in NO_LONGER})
    assert len(list(judged["messages"])) == len(asked["messages"])
    assert len(list(judged.get("tools", ()))) == len(asked.get("tools", ()))
    for turn in asked["messages"]:
        for block in turn["content"] if isinstance(turn["content"], list) else ():
            BLOCK.validate_python(block)


@pytest.mark.parametrize("case", named(case for case in REQUESTS if "refused" in case))
def test_what_cannot_be_carried_is_refused_by_name(case: dict[str, Any]) -> None:
    with pytest.raises(ReynardError) as caught:
        parsed(case)
    assert {"code": caught.value.code, "param": caught.value.param} == case["refused"]
    assert str(case["refused"]["param"]).split("[")[0] in caught.value.message


def completion(case: dict[str, Any]) -> Completion:
    base = {"id": "chatcmpl-llm-1", "object": "chat.completion", "created": 1, "model": "m"}
    return msgspec.convert({**base, **case["completion"]}, Completion)


@pytest.mark.parametrize("case", named(ANSWERS))
def test_a_completion_is_exactly_this_message(case: dict[str, Any]) -> None:
    said = json.loads(messages.message(completion(case)))
    base = {"id": "msg_llm-1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
    assert said == {**base, **case["message"]}


@pytest.mark.parametrize("case", named(ANSWERS))
def test_a_message_is_one_that_anthropic_documents(case: dict[str, Any]) -> None:
    judged = sdk.Message.model_validate_json(messages.message(completion(case)))
    assert all(type(block).__name__ != "dict" for block in judged.content)
    assert judged.model_extra in (None, {})


@pytest.mark.parametrize("case", named(case for case in ANSWERS if case["message"]["content"]))
def test_an_answer_can_be_sent_back(case: dict[str, Any]) -> None:
    """As the SDK dumps it; and calls, thoughts and seals are then what the provider gave."""
    judged = sdk.Message.model_validate_json(messages.message(completion(case)))
    turns = [{"role": "user", "content": "a"}, judged.to_param(), {"role": "user", "content": "b"}]
    body = {"model": "m", "max_tokens": 9, "messages": turns}
    asked = messages.parse(json.dumps(body, default=lambda block: block.model_dump()).encode())
    said: Any = asked.generation.messages[1]
    gave = completion(case).choices[0].message
    given = [call for call in gave.tool_calls or () if call.id]
    for call, back in zip(given, said.tool_calls or (), strict=False):
        assert (call.id, call.function.name if call.function else "") == (back.id, back.function.name)
    seals = [detail for detail in gave.reasoning_details or () if "data" in detail]
    signed = [detail["signature"] for detail in gave.reasoning_details or () if detail.get("signature")]
    details = said.reasoning_details or []
    assert [detail for detail in details if "data" in detail] == seals
    assert [detail["signature"] for detail in details if "signature" in detail] == signed
    assert (said.reasoning_content or "") == (gave.reasoning_content or "")


def chunk(case: dict[str, Any]) -> Chunk:
    """`{"delta", "finish_reason"?, "index"?, "usage"?}` as a chunk."""
    choice = {"index": case.get("index", 0), "finish_reason": case.get("finish_reason"), "delta": case.get("delta")}
    usage = {"usage": case["usage"]} if "usage" in case else {}
    choices = [choice] if "delta" in case else []
    return msgspec.convert({"id": "chatcmpl-llm-1", "created": 1, "model": "m", "choices": choices, **usage}, Chunk)


def events(chunks: list[Chunk]) -> list[dict[str, Any]]:
    """Each with the name of its `event:` line checked."""
    translator = EventTranslator()
    raw = b"".join(translator.feed(one) for one in chunks) + translator.end()
    found = []
    for block in raw.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def streamed(case: dict[str, Any]) -> list[dict[str, Any]]:
    return events([chunk(one) for one in case["chunks"]])


@pytest.mark.parametrize("case", named(STREAMS))
def test_a_stream_is_exactly_these_events(case: dict[str, Any]) -> None:
    start, ping, *rest = streamed(case)
    assert start["message"]["usage"]["input_tokens"] == 0
    assert (start["message"]["id"], start["message"]["stop_reason"]) == ("msg_llm-1", None)
    assert ping == {"type": "ping"}
    assert rest == case["events"]


@pytest.mark.parametrize("case", named(STREAMS))
def test_every_event_is_one_that_anthropic_documents(case: dict[str, Any]) -> None:
    for event in streamed(case):
        if event["type"] != "ping":
            EVENTS.validate_python(event)


@pytest.mark.parametrize("case", named(STREAMS))
def test_blocks_are_numbered_and_never_overlap(case: dict[str, Any]) -> None:
    under_way: int | None = None
    begun = 0
    for event in streamed(case):
        match event["type"]:
            case "content_block_start":
                assert (under_way, event["index"]) == (None, begun)
                under_way, begun = event["index"], begun + 1
            case "content_block_delta":
                assert event["index"] == under_way
            case "content_block_stop":
                assert event["index"] == under_way
                under_way = None
    assert under_way is None


@pytest.mark.parametrize("case", named(STREAMS))
def test_a_stream_amounts_to_what_the_whole_answer_says(case: dict[str, Any]) -> None:
    assembly = Assembly()
    for one in case["chunks"]:
        assembly.add(chunk(one))
    whole = sdk.Message.model_validate_json(
        messages.message(assembly.completion(id="chatcmpl-llm-1", created=1, model="m"))
    )
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in streamed(case):
        if event["type"] != "ping":
            judged = EVENTS.validate_python(event)
            snapshot = accumulate_event(event=judged, current_snapshot=snapshot, json_bufs=buffers)
    assert by_kind(snapshot) == by_kind(whole)
    assert (snapshot.stop_reason, snapshot.usage) == (whole.stop_reason, whole.usage)


def by_kind(message: Any) -> dict[str, Any]:
    """What a message holds, whatever the order among the kinds of its blocks."""
    blocks = [block.model_dump(exclude_none=True) for block in message.content]
    kinds: dict[str, Any] = {
        kind: [block for block in blocks if block["type"] == kind]
        for kind in ("thinking", "redacted_thinking", "tool_use")
    }
    return {**kinds, "text": "".join(block["text"] for block in blocks if block["type"] == "text")}


def piece(index: int, **function: str) -> Chunk:
    return chunk({"delta": {"tool_calls": [{"index": index, "id": f"call_{index}", "function": function}]}})


def test_arguments_of_an_eager_tool_come_as_they_are_written() -> None:
    translator = EventTranslator(frozenset({"a"}))
    assert b'"partial_json":"{"' in translator.feed(piece(0, name="a", arguments="{"))
    assert translator.feed(piece(1, name="b", arguments="{}")) == b""
    assert b'"partial_json":"oh"' in translator.feed(piece(0, arguments="oh"))
    assert translator.feed(piece(0, arguments="")) == b""
    assert b"invalid_arguments" not in translator.end()


def test_what_waits_for_a_call_is_bounded() -> None:
    translator = EventTranslator()
    translator.feed(piece(0, name="a", arguments="{}"))
    long = piece(1, name="b", arguments="x" * (MOST_HELD // 2))
    translator.feed(long)
    with pytest.raises(GenerationError) as caught:
        translator.feed(long)
    assert caught.value.code == "upstream_error"
