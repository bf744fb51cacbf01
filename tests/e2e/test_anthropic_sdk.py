"""Anthropic's own SDK, and what agents built on it send, by base URL alone, in front of an openai-dialect model."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import Anthropic, AsyncAnthropic
from tests.processes import Gateway, Upstream, channel, running

MODEL = "gpt-5.5"
HI: Any = [{"role": "user", "content": "Hi"}]
TOOL: Any = {
    "name": "weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "cache_control": {"type": "ephemeral"},
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
AGENT: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 32000,
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "<system-reminder>Be good.</system-reminder>"},
                {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}},
            ],
        }
    ],
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cc_entrypoint=cli;"},
        {"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}},
    ],
    "tools": [TOOL],
    "metadata": {
        "user_id": "user_" + "0123456789abcdef" * 4 + "_account__session_5f3c1c50-0000-4000-8000-000000000000"
    },
    "thinking": {"type": "enabled", "budget_tokens": 31999},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "temperature": 1,
    "stream": True,
}
AGENT_HEADERS = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27",
    "anthropic-dangerous-direct-browser-access": "true",
}


@pytest.fixture
def sdk(gateway: Gateway) -> Iterator[Anthropic]:
    with Anthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0) as client:
        yield client


def sent(upstream: Upstream) -> Any:
    return upstream.state()["bodies"][-1]


def test_a_message(sdk: Anthropic, upstream: Upstream) -> None:
    message = sdk.messages.create(model=MODEL, max_tokens=100, system="Be brief.", messages=HI)
    [block] = message.content
    assert block.type == "text"
    assert block.text
    assert (message.role, message.model, message.stop_reason) == ("assistant", MODEL, "end_turn")
    assert message.id.startswith("msg_")
    assert (message._request_id or "").startswith("req-")
    assert message.usage.output_tokens == 24
    assert message.usage.input_tokens > 0
    assert sent(upstream)["messages"] == [{"role": "system", "content": "Be brief."}, *HI]


def test_the_end_by_a_limit(sdk: Anthropic) -> None:
    message = sdk.messages.create(model=MODEL, max_tokens=16, messages=HI)
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 16)


def test_a_stream_says_what_the_whole_answer_says(sdk: Anthropic) -> None:
    whole = sdk.messages.create(model=MODEL, max_tokens=100, messages=HI, thinking={"type": "adaptive"})
    with sdk.messages.stream(model=MODEL, max_tokens=100, messages=HI, thinking={"type": "adaptive"}) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert [block.model_dump() for block in whole.content] == [
        block.model_dump(exclude={"parsed_output"}) for block in final.content
    ]
    assert [block.type for block in final.content] == ["thinking", "text"]
    assert (final.usage, final.stop_reason) == (whole.usage, "end_turn")
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")


async def test_asynchronously(gateway: Gateway) -> None:
    async with AsyncAnthropic(base_url=gateway.url, auth_token=gateway.key, max_retries=0) as client:
        message = await client.messages.create(model=MODEL, max_tokens=100, messages=HI)
        async with client.messages.stream(model=MODEL, max_tokens=100, messages=HI) as stream:
            text = "".join([piece async for piece in stream.text_stream])
    assert message.content[0].type == "text"
    assert text == message.content[0].text


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_round_trip(sdk: Anthropic, upstream: Upstream, streamed: bool) -> None:
    asked: Any = {"model": MODEL, "max_tokens": 2000, "tools": [TOOL], "thinking": {"type": "adaptive"}}
    messages: Any = [{"role": "user", "content": "What is the weather?"}]
    if streamed:
        with sdk.messages.stream(messages=messages, **asked) as stream:
            message: Any = stream.get_final_message()
    else:
        message = sdk.messages.create(messages=messages, **asked)
    assert message.stop_reason == "tool_use"
    thought, call = message.content
    assert (thought.type, thought.signature) == ("thinking", "")
    assert (call.type, call.name, call.input) == ("tool_use", "weather", {"city": "value"})
    assert call.id.startswith("toolu_")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
    answer = sdk.messages.create(messages=messages, **asked)
    assert answer.stop_reason == "end_turn"
    _, assistant, tool = sent(upstream)["messages"]
    [asked_call] = assistant["tool_calls"]
    assert asked_call["id"] == tool["tool_call_id"] == f"call_{call.id.removeprefix('toolu_')}"
    assert json.loads(asked_call["function"]["arguments"]) == {"city": "value"}
    assert assistant["reasoning_content"] == thought.thinking
    assert tool["content"] == "sunny"
    assert upstream.state()["refused"] == []


def test_a_picture_that_a_tool_took(sdk: Anthropic, upstream: Upstream) -> None:
    call: Any = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}
    result: Any = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [IMAGE], "is_error": False}
    turns: Any = [*HI, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    sdk.messages.create(model=MODEL, max_tokens=100, messages=turns)
    _, _, tool, shown = sent(upstream)["messages"]
    assert (tool["role"], tool["tool_call_id"]) == ("tool", "call_1")
    assert shown["content"][1]["image_url"]["url"] == f"data:image/png;base64,{PIXEL}"


def test_images_reach_the_model(sdk: Anthropic, upstream: Upstream) -> None:
    sdk.messages.create(
        model=MODEL, max_tokens=100, messages=[{"role": "user", "content": [IMAGE, {"type": "text", "text": "What?"}]}]
    )
    image, text = sent(upstream)["messages"][0]["content"]
    assert image == {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    assert text == {"type": "text", "text": "What?"}


@pytest.mark.parametrize("streamed", [False, True])
def test_an_image_by_the_id_of_a_file(
    sdk: Anthropic, client: httpx2.Client, upstream: Upstream, streamed: bool
) -> None:
    kept = client.post("/v1/files/upload/stream", files={"file": ("a.png", base64.b64decode(PIXEL))}).json()

    def ask(file_id: str) -> None:
        image: Any = {"type": "image", "source": {"type": "file", "file_id": file_id}}
        turns: Any = [{"role": "user", "content": [image, {"type": "text", "text": "What?"}]}]
        asked: Any = sdk.messages.create(model=MODEL, max_tokens=100, messages=turns, stream=streamed)
        if streamed:
            list(asked)

    ask(kept["id"])
    image, _ = sent(upstream)["messages"][0]["content"]
    assert image == {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    with pytest.raises(anthropic.UnprocessableEntityError) as caught:
        ask("file-1-aaaaaa")
    assert caught.value.body["error"]["param"] == "messages[0].content[0].source.file_id"  # type: ignore[index]


@pytest.mark.parametrize("auth", ["x-api-key", "bearer"])
def test_what_an_agent_sends_passes(gateway: Gateway, upstream: Upstream, auth: str) -> None:
    key = {"x-api-key": gateway.key} if auth == "x-api-key" else {"authorization": f"Bearer {gateway.key}"}
    answer = httpx2.post(f"{gateway.url}/v1/messages?beta=true", json=AGENT, headers={**AGENT_HEADERS, **key})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["request-id"] == answer.headers["x-request-id"]
    assert "x-left-out" not in answer.headers
    kinds = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
    assert kinds[:2] == ["message_start", "ping"]
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert "cache_control" not in json.dumps(sent(upstream))
    assert sent(upstream)["reasoning_effort"] == "high"
    assert len(sent(upstream)["user"]) == 64
    assert upstream.state()["refused"] == []


@pytest.mark.parametrize("streamed", [False, True])
def test_what_an_agent_sends_passes_to_a_model_that_cannot_think(
    folder: Path, upstream: Upstream, streamed: bool
) -> None:
    quirks = 'quirks = { reasoning = "none", unsupported = ["user", "service_tier", "top_k"] }'
    with running(Gateway(folder, channel(upstream, more=quirks))) as gateway:
        headers = {"x-api-key": gateway.key}
        body = {**AGENT, "stream": streamed, "output_config": {"effort": "high"}, "service_tier": "standard_only"}
        answer = httpx2.post(f"{gateway.url}/v1/messages", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        left_out = {"thinking", "thinking.budget_tokens", "output_config.effort", "metadata.user_id", "service_tier"}
        assert set(answer.headers["x-left-out"].split(", ")) == left_out
        assert not {"user", "service_tier", "reasoning_effort"} & set(sent(upstream))
        refused = httpx2.post(f"{gateway.url}/v1/messages", json={**body, "top_k": 3}, headers=headers)
        assert (refused.status_code, refused.json()["error"]["param"]) == (422, "top_k")
        assert refused.json()["error"]["code"] == "unsupported_advanced_options"


def test_counts_tokens(sdk: Anthropic) -> None:
    count = sdk.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "a" * 400}])
    assert count.input_tokens == 138
    assert sdk.beta.messages.count_tokens(model=MODEL, messages=HI, tools=[TOOL]).input_tokens > 10
    with pytest.raises(anthropic.UnprocessableEntityError, match="not supported"):
        sdk.messages.count_tokens(model="gpt-9", messages=HI)


def test_a_key_bound_to_other_models(gateway: Gateway) -> None:
    bound = Anthropic(base_url=gateway.url, api_key=gateway.new_key("--models", "gpt-5.4"), max_retries=0)
    with bound as client:
        with pytest.raises(anthropic.PermissionDeniedError):
            client.messages.count_tokens(model=MODEL, messages=HI)
        with pytest.raises(anthropic.PermissionDeniedError):
            client.messages.create(model=MODEL, max_tokens=100, messages=HI)
        assert [model.id for model in client.models.list()] == ["gpt-5.4"]


def test_models(sdk: Anthropic, gateway: Gateway) -> None:
    ids = [model.id for model in sdk.models.list()]
    assert MODEL in ids
    assert [model.id for model in sdk.models.list(limit=1)] == ids  # page after page
    assert sdk.models.list(limit=1).has_more is True
    assert [model.id for model in sdk.models.list(before_id=ids[2], limit=1).data] == [ids[1]]
    assert sdk.models.retrieve(MODEL).display_name == MODEL
    with pytest.raises(anthropic.NotFoundError):
        sdk.models.retrieve("gpt-9")
    with pytest.raises(anthropic.UnprocessableEntityError):
        sdk.models.list(after_id="gpt-9")
    plain = httpx2.get(f"{gateway.url}/v1/models", headers={"x-api-key": gateway.key}).json()
    assert plain["object"] == "list"


def test_errors_are_the_sdks_own(gateway: Gateway, sdk: Anthropic, upstream: Upstream) -> None:
    with pytest.raises(anthropic.UnprocessableEntityError) as wrong:
        sdk.messages.create(model="gpt-9", max_tokens=100, messages=HI)
    assert (wrong.value.type, wrong.value.api_message is not None) == ("invalid_request_error", True)
    assert wrong.value.request_id == wrong.value.body["request_id"]  # type: ignore[index]
    with pytest.raises(anthropic.AuthenticationError) as unknown:
        Anthropic(base_url=gateway.url, api_key="sk-wrong").messages.create(model=MODEL, max_tokens=100, messages=HI)
    assert unknown.value.type == "authentication_error"


def test_a_provider_that_limits_is_told_as_the_sdk_has_it(folder: Path, upstream: Upstream) -> None:
    upstream.behave(fail={"status": 429, "rate": 1, "retry_after_s": 60})
    with running(Gateway(folder, channel(upstream))) as gateway:  # one whose channel may rest
        sdk = Anthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0)
        _meets_the_limit(sdk)


def _meets_the_limit(sdk: Anthropic) -> None:
    with pytest.raises(anthropic.InternalServerError) as limited:
        sdk.messages.create(model=MODEL, max_tokens=100, messages=HI)
    assert (limited.value.status_code, limited.value.type) == (503, "overloaded_error")
    assert limited.value.response.headers["retry-after"] == "60"
    with (
        pytest.raises(anthropic.InternalServerError) as limited,
        sdk.messages.stream(model=MODEL, max_tokens=100, messages=HI) as stream,
    ):
        stream.get_final_message()
    assert limited.value.status_code == 503


def _read(stream: Any, said: list[str]) -> None:
    for piece in stream.text_stream:
        said.append(piece)


def test_a_stream_that_breaks_off_ends_in_an_error(sdk: Anthropic, upstream: Upstream) -> None:
    upstream.behave(tokens=50, tokens_per_s=200, fail={"cut_stream_rate": 1})
    said: list[str] = []
    with (
        pytest.raises(anthropic.APIStatusError, match="broke off") as broken,
        sdk.messages.stream(model=MODEL, max_tokens=100, messages=HI) as stream,
    ):
        _read(stream, said)
    assert said
    assert broken.value.type == "api_error"
    assert broken.value.body["error"]["code"] == "stream_interrupted"  # type: ignore[index]


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_goes_away_cuts_the_upstream(sdk: Anthropic, upstream: Upstream, streamed: bool) -> None:
    cut = upstream.state()["cut"]
    upstream.behave(tokens=1000, tokens_per_s=20)
    if streamed:
        with sdk.messages.stream(model=MODEL, max_tokens=1000, messages=HI) as stream:
            next(iter(stream.text_stream))
    else:
        with pytest.raises(anthropic.APITimeoutError):
            sdk.with_options(timeout=0.5).messages.create(model=MODEL, max_tokens=1000, messages=HI)
    deadline = time.monotonic() + 5
    while upstream.state()["cut"] == cut and time.monotonic() < deadline:
        time.sleep(0.02)
    assert upstream.state()["cut"] == cut + 1


def post(gateway: Gateway, path: str, body: Any = None, **headers: str) -> httpx2.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx2.post(
        gateway.url + path,
        content=content,
        headers={"x-api-key": gateway.key, "content-type": "application/json", **headers},
    )


GOOD = {"model": MODEL, "max_tokens": 100, "messages": HI}
BAD = [
    pytest.param("/v1/messages", b"{", {}, 400, "invalid_request_error", id="malformed"),
    pytest.param("/v1/messages", b"", {}, 400, "invalid_request_error", id="empty"),
    pytest.param("/v1/messages", GOOD, {"content-type": "text/plain"}, 400, "invalid_request_error", id="no json"),
    pytest.param("/v1/messages", GOOD, {"content-encoding": "gzip"}, 415, "invalid_request_error", id="compressed"),
    pytest.param("/v1/messages", GOOD, {"x-api-key": ""}, 401, "authentication_error", id="no key"),
    pytest.param("/v1/messages", GOOD, {"authorization": "Bearer x"}, 401, "authentication_error", id="bearer first"),
    pytest.param("/v1/messages/batches", GOOD, {}, 404, "not_found_error", id="no such path"),
    pytest.param("/v1/messages/", GOOD, {}, 404, "not_found_error", id="a slash too many"),
    pytest.param("/v1/messages", {"model": MODEL}, {}, 422, "invalid_request_error", id="a field missing"),
    pytest.param("/v1/messages", {**GOOD, "max_tokens": 2}, {}, 422, "invalid_request_error", id="a model's rule"),
    pytest.param("/v1/messages/count_tokens", b"[]", {}, 422, "invalid_request_error", id="a count of nothing"),
    pytest.param(
        "/v1/messages/count_tokens", GOOD, {"x-api-key": "x"}, 401, "authentication_error", id="count, no key"
    ),
]


@pytest.mark.parametrize(("path", "body", "headers", "status", "kind"), BAD)
def test_every_error_has_anthropics_shape(
    gateway: Gateway, path: str, body: Any, headers: dict[str, str], status: int, kind: str
) -> None:
    answer = post(gateway, path, body, **headers)
    assert answer.status_code == status, answer.text
    check_shape(answer, kind)


def check_shape(answer: httpx2.Response, kind: str) -> None:
    said = answer.json()
    assert set(said) == {"type", "error", "request_id"}
    assert said["type"] == "error"
    assert said["error"]["type"] == kind
    assert said["error"]["message"]
    assert said["error"]["code"]
    assert said["request_id"] == answer.headers["x-request-id"] == answer.headers["request-id"]
    assert answer.headers["content-type"] == "application/json"


def test_a_wrong_method_and_a_large_body_have_the_shape_too(folder: Path, upstream: Upstream) -> None:
    config = "[server]\nmax_body_bytes = 1000\n" + channel(upstream)
    with running(Gateway(folder, config)) as gateway:
        wrong = httpx2.get(f"{gateway.url}/v1/messages", headers={"x-api-key": gateway.key})
        assert wrong.status_code == 405
        assert wrong.headers["allow"] == "POST"
        check_shape(wrong, "invalid_request_error")
        large = post(gateway, "/v1/messages", {**GOOD, "system": "s" * 2000})
        assert large.status_code == 413
        check_shape(large, "request_too_large")
        for path in ("/v1/messages", "/v1/messages/count_tokens"):
            nowhere = post(gateway, path, {**GOOD, "model": "claude-opus-4-7"})
            assert (nowhere.status_code, nowhere.json()["error"]["code"]) == (422, "no_available_model")
        elsewhere = post(gateway, "/v1/chat/completions", {"model": "gpt-9", "messages": HI}).json()
        assert set(elsewhere) == {"error"}


def test_an_error_of_the_engine_names_the_clients_own_field(gateway: Gateway) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "%%%"}}
    turn = {"role": "user", "content": [{"type": "text", "text": "a"}, image]}
    for streamed in (False, True):
        answer = post(gateway, "/v1/messages", {**GOOD, "system": "s", "messages": [turn], "stream": streamed})
        assert answer.status_code == 422
        assert answer.json()["error"]["param"] == "messages[0].content[1].source"
        assert "`messages[0].content[1].source`" in answer.json()["error"]["message"]
