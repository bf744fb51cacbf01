"""Golden exchanges of the anthropic dialect: what is asked, what goes over the wire, what is made of the answer.

Sources: Anthropic's reference for the Messages API, whose own SDK's types judge every request that is sent and every
answer that is taken here; OpenAI's types judge what is made of them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types import message_create_params as params
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from reynard.core import forms
from reynard.core.assembly import Assembly
from reynard.core.channels import Carried, Channel, Quirks
from reynard.core.chat import Chunk, encode
from reynard.core.errors import GenerationError, UnsupportedOptions
from reynard.core.generation import Generation
from reynard.core.media import as_said, sources
from reynard.engine.attempt import with_content
from reynard.ports.transport import WireRequest
from reynard.providers.anthropic import AnthropicCodec
from reynard.providers.anthropic.options import CARRIED, NEUTRAL, SAMPLING
from reynard.providers.anthropic.stream import MOST_HELD, MOST_OPEN

FOLDER = Path(__file__).parent / "anthropic"
CODEC = AnthropicCodec()
EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
VERTEX = "anthropic_version"


def golden(name: str) -> Any:
    return json.loads((FOLDER / name).read_text("utf-8"))


def named(cases: Iterable[dict[str, Any]]) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in cases]


def compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


REQUESTS = golden("requests.json")
COMPLETIONS = golden("completions.json")
STREAMS = golden("streams.json")
WHOLE = [name for name in STREAMS if STREAMS[name]["error"] is None]
BROKEN = [name for name in STREAMS if STREAMS[name]["error"] is not None]
FOREIGN = {"unknown_events", "names_alone_tell_the_type", "after_the_end_is_nothing", "stopped_for_a_new_reason"}
"""Streams that end well and are not all Anthropic's."""


def channel(case: dict[str, Any]) -> Channel:
    model = case.get("model", {})
    carried = Carried("m", "upstream/m", model.get("thinking", "budget"), tuple(model.get("unsupported", ())))
    traits = dict(case.get("channel", {}))
    quirks = traits.pop("quirks", {})
    known = {**quirks, "unsupported": tuple(quirks.get("unsupported", ()))}
    return Channel(name="c", dialect="anthropic", models=(carried,), quirks=Quirks(**known), **traits)


def asked(case: dict[str, Any]) -> Generation:
    return forms.parse(compact(case["asked"])).generation


def encoded(generation: Generation, through: Channel) -> WireRequest:
    """With every source of media as it stands: fetching is the engine's business."""
    return CODEC.encode(generation, through, {source.said: as_said(source) for source in sources(generation)})


@pytest.mark.parametrize("case", named(case for case in REQUESTS if "sent" in case))
def test_a_request_is_sent_in_exactly_these_bytes(case: dict[str, Any]) -> None:
    request = encoded(asked(case), channel(case))
    assert request.body.decode() == compact(case["sent"]).decode()
    assert (request.path, request.stream) == (case.get("path", "/v1/messages"), case["sent"].get("stream", False))
    assert request.headers == case.get("headers", {"anthropic-version": "2023-06-01"})


def plain(value: Any) -> Any:
    """What pydantic took, its lazy arrays too, as JSON has it."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return value if isinstance(value, str | int | float | None) else [plain(item) for item in value]


@pytest.mark.parametrize("case", named(case for case in REQUESTS if "sent" in case))
def test_a_request_is_one_that_anthropic_documents(case: dict[str, Any]) -> None:
    """A field that the types do not have would be gone from what they took. `SAMPLING` is in the version of the API
    that is asked for, not in the newer one that the SDK's types are of."""
    sent = {name: value for name, value in case["sent"].items() if name not in (*SAMPLING, VERTEX)}
    if VERTEX in case["sent"]:
        sent["model"] = "in the path"
    kind: Any = params.MessageCreateParamsStreaming if sent.get("stream") else params.MessageCreateParamsNonStreaming
    assert set(sent) <= set(get_type_hints(kind))
    assert plain(TypeAdapter(kind).validate_python(sent)) == sent


