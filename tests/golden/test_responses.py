"""Golden exchanges of the Responses API: bodies to Generations, completions and chunks to Response objects and events.

The SDK's own types judge what clients send and what they get; its own accumulator puts every stream together again.
"""

import json
from typing import Any, get_type_hints

import msgspec
import pytest
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.chat import completion_create_params as chat_params
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses import response_create_params as params
from pydantic import TypeAdapter
from tests.dialects import compact, golden, named

from reynard.core.channels import Carried, Channel
from reynard.core.errors import TASK_ERROR_CODES, ReynardError
from reynard.core.media import as_said, sources
from reynard.core.surfaces.responses import answer
from reynard.core.surfaces.responses import request as requests
from reynard.core.surfaces.responses.answer import Frame
from reynard.core.surfaces.responses.stream import Event, Translator
from reynard.providers.openai import OpenAICodec

TASK = "task-llm-1-abcdefgh"
CHAT = TypeAdapter[Any](chat_params.CompletionCreateParamsBase)
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
CHANNEL = Channel(name="c", dialect="openai", models=(Carried("m", "m"),))


REQUESTS = golden("responses/requests.json")
TAKEN = [case for case in REQUESTS if "generation" in case]
ANSWERS = golden("responses/answers.json")
STREAMS = golden("responses/streams.json")


def frame(*, background: bool = False) -> Frame:
    return Frame(task_id=TASK, created=1, model="m", background=background)


# requests


@pytest.mark.parametrize("case", named(TAKEN))
def test_a_request_becomes_this_generation(case: dict[str, Any]) -> None:
    asked = requests.parse(compact(case["asked"]))
    assert json.loads(msgspec.json.encode(asked.generation)) == case["generation"]
    assert asked.background is bool(case["asked"].get("background"))
    assert asked.streams is bool(case["asked"].get("stream"))


@pytest.mark.parametrize("case", named(TAKEN))
def test_a_request_is_one_that_openai_documents(case: dict[str, Any]) -> None:
    said = {field: value for field, value in case["asked"].items() if value is not None}
    assert set(said) - set(case.get("unlisted", ())) <= set(get_type_hints(params.ResponseCreateParamsStreaming))


@pytest.mark.parametrize("case", named(TAKEN))
def test_a_generation_is_a_chat_that_openai_documents(case: dict[str, Any]) -> None:
    generation = requests.parse(compact(case["asked"])).generation
    media = {source.said: as_said(source) for source in sources(generation)}
    sent = json.loads(OpenAICodec().encode(generation, CHANNEL, media).body)
    judged = CHAT.validate_python(sent)
    assert len(list(judged["messages"])) == len(sent["messages"])
    assert len(list(judged.get("tools", ()))) == len(sent.get("tools", ()))


@pytest.mark.parametrize("case", named(case for case in REQUESTS if "generation" not in case))
def test_what_cannot_be_taken_is_refused_by_name(case: dict[str, Any]) -> None:
    with pytest.raises(ReynardError) as caught:
        requests.parse(compact(case["asked"]))
    assert (caught.value.code, caught.value.param) == (case["code"], case["param"])
    assert f"`{case['param']}" in caught.value.message or case["param"].endswith(".type") or "[" in case["param"]
    assert len(caught.value.message) < 400


def test_every_field_of_the_api_is_known() -> None:
    documented = set(get_type_hints(params.ResponseCreateParamsStreaming))
    known = set(requests.ResponseForm.__struct_fields__)
    assert known - documented == {"client_metadata"}  # Codex sends it
    assert documented <= known


@pytest.mark.parametrize("case", named(TAKEN))
def test_what_is_repeated_of_a_request_is_what_the_sdk_reads(case: dict[str, Any]) -> None:
    known = requests.parse(compact(case["asked"])).known
    shown = msgspec.json.encode(
        Frame(task_id=TASK, created=1, model="m", background=False, known=known).show("completed")
    )
    judged = Response.model_validate_json(shown, strict=True)
    assert judged.instructions == case["asked"].get("instructions")
    assert len(judged.tools) == len(case["asked"].get("tools") or ())
    assert judged.temperature == case["asked"].get("temperature")


