"""Golden exchanges of the gemini dialect: what is asked, what goes over the wire, what is made of the answer.

Sources: Google's reference of generateContent, whose own SDK's types judge every request and answer here; OpenAI's
judge what is made of them.
"""

import copy
import json
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel, ConfigDict

from reynard.core import forms
from reynard.core.assembly import Assembly
from reynard.core.channels import Carried, Channel, Quirks
from reynard.core.chat import Chunk, encode
from reynard.core.errors import TASK_ERROR_CODES, GenerationError, UnsupportedOptions
from reynard.core.generation import Generation
from reynard.core.media import as_said, sources
from reynard.engine.attempt import with_content
from reynard.ports.transport import WireRequest
from reynard.providers.gemini import GeminiCodec
from reynard.providers.gemini.answers import FAILS, FINISH
from reynard.providers.gemini.contents import UNSIGNED

FOLDER = Path(__file__).parent / "gemini"
CODEC = GeminiCodec()


class Body(BaseModel):
    """The body of generateContent, out of the SDK's own types; none of them takes a field that it does not know."""

    model_config = ConfigDict(extra="forbid")

    contents: list[types.Content]
    systemInstruction: types.Content | None = None  # noqa: N815
    tools: list[types.Tool] | None = None
    toolConfig: types.ToolConfig | None = None  # noqa: N815
    generationConfig: types.GenerationConfig | None = None  # noqa: N815
    serviceTier: types.ServiceTier | None = None  # noqa: N815


class ThinkingBody(BaseModel):
    """`generationConfig` has it in the REST reference."""

    model_config = ConfigDict(extra="forbid")

    thinkingConfig: types.ThinkingConfig  # noqa: N815


def golden(name: str) -> Any:
    return json.loads((FOLDER / name).read_text("utf-8"))


def named(cases: Iterable[dict[str, Any]]) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in cases]


def compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


REQUESTS = golden("requests.json")
COMPLETIONS = golden("completions.json")
STREAMS = golden("streams.json")


def channel(case: dict[str, Any]) -> Channel:
    traits = dict(case.get("channel", {}))
    models = (Carried("m", "upstream/m", traits.pop("thinking", "budget")),)
    quirks = Quirks(**traits.pop("quirks", {}))
    return Channel(name="c", dialect="gemini", models=models, quirks=quirks, **traits)


def asked(case: dict[str, Any]) -> Generation:
    return forms.parse(compact(case["asked"])).generation


def encoded(generation: Generation, through: Channel) -> WireRequest:
    """With every source of media as it stands: fetching is the engine's business."""
    return CODEC.encode(generation, through, {source.said: as_said(source) for source in sources(generation)})


@pytest.mark.parametrize("case", named(case for case in REQUESTS if "sent" in case))
def test_a_request_is_sent_in_exactly_these_bytes(case: dict[str, Any]) -> None:
    request = encoded(asked(case), channel(case))
    assert request.body == (case["text"].encode() if "text" in case else compact(case["sent"]))
    assert json.loads(request.body) == case["sent"]
    assert request.path == case.get("path", "/v1beta/models/upstream%2Fm:generateContent")
    assert request.stream == case["asked"].get("stream", False)


@pytest.mark.parametrize("case", named(case for case in REQUESTS if "sent" in case and "undocumented" not in case))
def test_a_request_is_one_that_google_documents(case: dict[str, Any]) -> None:
    judged = Body.model_validate(case["sent"])
    back = judged.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert len(back["contents"]) == len(case["sent"]["contents"])
    assert back.get("generationConfig") == case["sent"].get("generationConfig")


def test_the_judge_can_refuse() -> None:
    for body in ({"contents": [{"role": "user", "parts": [{"txt": "a"}]}]}, {"contents": [], "top_k": 1}):
        with pytest.raises(ValueError, match="Extra inputs"):
            Body.model_validate(body)


@pytest.mark.parametrize("case", named(case for case in REQUESTS if "refused" in case))
def test_what_google_has_no_word_for_is_refused_by_name(case: dict[str, Any]) -> None:
    generation, through = asked(case), channel(case)
    assert CODEC.unsupported(generation, through) == case["refused"]
    with pytest.raises(UnsupportedOptions) as caught:
        encoded(generation, through)
    assert (caught.value.code, caught.value.param) == ("unsupported_advanced_options", case["refused"])