@pytest.mark.parametrize("case", named(case for case in REQUESTS if "sent" in case))
def test_turns_alternate_and_begin_with_the_user(case: dict[str, Any]) -> None:
    roles = [turn["role"] for turn in case["sent"]["messages"]]
    assert roles == [("user", "assistant")[index % 2] for index in range(len(roles))]


@pytest.mark.parametrize("case", named(case for case in REQUESTS if "refused" in case))
def test_what_anthropic_has_no_word_for_is_refused_by_name(case: dict[str, Any]) -> None:
    generation, through = asked(case), channel(case)
    assert CODEC.unsupported(generation, through) == case["refused"]
    with pytest.raises(UnsupportedOptions) as caught:
        encoded(generation, through)
    assert (caught.value.code, caught.value.param) == ("unsupported_advanced_options", case["refused"])


def test_no_parameter_is_dropped_in_silence() -> None:
    assert set(Generation.__struct_fields__) == CARRIED | set(NEUTRAL)
    assert CARRIED & set(NEUTRAL) == set(SAMPLING)


@pytest.mark.parametrize("field", ["max_tokens", "reasoning_budget"])
def test_a_number_beyond_all_models_is_the_providers_to_refuse(field: str) -> None:
    said = {"model": "m", "messages": [{"role": "user", "content": "a"}], "reasoning": True, field: 10**400}
    assert str(10**400).encode() in encoded(asked({"asked": said}), channel({})).body


def test_what_the_client_wrote_as_arguments_goes_back_as_it_is() -> None:
    written = '{ "a": 1.50, "b": 12345678901234567890123 }'
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": written}}
    turns = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "call_1", "content": "x"}]
    assert (
        f'"input":{written}'.encode() in encoded(asked({"asked": {"model": "m", "messages": turns}}), channel({})).body
    )


