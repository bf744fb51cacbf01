"""Golden exchanges of the anthropic dialect.

Sources: Anthropic's reference for the Messages API, whose own SDK's types judge every request that is sent and every
answer that is taken here.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, get_type_hints

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types import message_create_params as params
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from tests.dialects import DialectExchanges, compact, data_of, finished

from reynard.core.assembly import Assembly
from reynard.core.chat import encode
from reynard.core.errors import GenerationError
from reynard.core.generation import Generation
from reynard.providers.anthropic import AnthropicCodec
from reynard.providers.anthropic.options import CARRIED, NEUTRAL, SAMPLING
from reynard.providers.anthropic.stream import MOST_HELD, MOST_OPEN

ASKING: tuple[Any, Any] = (params.MessageCreateParamsNonStreaming, params.MessageCreateParamsStreaming)
JUDGES = [TypeAdapter(kind) for kind in ASKING]
EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
VERTEX = "anthropic_version"
START = b'data: {"type":"message_start","message":{}}\n\n'


UNTAKEN = {
    "an image of another type": {"type": "image_url", "image_url": {"url": "data:image/bmp;base64,Qk0AAAAA"}},
    "a document of another type": {"type": "file_url", "file_url": {"url": "data:application/zip;base64,UEsDBAAA"}},
    "a document of no type": {"type": "file", "file": {"file_data": "AAAA"}},
    "a text that is not UTF-8": {"type": "file_url", "file_url": {"url": "data:text/plain;base64,//79"}},
    "a video": {"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}},
    "audio by address": {"type": "audio_url", "audio_url": {"url": "https://example.org/a.mp3"}},
    "audio": {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "index"]), inner),
    max_leaves=6,
)
fields = st.sampled_from(
    [
        *["content", "stop_reason", "usage", "error", "type", "text"],
        *["id", "name", "input", "input_tokens", "index", "delta"],
    ]
)
bodies = st.dictionaries(fields, values | st.lists(st.dictionaries(fields, values, max_size=4), max_size=3), max_size=5)


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


def plain(value: Any) -> Any:
    """What pydantic took, its lazy arrays too, as JSON has it."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return value if isinstance(value, str | int | float | None) else [plain(item) for item in value]


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