@pytest.mark.parametrize("case", named(case for case in REQUESTS if "error" in case))
def test_what_cannot_be_sent_fails_as_the_callers_fault(case: dict[str, Any]) -> None:
    with pytest.raises(GenerationError) as caught:
        encoded(asked(case), channel(case))
    assert (caught.value.code, caught.value.failover) == (case["error"], False)
    assert case["says"] in caught.value.message


def test_every_field_of_a_generation_is_sent_or_refused_or_named_here() -> None:
    """A field that is new in `Generation` must not fall through in silence."""
    by_the_gateway = {"model", "stream", "stream_options"}
    told = {field for case in REQUESTS if "sent" in case or "refused" in case for field in case["asked"]}
    told |= {"reasoning", "reasoning_budget"}  # see thinking.json
    assert set(Generation.__struct_fields__) - by_the_gateway - told == set()


@pytest.mark.parametrize(("upstream", "way", "said", "sent"), golden("thinking.json"))
def test_how_much_to_think_is_said_as_the_model_has_it(
    upstream: str, way: Any, said: dict[str, Any], sent: dict[str, Any] | None
) -> None:
    generation = asked({"asked": {"model": "m", "messages": [{"role": "user", "content": "a"}], **said}})
    through = Channel(name="c", dialect="gemini", models=(Carried("m", upstream, way),))
    config = json.loads(encoded(generation, through).body).get("generationConfig")
    assert config == (None if sent is None else {"thinkingConfig": sent})
    if config is not None:
        ThinkingBody.model_validate(config)


def test_media_goes_as_bytes_and_youtube_by_its_address() -> None:
    intake = CODEC.intake(channel({}))
    assert (intake.fetches, intake.youtube, intake.blind) == (frozenset(), True, False)
    assert 15_000_000 < intake.inline_bytes < 20_000_000
    assert CODEC.intake(channel({"channel": {"quirks": {"fetches": ("image",)}}})).fetches == {"image"}


def body_of(case: dict[str, Any]) -> bytes:
    return case["text"].encode() if "text" in case else compact(case["body"])


@pytest.mark.parametrize("case", named(case for case in COMPLETIONS if "hostile" not in case))
def test_an_answer_here_is_one_that_google_documents(case: dict[str, Any]) -> None:
    types.GenerateContentResponse.model_validate_json(body_of(case))


@pytest.mark.parametrize("case", named(case for case in COMPLETIONS if "answer" in case))
def test_a_completion_is_put_into_openais_words(case: dict[str, Any]) -> None:
    completion = CODEC.decode(body_of(case))
    assert (completion.id, completion.created, completion.model) == ("", 0, "")
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
    assert case.get("says", "") in caught.value.message
    assert "html" not in caught.value.message


def finished(reason: str) -> bytes:
    part = {"content": {"parts": [{"text": "a"}]}, "finishReason": reason}
    return compact({"candidates": [part]})


@pytest.mark.parametrize("reason", [reason.value for reason in types.FinishReason])
def test_every_finish_reason_of_google_has_its_end(reason: str) -> None:
    if reason in FAILS:
        with pytest.raises(GenerationError) as caught:
            CODEC.decode(finished(reason))
        assert caught.value.code == FAILS[reason]
        return
    ends = {"STOP": "stop", "MAX_TOKENS": "length", "CONTINUATION": "length", "NO_IMAGE": "stop"}
    ends["FINISH_REASON_UNSPECIFIED"] = "stop"
    assert CODEC.decode(finished(reason)).choices[0].finish_reason == ends.get(reason, "content_filter")


@pytest.mark.parametrize("reason", [reason.value for reason in types.BlockedReason])
def test_every_reason_to_block_a_request_is_a_matter_of_policy(reason: str) -> None:
    with pytest.raises(GenerationError) as caught:
        CODEC.decode(compact({"promptFeedback": {"blockReason": reason}}))
    assert (caught.value.code, caught.value.failover) == ("content_policy_violation", False)


def test_the_tables_know_only_reasons_that_google_has() -> None:
    assert {*FINISH, *FAILS} <= {reason.value for reason in types.FinishReason}
    assert not set(FINISH) & set(FAILS)