@pytest.mark.parametrize("arguments", ["[" * 100_000, '{"a":' * 100_000, "{", "nul", '"x"', "NaN", '{"a":1}x'])
def test_arguments_that_are_no_object_are_wrapped(arguments: str) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    request = encoded(
        asked({"asked": {"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]}}), channel({})
    )
    assert json.loads(request.body)["messages"][1]["content"][0]["input"] == {"arguments": arguments}


@given(st.text(max_size=12), st.text(max_size=12))
def test_an_id_is_one_that_anthropic_takes_and_the_same_for_call_and_result(one: str, other: str) -> None:
    calls = [{"id": said, "type": "function", "function": {"name": "f", "arguments": ""}} for said in (one, other)]
    results = [{"role": "tool", "tool_call_id": said, "content": "x"} for said in (one, other)]
    said = {"model": "m", "messages": [{"role": "assistant", "tool_calls": calls}, *results]}
    turns = json.loads(encoded(asked({"asked": said}), channel({})).body)["messages"]
    ids = [block["id"] for block in turns[1]["content"]]
    assert ids == [block["tool_use_id"] for block in turns[2]["content"]]
    assert all(text and all(c.isascii() and (c.isalnum() or c in "_-") for c in text) for text in ids)


UNTAKEN = {
    "an image of another type": {"type": "image_url", "image_url": {"url": "data:image/bmp;base64,Qk0AAAAA"}},
    "a document of another type": {"type": "file_url", "file_url": {"url": "data:application/zip;base64,UEsDBAAA"}},
    "a document of no type": {"type": "file", "file": {"file_data": "AAAA"}},
    "a text that is not UTF-8": {"type": "file_url", "file_url": {"url": "data:text/plain;base64,//79"}},
    "a video": {"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}},
    "audio by address": {"type": "audio_url", "audio_url": {"url": "https://example.org/a.mp3"}},
    "audio": {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
}


@pytest.mark.parametrize("name", UNTAKEN)
def test_media_that_anthropic_does_not_take_is_a_failure_of_the_request(name: str) -> None:
    said = {"model": "m", "messages": [{"role": "user", "content": [UNTAKEN[name]]}]}
    with pytest.raises(GenerationError) as caught:
        encoded(asked({"asked": said}), channel({}))
    assert caught.value.code == "invalid_parameters"


def test_anthropic_reads_the_addresses_of_images_and_of_pdfs() -> None:
    intake = CODEC.intake(channel({}))
    assert intake.fetches == {"image", "file"}
    assert intake.formats == {"file": ("pdf",)}
    assert (intake.youtube, intake.blind, intake.inline_bytes) == (False, False, 30_000_000)


@pytest.mark.parametrize(
    ("traits", "fetches"),
    [
        ({"path": "/{model}:{verb}"}, set()),
        ({"path": "/v1/messages"}, {"image", "file"}),
        ({"quirks": {"fetches": ()}}, set()),
        ({"path": "/{model}:{verb}", "quirks": {"fetches": ("image",)}}, {"image"}),
    ],
)
def test_vertex_reads_no_address(traits: dict[str, Any], fetches: set[str]) -> None:
    assert CODEC.intake(channel({"channel": traits})).fetches == fetches


def body_of(case: dict[str, Any]) -> bytes:
    return case["text"].encode() if "text" in case else compact(case["body"])


@pytest.mark.parametrize("case", named(case for case in COMPLETIONS if "answer" in case))
def test_a_completion_is_put_into_openais_words(case: dict[str, Any]) -> None:
    if not case.get("foreign"):
        Message.model_validate(case["body"])
    completion = CODEC.decode(body_of(case))
    completion.id, completion.created, completion.model = "chatcmpl-1", 1, "m"
    answer = json.loads(encode(completion))
    base = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
    assert answer == {**base, **case["answer"]}
    ChatCompletion.model_validate(answer)


@pytest.mark.parametrize("case", named(case for case in COMPLETIONS if "error" in case))
def test_what_is_no_completion_is_a_failure(case: dict[str, Any]) -> None:
    with pytest.raises(GenerationError) as caught:
        with_content(CODEC.decode(body_of(case)))
    assert caught.value.code == case["error"]
    assert "html" not in caught.value.message


DEEP = [b"[" * 200_000, b'{"content":' * 100_000, b'{"content":[{"type":"tool_use","input":' + b'{"a":' * 100_000]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "index"]), inner),
    max_leaves=6,
)
fields = st.sampled_from(
    [
        "content",
        "stop_reason",
        "usage",
        "error",
        "type",
        "text",
        "id",
        "name",
        "input",
        "input_tokens",
        "index",
        "delta",
    ]
)
bodies = st.dictionaries(fields, values | st.lists(st.dictionaries(fields, values, max_size=4), max_size=3), max_size=5)


@pytest.mark.parametrize("body", DEEP)
def test_deep_nesting_is_a_failure_of_the_provider(body: bytes) -> None:
    with pytest.raises(GenerationError):
        CODEC.decode(body)
    assert decoded([b"event: message_start\ndata: " + body + b"\n\n"])[1] is not None


@given(bodies)
def test_any_json_is_an_answer_or_a_failure(body: dict[str, Any]) -> None:
    with suppress(GenerationError):
        encode(CODEC.decode(compact(body)))


kinds = st.sampled_from(["message_start", "content_block_start", "content_block_delta", "content_block_stop"])
ends = st.sampled_from(["message_delta", "message_stop", "error", "ping", "new"])
events = st.fixed_dictionaries(
    {"type": kinds | ends},
    optional={
        "index": st.integers(0, 1) | values,
        "message": st.just({}) | values,
        "content_block": st.sampled_from([{"type": "text"}, {"type": "tool_use", "id": "a", "name": "b"}]) | bodies,
        "delta": st.sampled_from([{"type": "text_delta", "text": "a"}, {"stop_reason": "end_turn"}]) | bodies,
        "usage": values,
        "error": values,
    },
)


@given(st.lists(events, max_size=8))
def test_any_events_are_chunks_or_a_failure(said: list[dict[str, Any]]) -> None:
    chunks, error = decoded([b"data: " + compact(event) + b"\n\n" for event in said])
    for chunk in chunks:
        encode(chunk)
    assert (error is None) == any(choice.finish_reason for chunk in chunks for choice in chunk.choices)


def decoded(pieces: Sequence[bytes]) -> tuple[list[Chunk], GenerationError | None]:
    decoder = CODEC.stream_decoder()
    chunks: list[Chunk] = []
    try:
        for piece in pieces:
            chunks += decoder.feed(piece)
        chunks += decoder.close()
    except GenerationError as error:
        return chunks, error
    return chunks, None


def shown(pieces: Sequence[bytes]) -> dict[str, Any]:
    """As `streams.json` has it."""
    chunks, error = decoded(pieces)
    kept = [json.loads(encode(chunk)) for chunk in chunks]
    told = [{field: chunk[field] for field in ("choices", "usage") if field in chunk} for chunk in kept]
    return {"error": None if error is None else error.code, "chunks": told}


def stream(name: str) -> bytes:
    return (FOLDER / "streams" / f"{name}.sse").read_bytes()


def data_of(raw: bytes) -> list[Any]:
    return [json.loads(line[5:]) for line in raw.decode().splitlines() if line.startswith("data:")]


def test_every_stream_has_its_expectation() -> None:
    assert {file.stem for file in (FOLDER / "streams").iterdir()} == set(STREAMS)
    assert set(WHOLE) >= FOREIGN


@pytest.mark.parametrize("name", sorted(set(WHOLE) - FOREIGN))
def test_a_stream_is_one_that_anthropic_documents(name: str) -> None:
    for data in data_of(stream(name)):
        if data["type"] != "ping":  # documented, and in no type of the SDK
            EVENT.validate_python(data)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_put_into_openais_words(name: str) -> None:
    assert shown([stream(name)]) == STREAMS[name]


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_byte_by_byte_has_the_same_chunks(name: str) -> None:
    raw = stream(name)
    assert shown([raw[at : at + 1] for at in range(len(raw))]) == STREAMS[name]


@pytest.mark.parametrize("name", [name for name in WHOLE if not name.startswith("stopped_")])
def test_a_stream_cut_at_any_byte_has_the_same_chunks(name: str) -> None:
    raw = stream(name)
    for cut in range(len(raw) + 1):
        assert shown([raw[:cut], raw[cut:]]) == STREAMS[name]


@pytest.mark.parametrize("name", STREAMS)
def test_every_chunk_is_one_that_openai_documents(name: str) -> None:
    chunks, _ = decoded([stream(name)])
    for chunk in chunks:
        chunk.id, chunk.created, chunk.model = "chatcmpl-1", 1, "m"
        ChatCompletionChunk.model_validate_json(encode(chunk))


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_stream_begins_and_ends_exactly_once(name: str) -> None:
    chunks = STREAMS[name]["chunks"]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk["choices"][0]["finish_reason"] is not None for chunk in chunks[:-1]].count(True) == 1
    assert chunks[-2]["choices"][0]["delta"] == {}
    assert chunks[-1]["choices"] == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_stream_may_go_to_another_channel_and_never_looks_whole(name: str) -> None:
    _, error = decoded([stream(name)])
    assert error is not None
    assert error.failover
    assert all(choice["finish_reason"] is None for chunk in STREAMS[name]["chunks"] for choice in chunk["choices"])