class TestAnthropic(DialectExchanges):
    dialect = "anthropic"
    codec = AnthropicCodec()
    path = "/v1/messages"
    mark = b"message_stop"
    headers: ClassVar = {"anthropic-version": "2023-06-01"}
    foreign = frozenset(
        {"unknown_events", "names_alone_tell_the_type", "after_the_end_is_nothing", "stopped_for_a_new_reason"}
    )
    openings = (b'{"content":', b'{"content":[{"type":"tool_use","input":')

    def judge_request(self, sent: dict[str, Any]) -> None:
        """A field that the types do not have would be gone from what they took. `SAMPLING` is in the version of the
        API that is asked for, not in the newer one that the SDK's types are of."""
        judged = {name: value for name, value in sent.items() if name not in (*SAMPLING, VERTEX)}
        if VERTEX in sent:
            judged["model"] = "in the path"
        streams = bool(sent.get("stream"))
        assert set(judged) <= set(get_type_hints(ASKING[streams]))
        assert plain(JUDGES[streams].validate_python(judged)) == judged

    def judge_answer(self, body: dict[str, Any]) -> None:
        Message.model_validate(body)

    def judge_event(self, data: dict[str, Any]) -> None:
        if data["type"] != "ping":  # documented, and in no type of the SDK
            EVENT.validate_python(data)

    def test_a_stream_is_whole_with_its_last_byte_and_not_before(self, documented_stream: str) -> None:
        raw = self.stream(documented_stream)
        chunks, error = self.decoded([raw[: raw.rindex(b"}")]])
        assert error is not None
        assert not finished(chunks)

    def test_a_whole_stream_has_its_chunks_in_order(self, whole: str) -> None:
        """Each of the three is there once: see the suite."""
        chunks = self.golden("streams")[whole]["chunks"]
        assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert chunks[-2]["choices"][0]["delta"] == {}
        assert chunks[-2]["choices"][0]["finish_reason"] is not None
        assert chunks[-1]["choices"] == []

    def test_turns_alternate_and_begin_with_the_user(self, sent: dict[str, Any]) -> None:
        roles = [turn["role"] for turn in sent["sent"]["messages"]]
        assert roles == [("user", "assistant")[index % 2] for index in range(len(roles))]

    def test_no_parameter_is_dropped_in_silence(self) -> None:
        assert set(Generation.__struct_fields__) == CARRIED | set(NEUTRAL)
        assert CARRIED & set(NEUTRAL) == set(SAMPLING)

    @pytest.mark.parametrize("field", ["max_tokens", "reasoning_budget"])
    def test_a_number_beyond_all_models_is_the_providers_to_refuse(self, field: str) -> None:
        said = {"model": "m", "messages": [{"role": "user", "content": "a"}], "reasoning": True, field: 10**400}
        assert str(10**400).encode() in self.encoded({"asked": said}).body

    def test_what_the_client_wrote_as_arguments_goes_back_as_it_is(self) -> None:
        written = '{ "a": 1.50, "b": 12345678901234567890123 }'
        call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": written}}
        turns = [
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "x"},
        ]
        assert f'"input":{written}'.encode() in self.encoded({"asked": {"model": "m", "messages": turns}}).body

    @pytest.mark.parametrize("arguments", ["[" * 100_000, '{"a":' * 100_000, "{", "nul", '"x"', "NaN", '{"a":1}x'])
    def test_arguments_that_are_no_object_are_wrapped(self, arguments: str) -> None:
        call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": arguments}}
        said = {"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]}
        request = self.encoded({"asked": said})
        assert json.loads(request.body)["messages"][1]["content"][0]["input"] == {"arguments": arguments}

    @given(st.text(max_size=12), st.text(max_size=12))
    def test_an_id_is_one_that_anthropic_takes_and_the_same_for_call_and_result(self, one: str, other: str) -> None:
        calls = [{"id": said, "type": "function", "function": {"name": "f", "arguments": ""}} for said in (one, other)]
        results = [{"role": "tool", "tool_call_id": said, "content": "x"} for said in (one, other)]
        said = {"model": "m", "messages": [{"role": "assistant", "tool_calls": calls}, *results]}
        turns = json.loads(self.encoded({"asked": said}).body)["messages"]
        ids = [block["id"] for block in turns[1]["content"]]
        assert ids == [block["tool_use_id"] for block in turns[2]["content"]]
        assert all(text and all(c.isascii() and (c.isalnum() or c in "_-") for c in text) for text in ids)

    @pytest.mark.parametrize("name", UNTAKEN)
    def test_media_that_anthropic_does_not_take_is_a_failure_of_the_request(self, name: str) -> None:
        said = {"model": "m", "messages": [{"role": "user", "content": [UNTAKEN[name]]}]}
        with pytest.raises(GenerationError) as caught:
            self.encoded({"asked": said})
        assert caught.value.code == "invalid_parameters"

    def test_anthropic_reads_the_addresses_of_images_and_of_pdfs(self) -> None:
        intake = self.codec.intake(self.channel({}))
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
    def test_vertex_reads_no_address(self, traits: dict[str, Any], fetches: set[str]) -> None:
        assert self.codec.intake(self.channel({"channel": traits})).fetches == fetches

    @given(bodies)
    def test_any_fields_are_an_answer_or_a_failure(self, body: dict[str, Any]) -> None:
        with suppress(GenerationError):
            encode(self.codec.decode(compact(body)))

    @given(st.lists(events, max_size=8))
    def test_any_known_events_are_chunks_or_a_failure(self, said: list[dict[str, Any]]) -> None:
        chunks, error = self.decoded([b"data: " + compact(event) + b"\n\n" for event in said])
        for chunk in chunks:
            encode(chunk)
        assert (error is None) == bool(finished(chunks))

    @pytest.mark.parametrize("name", ["text", "tools", "thinking", "usage"])
    def test_a_stream_and_a_whole_answer_say_the_same(self, name: str) -> None:
        """A stream is put together by Anthropic's rules, and given to the decoder as one body."""
        whole = json.loads(encode(self.codec.decode(compact(put_together(data_of(self.stream(name)))))))
        assembly = Assembly()
        for chunk in self.decoded([self.stream(name)])[0]:
            assembly.add(chunk)
        assert json.loads(encode(assembly.completion(id="", created=0, model=""))) == whole

    def test_a_signature_without_end_is_a_failure_of_the_provider(self) -> None:
        block = b'data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking"}}\n\n'
        delta = {"type": "signature_delta", "signature": "a" * 1_000_000}
        piece = b"data: " + compact({"type": "content_block_delta", "index": 0, "delta": delta}) + b"\n\n"
        decoder = self.codec.stream_decoder()
        assert len(list(decoder.feed(START + block))) == 1
        for _ in range(MOST_HELD // 1_000_000):
            assert list(decoder.feed(piece)) == []
        with pytest.raises(GenerationError):
            list(decoder.feed(piece))

    def test_blocks_without_end_are_a_failure_of_the_provider(self) -> None:
        begins = [
            {"type": "content_block_start", "index": at, "content_block": {"type": "text"}} for at in range(MOST_OPEN)
        ]
        pieces = [b"data: " + compact(event) + b"\n\n" for event in begins]
        decoder = self.codec.stream_decoder()
        assert len(list(decoder.feed(START + b"".join(pieces)))) == 1
        with pytest.raises(GenerationError):
            list(decoder.feed(pieces[0].replace(b'"index":0', b'"index":99')))

    def test_a_turn_with_tools_goes_on_just_as_it_came(self) -> None:
        """What a client gets, sent back as it is, is what Anthropic said: thoughts, their order, ids, arguments."""
        said = [
            {"type": "thinking", "thinking": "Hm.", "signature": "sig=="},
            {"type": "redacted_thinking", "data": "xyz=="},
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "toolu_01Ab-_", "name": "f", "input": {"a": ["🦊", 1]}},
            {"type": "tool_use", "id": "toolu_vrtx_02", "name": "g", "input": {}},
        ]
        message = {"type": "message", "role": "assistant", "content": said, "stop_reason": "tool_use", "usage": {}}
        answer = json.loads(encode(self.codec.decode(compact(message))))["choices"][0]["message"]
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "x"} for call in answer["tool_calls"]]
        back = {"model": "m", "messages": [{"role": "user", "content": "q"}, answer, *results], "reasoning": True}
        turns = json.loads(self.encoded({"asked": back}).body)["messages"]
        assert turns[1] == {"role": "assistant", "content": said}
        assert [block["tool_use_id"] for block in turns[2]["content"]] == ["toolu_01Ab-_", "toolu_vrtx_02"]