def test_a_reason_that_is_new_is_not_taken_for_a_good_end() -> None:
    assert CODEC.decode(finished("BORED")).choices[0].finish_reason == "content_filter"


@pytest.mark.parametrize("key", ["args", "x"])
def test_an_answer_that_nests_too_deeply_is_a_failure_of_the_provider(key: str) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    call = b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","%s":%s}}]}}]}' % (key.encode(), deep)
    with pytest.raises(GenerationError) as caught:
        CODEC.decode(call)
    assert caught.value.failover


def test_arguments_that_are_not_utf8_are_a_failure_of_the_provider() -> None:
    with pytest.raises(GenerationError):
        CODEC.decode(b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":"\xff"}}}]}}]}')


ANSWERS = [json.loads(body_of(case)) for case in COMPLETIONS if "answer" in case]
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["1e999", "-Infinity"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@st.composite
def spoilt(draw: st.DrawFn) -> Any:
    """A golden answer, with one value of it exchanged."""
    answer = copy.deepcopy(draw(st.sampled_from(ANSWERS)))
    at: Any = answer
    while True:
        keys = sorted(at) if isinstance(at, dict) else range(len(at))
        key = draw(st.sampled_from(keys)) if keys else None
        if key is None:
            return answer
        if not isinstance(at[key], dict | list) or not at[key] or draw(st.booleans()):
            at[key] = draw(junk)
            return answer
        at = at[key]


@given(spoilt())
@settings(max_examples=400)
def test_any_json_is_an_answer_or_a_failure(value: Any) -> None:
    raw = json.dumps(value).encode()
    try:
        encode(CODEC.decode(raw))
    except GenerationError as error:
        assert error.code in TASK_ERROR_CODES  # noqa: PT017
    chunks, _ = decoded([b"data: " + raw + b"\n\n"])
    for chunk in chunks:
        encode(chunk)


def unsigned_call(response_id: str | None, count: int) -> bytes:
    parts = [{"functionCall": {"name": "f", "args": {}}} for _ in range(count)]
    body: dict[str, Any] = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}] * 1}
    body["usageMetadata"] = {"promptTokenCount": count}
    return compact(body if response_id is None else {**body, "responseId": response_id})


def ids_of(body: bytes) -> list[str]:
    return [call.id for call in CODEC.decode(body).choices[0].message.tool_calls or ()]


def test_calls_of_a_conversation_never_share_an_id() -> None:
    bodies = [unsigned_call(name, count) for name in ("r1", "r2", None) for count in (1, 2, 3)]
    ids = [call_id for body in (bodies[2], bodies[5], *bodies[6:]) for call_id in ids_of(body)]
    assert len(set(ids)) == len(ids)
    assert all(call_id.startswith("call_") and len(call_id) == 29 for call_id in ids)
    assert ids_of(bodies[2]) == ids_of(bodies[2])


def test_calls_of_two_candidates_never_share_an_id() -> None:
    one = {"content": {"parts": [{"functionCall": {"name": "f"}}]}, "finishReason": "STOP"}
    answer = CODEC.decode(compact({"candidates": [one, {**one, "index": 1}], "responseId": "r"}))
    ids = [call.id for choice in answer.choices for call in choice.message.tool_calls or ()]
    assert len(set(ids)) == 2


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
    """As `streams.json` has it, with the ids that the gateway made by their order."""
    chunks, error = decoded(pieces)
    made: list[str] = []
    for chunk in chunks:
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or ():
                if (call.id or "").startswith("call_"):
                    assert call.id not in made
                    made.append(call.id or "")
                    call.id = f"call_{len(made) - 1}"
    kept = [json.loads(encode(chunk)) for chunk in chunks]
    told = [{field: chunk[field] for field in ("choices", "usage") if field in chunk} for chunk in kept]
    return {"error": None if error is None else error.code, "chunks": told}


def stream(name: str) -> bytes:
    return (FOLDER / "streams" / f"{name}.sse").read_bytes()


WHOLE = [name for name in STREAMS if STREAMS[name]["error"] is None]
BROKEN = [name for name in STREAMS if STREAMS[name]["error"] is not None]