@pytest.mark.parametrize("name", [name for name in WHOLE if name not in FOREIGN])
def test_a_stream_cut_short_anywhere_is_never_taken_for_a_whole_one(name: str) -> None:
    raw = stream(name)
    for end in range(raw.rindex(b"}")):
        chunks, error = decoded([raw[:end]])
        assert error is not None
        assert all(choice.finish_reason is None for chunk in chunks for choice in chunk.choices)


@pytest.mark.parametrize("name", ["text", "tools", "thinking", "usage"])
def test_a_stream_and_a_whole_answer_say_the_same(name: str) -> None:
    """A stream is put together by Anthropic's rules, and given to the decoder as one body."""
    whole = json.loads(encode(CODEC.decode(compact(put_together(data_of(stream(name)))))))
    assembly = Assembly()
    for chunk in decoded([stream(name)])[0]:
        assembly.add(chunk)
    assert json.loads(encode(assembly.completion(id="", created=0, model=""))) == whole


def put_together(said: list[Any]) -> Any:
    message: Any = None
    partial: dict[int, str] = {}
    for event in said:
        match event:
            case {"type": "message_start"}:
                message = event["message"]
            case {"type": "content_block_start"}:
                message["content"].append(event["content_block"])
            case {"type": "content_block_delta", "index": at, "delta": {"type": "input_json_delta"} as delta}:
                partial[at] = partial.get(at, "") + delta["partial_json"]
            case {"type": "content_block_delta", "index": at, "delta": delta}:
                field = delta["type"].removesuffix("_delta")
                message["content"][at][field] += delta[field]
            case {"type": "message_delta"}:
                message |= event["delta"]
                message["usage"] |= event["usage"]
    for at, text in partial.items():
        message["content"][at]["input"] = json.loads(text)
    return message