# answers


@pytest.mark.parametrize("case", named(ANSWERS))
def test_a_completion_becomes_this_response(case: dict[str, Any]) -> None:
    completion = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", **case["completion"]}
    shown = msgspec.json.encode(Translator(frame()).whole(compact(completion)))
    response = json.loads(shown)
    assert {field: response[field] for field in case["response"]} == case["response"]
    assert (response["id"], response["model"], response["created_at"]) == (f"resp_{TASK}", "m", 1)
    Response.model_validate_json(shown, strict=True)


@pytest.mark.parametrize("status", ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"])
def test_every_state_is_one_that_the_sdk_reads(status: Any) -> None:
    shown = frame(background=True).show(status)
    assert Response.model_validate_json(msgspec.json.encode(shown), strict=True).status == status


@pytest.mark.parametrize("code", [code for code in TASK_ERROR_CODES if code != "context_length_exceeded"])
def test_every_failure_is_one_that_the_sdk_reads(code: str) -> None:
    shown = frame().show("failed", error=answer.failure(code, "It failed."))
    judged = Response.model_validate_json(msgspec.json.encode(shown), strict=True)
    assert judged.error is not None
    assert (judged.error.message, judged.error.type) == ("It failed.", code)


@pytest.mark.parametrize("case", named(case for case in ANSWERS if case["name"] != "images"))
def test_an_output_can_be_sent_back(case: dict[str, Any]) -> None:
    """As an agent does it: what was thought, said and called comes back as one message of the chat."""
    back = {"model": "m", "input": [{"role": "user", "content": "u"}, *case["response"]["output"]]}
    turns = json.loads(msgspec.json.encode(requests.parse(compact(back)).generation.messages))
    if not case["response"]["output"]:
        assert len(turns) == 1
        return
    [_, turn] = turns
    message = case["completion"]["choices"][0]["message"]
    for field in ("reasoning_content", "reasoning_details"):
        assert turn.get(field) == message.get(field)
    if message.get("tool_calls"):
        sent = [call for call in turn["tool_calls"] if not call["id"].startswith("fc_")]
        assert sent == [
            {kind: call[kind] for kind in ("type", "id", call["type"])} for call in message["tool_calls"] if call["id"]
        ]


# streams


def chunks_of(case: dict[str, Any]) -> list[bytes]:
    base = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return [compact({**base, **chunk}) for chunk in case["chunks"]]


def translated(chunks: list[bytes], *, background: bool = False) -> list[Event]:
    translator = Translator(frame(background=background))
    found = translator.open()
    for chunk in chunks:
        found += translator.feed(chunk)
    return found + translator.end()


def shown(event: Event) -> dict[str, Any]:
    name, data, *rest = event.line().split(b"\n")
    assert rest == [b"", b""]
    value: dict[str, Any] = json.loads(data.removeprefix(b"data: "))
    assert name == b"event: " + value["type"].encode()
    assert value["sequence_number"] == event.number
    return value


@pytest.mark.parametrize("case", named(STREAMS))
def test_a_stream_becomes_these_events(case: dict[str, Any]) -> None:
    found = [shown(event) for event in translated(chunks_of(case))]
    assert [event["type"].removeprefix("response.") for event in found] == case["events"]
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    last = found[-1]
    assert last["type"] == case.get("last", "response.completed")
    assert last["response"]["output"] == case["output"]
    assert [event["item"] for event in found if event["type"] == "response.output_item.done"] == case["output"]


@pytest.mark.parametrize("case", named(STREAMS))
def test_every_event_is_one_that_openai_documents(case: dict[str, Any]) -> None:
    for background in (False, True):
        for event in translated(chunks_of(case), background=background):
            EVENT.validate_json(json.dumps(shown(event)), strict=True)


@pytest.mark.parametrize("case", named(STREAMS))
def test_an_item_is_over_before_the_next_begins(case: dict[str, Any]) -> None:
    open_item: int | None = None
    for event in map(shown, translated(chunks_of(case))):
        match event["type"]:
            case "response.output_item.added":
                assert open_item is None
                open_item = event["output_index"]
            case "response.output_item.done":
                assert open_item == event["output_index"]
                open_item = None
            case _ if "output_index" in event:
                assert open_item == event["output_index"]
    assert open_item is None


def folded(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a client that knows the deltas alone makes of them: texts by item."""
    texts: dict[str, str] = {}
    for event in events:
        if event["type"].endswith(".delta"):
            texts[event["item_id"]] = texts.get(event["item_id"], "") + event["delta"]
    return [{"id": key, "text": text} for key, text in texts.items()]


def text_of(item: dict[str, Any]) -> str:
    parts = item.get("content") or item.get("summary") or ()
    written = "".join(part.get("text") or part.get("refusal") or "" for part in parts)
    return written or str(item.get("arguments") or item.get("input") or "")


@pytest.mark.parametrize("case", named(STREAMS))
def test_the_deltas_amount_to_the_output(case: dict[str, Any]) -> None:
    events = [shown(event) for event in translated(chunks_of(case))]
    expected = [{"id": item["id"], "text": text_of(item)} for item in case["output"] if text_of(item)]
    assert folded(events) == expected


@pytest.mark.parametrize("case", named(STREAMS))
def test_the_sdk_puts_the_stream_together(case: dict[str, Any]) -> None:
    state = ResponseStreamState[Any](text_format=omit, input_tools=omit)
    seen: list[Any] = []
    for event in translated(chunks_of(case)):
        seen += state.handle_event(EVENT.validate_python(shown(event)))
    assert [item.id for item in seen[-1].response.output] == [item["id"] for item in case["output"]]


@pytest.mark.parametrize("case", named(STREAMS))
def test_a_stream_read_again_from_any_event_is_the_same(case: dict[str, Any]) -> None:
    chunks = chunks_of(case)
    whole = [event.line() for event in translated(chunks, background=True)]
    for held in range(len(chunks) + 1):  # so many chunks are there when the reader comes back
        for after in range(-1, len(whole)):
            translator = Translator(frame(background=True))
            found = translator.open()
            for part in (chunks[:held], chunks[held:]):
                for chunk in part:
                    found += translator.feed(chunk)
            found += translator.end()
            assert [event.line() for event in found if event.number > after] == whole[after + 1 :]


@pytest.mark.parametrize("case", named(STREAMS))
def test_a_failure_anywhere_keeps_what_there_is(case: dict[str, Any]) -> None:
    chunks = chunks_of(case)
    for count in range(len(chunks) + 1):
        for cancelled in (False, True):
            translator = Translator(frame(background=True))
            found = translator.open()
            for chunk in chunks[:count]:
                found += translator.feed(chunk)
            before = folded([shown(event) for event in found])
            error = answer.failure("upstream_error", "It broke.")
            found += translator.cancel() if cancelled else translator.fail(error)
            last = shown(found[-1])
            EVENT.validate_json(json.dumps(last), strict=True)
            assert [event.number for event in found] == list(range(len(found)))
            assert last["type"] == "response.failed"
            assert last["response"]["status"] == ("cancelled" if cancelled else "failed")
            assert (last["response"]["error"] is None) is cancelled
            texts = {item["id"]: text_of(item) for item in last["response"]["output"]}
            assert all(texts[piece["id"]] == piece["text"] for piece in before)


def test_the_events_of_the_background_say_that_it_waited() -> None:
    types = [shown(event)["response"]["status"] for event in Translator(frame(background=True)).open()]
    assert types == ["queued", "queued"]
