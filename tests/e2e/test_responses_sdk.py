"""OpenAI's own SDK, `client.responses`, by base URL alone, against a real gateway and a simulated upstream."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, ConfigDict, TypeAdapter
from tests.processes import Gateway, Upstream, events

TOOL: Any = {
    "type": "function",
    "name": "weather",
    "description": "What it is like outside.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": True,
}
JUDGE: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent, config=None)
SLOW = {"tokens": 400, "tokens_per_s": 40}


def judged(data: Any) -> Response:
    return Response.model_validate(data, strict=True)


@pytest.fixture
def sdk(gateway: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0) as client:
        yield client


def upstream_saw(upstream: Upstream) -> dict[str, Any]:
    last: dict[str, Any] = upstream.state()["bodies"][-1]
    return last


def test_creates(sdk: OpenAI, upstream: Upstream) -> None:
    response = sdk.responses.create(
        model="gpt-5.5",
        instructions="Be brief.",
        input="Hi",
        temperature=0.5,
        max_output_tokens=64,
        metadata={"run": "7"},
        store=False,
        prompt_cache_key="k",
        user="u",
        truncation="disabled",
    )
    assert response.status == "completed"
    assert response.output_text
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert (response.instructions, response.temperature, response.metadata) == ("Be brief.", 0.5, {"run": "7"})
    assert (response.to_dict()["store"], response.background, response.max_output_tokens) == (False, False, 64)
    judged(response.to_dict())
    sent = upstream_saw(upstream)
    assert sent == {
        "model": "gpt-5.5",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "temperature": 0.5,
        "max_tokens": 64,
    }


def test_streams(sdk: OpenAI, client: httpx2.Client) -> None:
    whole = sdk.responses.create(model="gpt-5.5", input="Hi", reasoning={"effort": "low", "summary": "auto"})
    with sdk.responses.stream(model="gpt-5.5", input="Hi", reasoning={"effort": "low", "summary": "auto"}) as stream:
        seen = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    text = "".join(event.delta for event in seen if event.type == "response.output_text.delta")
    thought = "".join(event.delta for event in seen if event.type == "response.reasoning_summary_text.delta")
    assert text == whole.output_text == final.output_text
    assert [item.type for item in final.output] == ["reasoning", "message"]
    assert thought == whole.output[0].summary[0].text  # type: ignore[union-attr]
    assert final.usage == whole.usage
    assert final.usage is not None
    assert final.usage.output_tokens_details.reasoning_tokens == 12


def test_an_answer_cut_by_its_limit_is_incomplete(sdk: OpenAI) -> None:
    whole = sdk.responses.create(model="gpt-5.5", input="Hi", max_output_tokens=16)
    assert whole.status == "incomplete"
    assert whole.incomplete_details is not None
    assert whole.incomplete_details.reason == "max_output_tokens"
    assert whole.output[0].status == "incomplete"  # type: ignore[union-attr]
    last = list(sdk.responses.create(model="gpt-5.5", input="Hi", max_output_tokens=16, stream=True))[-1]
    assert last.type == "response.incomplete"
    assert last.response.output_text == whole.output_text


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_round_trip(sdk: OpenAI, streamed: bool) -> None:
    turns: Any = [{"role": "user", "content": "What is the weather?"}]
    response: Any
    asked: Any = {"model": "gpt-5.5", "tools": [TOOL], "reasoning": {"effort": "low"}}
    if streamed:
        with sdk.responses.stream(input=turns, **asked) as stream:
            response = stream.get_final_response()
    else:
        response = sdk.responses.create(input=turns, **asked)
    judged(response.to_dict())
    [call] = [item for item in response.output if item.type == "function_call"]
    assert (call.name, call.arguments, call.status) == ("weather", '{"city": "value"}', "completed")
    turns += response.output  # as it is: the SDK dumps its own objects
    turns.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
    answer = sdk.responses.create(input=turns, **asked)
    assert answer.status == "completed"
    assert answer.output_text


def test_a_tool_turn_reaches_the_upstream_as_a_chat(sdk: OpenAI, upstream: Upstream) -> None:
    turns: Any = [{"role": "user", "content": "What is the weather?"}]
    response = sdk.responses.create(model="gpt-5.5", input=turns, tools=[TOOL], reasoning={"effort": "low"})
    turns += response.output
    turns.append({"type": "function_call_output", "call_id": response.output[-1].call_id, "output": "sunny"})  # type: ignore[union-attr]
    sdk.responses.create(model="gpt-5.5", input=turns, tools=[TOOL])
    user, assistant, tool = upstream_saw(upstream)["messages"]
    assert user == turns[0]
    assert assistant["reasoning_content"] == response.output[0].summary[0].text  # type: ignore[union-attr]
    [call] = assistant["tool_calls"]
    assert tool == {"role": "tool", "content": "sunny", "tool_call_id": call["id"]}


class Reply(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str


def test_structured_output_is_asked_for_and_parsed(sdk: OpenAI, upstream: Upstream) -> None:
    with pytest.raises(ValueError, match="Invalid JSON"):  # what is simulated is prose
        sdk.responses.parse(model="gpt-5.5", input="Hi", text_format=Reply)
    asked = upstream_saw(upstream)["response_format"]
    assert asked["type"] == "json_schema"
    assert asked["json_schema"]["name"] == "Reply"
    assert asked["json_schema"]["schema"]["required"] == ["text"]
    tool: Any = openai.pydantic_function_tool(Reply)
    own: Any = {"type": "function", **tool["function"]}
    parsed = sdk.responses.parse(model="gpt-5.5", input="Hi", tools=[own])
    [call] = parsed.output
    assert call.type == "function_call"
    assert json.loads(call.arguments) == {"text": "value"}


async def test_the_asynchronous_client(gateway: Gateway) -> None:
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0) as sdk:
        whole = await sdk.responses.create(model="gpt-5.5", input="Hi")
        async with sdk.responses.stream(model="gpt-5.5", input="Hi") as stream:
            final = await stream.get_final_response()
    assert final.output_text == whole.output_text


def test_in_the_background(sdk: OpenAI, client: httpx2.Client, upstream: Upstream) -> None:
    upstream.behave(tokens=30, tokens_per_s=60)
    submitted = sdk.responses.create(model="gpt-5.5", input="Hi", background=True)
    judged(submitted.to_dict())
    assert submitted.status in ("queued", "in_progress")
    assert submitted.background is True
    task = client.get(f"/v1/tasks/{submitted.id.removeprefix('resp_')}?wait=30").json()
    assert task["status"] == "completed"
    done = sdk.responses.retrieve(submitted.id)
    judged(done.to_dict())
    assert (done.status, done.id, done.created_at) == ("completed", submitted.id, submitted.created_at)
    assert done.output_text == task["results"][0]["choices"][0]["message"]["content"]
    assert done.usage is not None
    assert done.completed_at is not None


def raw_events(client: httpx2.Client, response_id: str, after: int | None = None) -> list[tuple[str, str, str]]:
    more = "" if after is None else f"&starting_after={after}"
    return events(client.get(f"/v1/responses/{response_id}?stream=true{more}").raise_for_status().text)


@pytest.mark.parametrize("asked", [{}, {"reasoning": {"effort": "low"}}, {"tools": [TOOL]}])
def test_a_background_stream_cut_at_every_event_goes_on_as_if_it_had_not_been(
    sdk: OpenAI, client: httpx2.Client, upstream: Upstream, asked: dict[str, Any]
) -> None:
    upstream.behave(tokens=20, tokens_per_s=400)
    body = {"model": "gpt-5.5", "input": "Hi", "background": True, "stream": True, **asked}
    first = events(client.post("/v1/responses", json=body).text)
    response_id = json.loads(first[0][2])["response"]["id"]
    assert [json.loads(data)["sequence_number"] for _, _, data in first] == list(range(len(first)))
    assert [name for name, _, _ in first] == [json.loads(data)["type"] for _, _, data in first]
    assert raw_events(client, response_id) == first
    for cut in range(len(first)):
        assert raw_events(client, response_id, cut) == first[cut + 1 :]
    again = list(sdk.responses.retrieve(response_id, stream=True, starting_after=3))
    assert [event.sequence_number for event in again] == list(range(4, len(first)))
    for _, _, data in first:
        JUDGE.validate_json(data, strict=True)
    past = client.get(f"/v1/responses/{response_id}?stream=true&starting_after={len(first)}")
    assert (past.status_code, past.json()["error"]["code"]) == (416, "offset_out_of_range")
    final = json.loads(first[-1][2])["response"]
    kept = sdk.responses.retrieve(response_id).to_dict()
    assert {**final, "completed_at": kept["completed_at"]} == kept


def test_a_long_stream_goes_on_behind_any_of_its_events(sdk: OpenAI, client: httpx2.Client, upstream: Upstream) -> None:
    upstream.behave(tokens=2_000)
    body = {"model": "gpt-5.5", "input": "Hi", "background": True, "stream": True}
    first = events(client.post("/v1/responses", json=body).text)
    assert len(first) > 2_000
    response_id = json.loads(first[0][2])["response"]["id"]
    for cut in (510, 517, 600, 1_100, len(first) - 2, len(first) - 1):
        assert raw_events(client, response_id, cut) == first[cut + 1 :]
    past = client.get(f"/v1/responses/{response_id}?stream=true&starting_after={len(first)}")
    assert (past.status_code, past.json()["error"]["code"]) == (416, "offset_out_of_range")


def test_a_long_stream_under_way_goes_on_behind_any_of_its_events(
    sdk: OpenAI, client: httpx2.Client, upstream: Upstream
) -> None:
    upstream.behave(tokens=1_500, tokens_per_s=1_000)
    seen: list[Any] = []
    with sdk.responses.create(model="gpt-5.5", input="Hi", background=True, stream=True) as stream:
        for event in stream:
            seen.append(event)
            if len(seen) == 800:
                break
    response_id = seen[0].response.id
    ahead = client.get(f"/v1/responses/{response_id}?stream=true&starting_after=100000")
    assert (ahead.status_code, ahead.json()["error"]["code"]) == (416, "offset_out_of_range")
    seen += list(sdk.responses.retrieve(response_id, stream=True, starting_after=seen[-1].sequence_number))
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert seen[-1].type == "response.completed"


def test_a_cancelled_stream_tells_its_end_behind_any_number(
    sdk: OpenAI, client: httpx2.Client, upstream: Upstream
) -> None:
    upstream.behave(**SLOW)
    with sdk.responses.create(model="gpt-5.5", input="Hi", background=True, stream=True) as stream:
        response_id = next(iter(stream)).response.id  # type: ignore[union-attr]
    sdk.responses.cancel(response_id)
    [(name, _, data)] = raw_events(client, response_id, 4_000)
    assert (name, json.loads(data)["sequence_number"]) == ("response.failed", 4_001)


def test_a_reader_that_goes_away_is_not_missed(sdk: OpenAI, client: httpx2.Client, upstream: Upstream) -> None:
    upstream.behave(tokens=60, tokens_per_s=200)
    before = upstream.state()["cut"]
    seen: list[Any] = []
    with sdk.responses.create(model="gpt-5.5", input="Hi", background=True, stream=True) as stream:
        for event in stream:
            seen.append(event)
            if len(seen) == 12:
                break
    response_id = seen[0].response.id
    last = seen[-1].sequence_number
    with sdk.responses.retrieve(response_id, stream=True, starting_after=last) as rest:
        seen += list(rest)
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert seen[-1].type == "response.completed"
    whole = raw_events(client, response_id)
    assert [json.loads(data) for _, _, data in whole] == [event.to_dict() for event in seen]
    assert upstream.state()["cut"] == before


def test_a_cancel_cuts_the_upstream(sdk: OpenAI, client: httpx2.Client, upstream: Upstream) -> None:
    upstream.behave(**SLOW)
    before = upstream.state()["cut"]
    stream = sdk.responses.create(model="gpt-5.5", input="Hi", background=True, stream=True)
    first = next(iter(stream))
    assert first.type == "response.created"
    for event in stream:
        if event.type == "response.output_text.delta":
            break
    cancelled = sdk.responses.cancel(first.response.id)
    assert cancelled.status == "cancelled"
    judged(cancelled.to_dict())
    assert upstream.state()["cut"] == before + 1
    last = list(stream)[-1]
    assert (last.type, last.response.status) == ("response.failed", "cancelled")  # type: ignore[union-attr]
    assert sdk.responses.cancel(first.response.id).status == "cancelled"
    assert sdk.responses.retrieve(first.response.id).status == "cancelled"


def test_what_has_ended_is_not_cancelled(sdk: OpenAI) -> None:
    done = sdk.responses.create(model="gpt-5.5", input="Hi")
    assert sdk.responses.retrieve(done.id).output_text == done.output_text  # a call in place is a task too
    with pytest.raises(openai.ConflictError, match="cannot be cancelled"):
        sdk.responses.cancel(done.id)
    with pytest.raises(openai.NotFoundError, match="no stream"):
        sdk.responses.retrieve(done.id, stream=True)


def test_any_own_task_is_a_response(client: httpx2.Client, sdk: OpenAI) -> None:
    task = client.post("/v1/llm/generations", json={"model": "gpt-5.5", "prompt": "Hi", "stream": True}).json()
    ended = client.get(f"/v1/tasks/{task['id']}?wait=30").json()
    shown = sdk.responses.retrieve(f"resp_{task['id']}")
    assert shown.output_text == ended["results"][0]["choices"][0]["message"]["content"]
    final = list(sdk.responses.retrieve(shown.id, stream=True))[-1]
    assert final.response.output_text == shown.output_text  # type: ignore[union-attr]


def test_the_input_is_not_kept(sdk: OpenAI) -> None:
    done = sdk.responses.create(model="gpt-5.5", input="Hi")
    with pytest.raises(openai.NotFoundError, match="not kept"):
        sdk.responses.input_items.list(done.id)
    with pytest.raises(openai.APIStatusError) as caught:
        sdk.responses.delete(done.id)
    assert caught.value.status_code == 405


def test_another_keys_response_is_not_there(gateway: Gateway, sdk: OpenAI) -> None:
    done = sdk.responses.create(model="gpt-5.5", input="Hi")
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.new_key("--name", "other"), max_retries=0) as other:
        for call in (other.responses.retrieve, other.responses.cancel, other.responses.input_items.list):
            with pytest.raises(openai.NotFoundError):
                call(done.id)
        with pytest.raises(openai.NotFoundError):
            other.responses.retrieve(done.id, stream=True)
    with pytest.raises(openai.NotFoundError):
        sdk.responses.retrieve(done.id.removeprefix("resp_"))


def test_errors_are_the_sdks_own(gateway: Gateway, sdk: OpenAI, upstream: Upstream) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="not supported"):
        sdk.responses.create(model="gpt-9", input="Hi")
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        sdk.responses.create(model="gpt-5.5", input="Hi", previous_response_id="resp_1")
    assert (caught.value.code, caught.value.param) == ("unsupported_advanced_options", "previous_response_id")
    with pytest.raises(openai.AuthenticationError):
        OpenAI(base_url=f"{gateway.url}/v1", api_key="sk-wrong").responses.create(model="gpt-5.5", input="Hi")
    upstream.behave(fail={"status": 400, "rate": 1})
    for streamed in (False, True):
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            sdk.responses.create(model="gpt-5.5", input="Hi", stream=streamed)
        assert caught.value.response.headers["x-task-id"]
    upstream.behave(fail={"status": 500, "rate": 1})
    with pytest.raises(openai.InternalServerError):
        sdk.responses.create(model="gpt-5.5", input="Hi")


def test_a_failure_in_the_middle_is_the_last_event(sdk: OpenAI, client: httpx2.Client, upstream: Upstream) -> None:
    upstream.behave(tokens=50, tokens_per_s=400, fail={"cut_stream_rate": 1})
    seen = list(sdk.responses.create(model="gpt-5.5", input="Hi", stream=True))
    last: Any = seen[-1]
    assert last.type == "response.failed"
    assert (last.response.status, last.response.error.code) == ("failed", "server_error")
    assert last.response.error.type == "stream_interrupted"
    assert last.response.output_text == "".join(e.delta for e in seen if e.type == "response.output_text.delta")
    judged(last.response.to_dict())


def test_a_failure_in_the_background_is_told_by_the_response(
    sdk: OpenAI, client: httpx2.Client, upstream: Upstream
) -> None:
    upstream.behave(fail={"status": 400, "rate": 1})
    submitted = sdk.responses.create(model="gpt-5.5", input="Hi", background=True)
    client.get(f"/v1/tasks/{submitted.id.removeprefix('resp_')}?wait=30")
    failed = sdk.responses.retrieve(submitted.id)
    judged(failed.to_dict())
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.code == "invalid_prompt"
    names = [event.type for event in sdk.responses.retrieve(submitted.id, stream=True)]
    assert names == ["response.created", "response.queued", "response.failed"]


def test_a_limit_is_optional_for_every_model(folder: Any, upstream: Upstream) -> None:
    from tests.processes import channel, running

    with (
        running(Gateway(folder, channel(upstream, models='["claude-opus-4-7"]'))) as own,
        OpenAI(base_url=f"{own.url}/v1", api_key=own.key, max_retries=0) as sdk,
    ):
        assert sdk.responses.create(model="claude-opus-4-7", input="Hi").output_text
        assert upstream_saw(upstream)["max_tokens"] == 4096


CODEX = {
    "model": "gpt-5.5",
    "instructions": "You are a coding agent.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Sandbox: on."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "List the files."}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "ls"}], "encrypted_content": None},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Looking."}]},
        {"type": "function_call", "name": "shell", "arguments": '{"command":["ls"]}', "call_id": "call_1"},
        {"type": "function_call_output", "call_id": "call_1", "output": "a.py"},
        {"type": "custom_tool_call", "status": "completed", "call_id": "call_2", "name": "apply_patch", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "done"},
    ],
    "tools": [
        {"type": "function", "name": "shell", "description": "d", "strict": False, "parameters": {"type": "object"}},
        {
            "type": "custom",
            "name": "apply_patch",
            "description": "d",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
        },
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0199-thread",
    "text": {"verbosity": "low"},
    "client_metadata": {"x-codex-installation-id": "1"},
}
"""What Codex CLI sends with every turn (`ResponsesApiRequest` in its `codex-api` crate)."""


@pytest.mark.parametrize("more", [{}, {"stream": True}, {"background": True}])
def test_an_error_of_the_engine_names_the_clients_own_field(client: httpx2.Client, more: dict[str, Any]) -> None:
    part = {"type": "input_file", "file_id": "file-1-aaaaaa"}
    said = [{"role": "user", "content": "a"}, {"role": "user", "content": [part]}]
    body = {"model": "gemini-2.5-pro", "instructions": "i", "input": said, **more}
    answer = client.post("/v1/responses", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "input[1].content[0].file_id"
    assert "`input[1].content[0].file_id`" in answer.json()["error"]["message"]


def test_what_codex_sends_is_taken(client: httpx2.Client, upstream: Upstream) -> None:
    answered = client.post("/v1/responses", json=CODEX)
    assert answered.status_code == 200, answered.text
    seen = events(answered.text)
    assert seen[-1][0] == "response.completed"
    for _, _, data in seen:
        JUDGE.validate_json(data, strict=True)
    sent = upstream_saw(upstream)
    assert [message["role"] for message in sent["messages"]] == [
        "system",
        "developer",
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
    ]
    assert sorted(sent) == [
        "messages",
        "model",
        "reasoning_effort",
        "stream",
        "stream_options",
        "tools",
        "verbosity",
    ]


@pytest.mark.parametrize("more", [{}, {"stream": True}, {"background": True}])
def test_errors_have_the_words_of_this_api(sdk: OpenAI, more: dict[str, Any]) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="`max_output_tokens` must be at least 16") as caught:
        sdk.responses.create(model="gpt-5.5", input="Hi", max_output_tokens=5, **more)
    assert (caught.value.code, caught.value.param) == ("invalid_param", "max_output_tokens")
    image: Any = {"type": "input_image", "image_url": "ftp://x/y.png"}
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        sdk.responses.create(
            model="gpt-5.5", instructions="Look.", input=[{"role": "user", "content": [image]}], **more
        )
    assert caught.value.param == "input[0].content[0].image_url"