def test_every_stream_has_its_expectation() -> None:
    assert {file.stem for file in (FOLDER / "streams").iterdir()} == set(STREAMS)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_put_into_openais_words(name: str) -> None:
    assert shown([stream(name)]) == STREAMS[name]


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_cut_at_any_byte_has_the_same_chunks(name: str) -> None:
    raw = stream(name)
    for cut in range(len(raw) + 1):
        assert shown([raw[:cut], raw[cut:]]) == STREAMS[name]
    assert shown([raw[at : at + 1] for at in range(len(raw))]) == STREAMS[name]


@pytest.mark.parametrize("name", WHOLE)
def test_every_piece_is_one_that_google_documents(name: str) -> None:
    for line in stream(name).splitlines():
        if line.startswith(b"data: {"):
            types.GenerateContentResponse.model_validate_json(line[6:])


@pytest.mark.parametrize("name", STREAMS)
def test_every_chunk_is_one_that_openai_documents(name: str) -> None:
    chunks, _ = decoded([stream(name)])
    for chunk in chunks:
        assert (chunk.id, chunk.created, chunk.model) == ("", 0, "")
        chunk.id, chunk.created, chunk.model = "chatcmpl-1", 1, "m"
        ChatCompletionChunk.model_validate_json(encode(chunk))


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_stream_begins_and_ends_each_choice_exactly_once(name: str) -> None:
    choices = [choice for chunk in STREAMS[name]["chunks"] for choice in chunk["choices"]]
    indexes = sorted({choice["index"] for choice in choices})
    assert sorted(c["index"] for c in choices if c["finish_reason"] is not None) == indexes
    assert sorted(c["index"] for c in choices if "role" in c["delta"]) == indexes


@pytest.mark.parametrize("name", [name for name in BROKEN if name != "blocked"])
def test_a_broken_stream_may_go_to_another_channel(name: str) -> None:
    _, error = decoded([stream(name)])
    assert error is not None
    assert error.failover


def test_a_wait_in_a_stream_is_kept() -> None:
    _, error = decoded([stream("error_at_once")])
    assert error is not None
    assert error.retry_after_s == 7


@pytest.mark.parametrize("name", ["text", "tool_calls", "thoughts_and_signature", "two_candidates"])
def test_a_stream_cut_short_anywhere_is_never_taken_for_a_whole_one(name: str) -> None:
    raw = stream(name)
    for end in range(raw.rindex(b'"finishReason": "')):
        assert decoded([raw[:end]])[1] is not None


def test_an_event_too_large_is_a_failure_of_the_provider() -> None:
    _, error = decoded([b"data: ", *[b"a" * 1_000_000] * 6])
    assert error is not None
    assert (error.code, error.failover) == ("upstream_error", True)


def test_a_turn_with_tools_comes_back_as_google_said_it() -> None:
    """Stream → message → next request: the parts, the ids and the signatures are Google's own."""
    assembly = Assembly()
    for chunk in decoded([stream("tool_calls")])[0]:
        assembly.add(chunk)
    message = json.loads(encode(assembly.completion(id="x", created=1, model="m")))["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "1"} for call in message["tool_calls"]]
    said = {"model": "m", "messages": [{"role": "user", "content": "a"}, message, *results]}
    body = json.loads(encoded(asked({"asked": said}), channel({"channel": {"thinking": "level"}})).body)
    assert body["contents"][1] == {
        "role": "model",
        "parts": [
            {"text": "ok"},
            {"functionCall": {"id": "fc-1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "U0lHMQ=="},
            {"functionCall": {"id": "fc-2", "name": "g", "args": {}}},
        ],
    }
    assert [part["functionResponse"]["name"] for part in body["contents"][2]["parts"]] == ["f", "g"]
    Body.model_validate(body)


def test_thoughts_come_back_as_their_signature_alone() -> None:
    message = json.loads(encode(CODEC.decode(compact(COMPLETIONS[1]["body"]))))["choices"][0]["message"]
    said = {"model": "m", "messages": [{"role": "user", "content": "a"}, message, {"role": "user", "content": "b"}]}
    body = json.loads(encoded(asked({"asked": said}), channel({})).body)
    assert body["contents"][1]["parts"] == [{"text": "42", "thoughtSignature": "U0lHMA=="}]


def test_the_word_for_no_signature_is_one_that_the_field_can_hold() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        part = types.Part.model_validate({"functionCall": {"name": "f"}, "thoughtSignature": UNSIGNED})
    assert part.thought_signature