def test_an_event_too_large_is_a_failure_of_the_provider() -> None:
    _, error = decoded([b"data: ", *[b"a" * 1_000_000] * 6])
    assert error is not None
    assert (error.code, error.failover) == ("upstream_error", True)


START = b'data: {"type":"message_start","message":{}}\n\n'


def test_a_signature_without_end_is_a_failure_of_the_provider() -> None:
    block = b'data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking"}}\n\n'
    delta = {"type": "signature_delta", "signature": "a" * 1_000_000}
    piece = b"data: " + compact({"type": "content_block_delta", "index": 0, "delta": delta}) + b"\n\n"
    decoder = CODEC.stream_decoder()
    assert len(list(decoder.feed(START + block))) == 1
    for _ in range(MOST_HELD // 1_000_000):
        assert list(decoder.feed(piece)) == []
    with pytest.raises(GenerationError):
        list(decoder.feed(piece))


def test_blocks_without_end_are_a_failure_of_the_provider() -> None:
    begins = [
        {"type": "content_block_start", "index": at, "content_block": {"type": "text"}} for at in range(MOST_OPEN)
    ]
    pieces = [b"data: " + compact(event) + b"\n\n" for event in begins]
    decoder = CODEC.stream_decoder()
    assert len(list(decoder.feed(START + b"".join(pieces)))) == 1
    with pytest.raises(GenerationError):
        list(decoder.feed(pieces[0].replace(b'"index":0', b'"index":99')))


def test_a_turn_with_tools_goes_on_just_as_it_came() -> None:
    """What a client gets, sent back as it is, is what Anthropic said: thoughts, their order, ids, arguments."""
    said = [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig=="},
        {"type": "redacted_thinking", "data": "xyz=="},
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "toolu_01Ab-_", "name": "f", "input": {"a": ["🦊", 1]}},
        {"type": "tool_use", "id": "toolu_vrtx_02", "name": "g", "input": {}},
    ]
    message = {"type": "message", "role": "assistant", "content": said, "stop_reason": "tool_use", "usage": {}}
    answer = json.loads(encode(CODEC.decode(compact(message))))["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "x"} for call in answer["tool_calls"]]
    back = {"model": "m", "messages": [{"role": "user", "content": "q"}, answer, *results], "reasoning": True}
    turns = json.loads(encoded(asked({"asked": back}), channel({})).body)["messages"]
    assert turns[1] == {"role": "assistant", "content": said}
    assert [block["tool_use_id"] for block in turns[2]["content"]] == ["toolu_01Ab-_", "toolu_vrtx_02"]
