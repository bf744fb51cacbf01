"""The checking upstream, judged by the providers' own SDKs."""

import base64
import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from anthropic import Anthropic, AnthropicVertex
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials
from openai import AzureOpenAI, OpenAI
from tests.processes import UPSTREAM_KEY, Upstream

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(200)
PDF = b"%PDF-1.7\n" + bytes(50)
SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
EXAMPLE = {"city": "value", "days": 7}
HELLO: Any = [{"role": "user", "content": "Hello"}]
THINKING: Any = {"type": "enabled", "budget_tokens": 1024}
CLAUDE = "claude-sonnet-4-6"
GEMINI = "gemini-3.1-pro-preview"


def claude(upstream: Upstream, key: str = UPSTREAM_KEY) -> Anthropic:
    return Anthropic(base_url=upstream.url, api_key=key, max_retries=0)


def gemini(upstream: Upstream, key: str = UPSTREAM_KEY) -> genai.Client:
    return genai.Client(api_key=key, vertexai=False, http_options=types.HttpOptions(base_url=upstream.url))


@pytest.fixture
def messages(upstream: Upstream) -> Iterator[Any]:
    with claude(upstream) as client:
        yield client.messages


@pytest.fixture
def models(upstream: Upstream) -> Iterator[Any]:
    with gemini(upstream) as client:
        yield client.models


def last_seen(upstream: Upstream) -> dict[str, Any]:
    seen: dict[str, Any] = upstream.state()["seen"][-1]
    return seen


# Anthropic


def test_a_message(messages: Any, upstream: Upstream) -> None:
    message = messages.create(model=CLAUDE, max_tokens=100, messages=HELLO)
    assert (message.role, message.model, message.stop_reason, message.stop_sequence) == (
        "assistant",
        CLAUDE,
        "end_turn",
        None,
    )
    assert len(message.content[0].text.split()) == 24
    assert (message.usage.input_tokens, message.usage.output_tokens) == (1, 24)
    assert last_seen(upstream) == {
        "wire": "anthropic", "platform": "", "model": CLAUDE, "stream": False, "media": []
    }  # fmt: skip


def test_a_stream_of_messages_says_what_the_whole_does(messages: Any) -> None:
    request: Any = {"model": CLAUDE, "max_tokens": 2000, "messages": HELLO, "thinking": THINKING}
    whole = messages.create(**request)
    with messages.stream(**request) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert [block.type for block in streamed.content] == ["thinking", "text"]
    assert [block.model_dump(exclude={"parsed_output"}) for block in streamed.content] == [
        block.model_dump() for block in whole.content
    ]
    assert streamed.usage.output_tokens == whole.usage.output_tokens == 36
    raw = list(messages.create(stream=True, **request))
    assert [event.type for event in raw[:3]] == ["message_start", "content_block_start", "content_block_delta"]


def test_the_limit_ends_a_message(messages: Any) -> None:
    message = messages.create(model=CLAUDE, max_tokens=3, messages=HELLO)
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 3)


@pytest.mark.parametrize("streamed", [False, True])
def test_anthropics_tools_go_around_with_their_thoughts(messages: Any, upstream: Upstream, streamed: bool) -> None:
    tools = [{"name": "weather", "input_schema": SCHEMA}]
    request: Any = {"model": CLAUDE, "max_tokens": 2000, "tools": tools, "thinking": THINKING}
    turns = list(HELLO)
    for round_ in range(2):  # twice: ids must not meet again
        if streamed:
            with messages.stream(messages=turns, **request) as stream:
                message = stream.get_final_message()
        else:
            message = messages.create(messages=turns, **request)
        thought, call = message.content
        assert (thought.type, call.type, call.name, call.input) == ("thinking", "tool_use", "weather", EXAMPLE)
        assert message.stop_reason == "tool_use"
        result = {"type": "tool_result", "tool_use_id": call.id, "content": f"sunny {round_}"}
        turns += [{"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
        answer = messages.create(messages=turns, **request)
        assert [block.type for block in answer.content] == ["thinking", "text"]
        turns += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": "And tomorrow?"}]
    forged = [{"type": "thinking", "thinking": "I know", "signature": thought.signature}, call]
    turns = [*HELLO, {"role": "assistant", "content": forged}, {"role": "user", "content": [result]}]
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
        messages.create(messages=turns, **request)


def test_omitted_thoughts_have_a_signature_alone(messages: Any) -> None:
    thinking: Any = {**THINKING, "display": "omitted"}
    request: Any = {"model": CLAUDE, "max_tokens": 2000, "messages": HELLO, "thinking": thinking}
    with messages.stream(**request) as stream:
        thought = stream.get_final_message().content[0]
    assert thought.thinking == ""
    assert thought.signature
    answer = [thought.model_dump(), {"type": "text", "text": "Yes."}]
    turns = [*HELLO, {"role": "assistant", "content": answer}, *HELLO]
    assert messages.create(**{**request, "messages": turns}).content


def test_redacted_thoughts_go_around(messages: Any) -> None:
    word = (
        "ANTHROPIC_MAGIC_STRING_TRIGGER_REDACTED_THINKING_"
        "46C9A13E193C177646C7398A98432ECCCE4C1253D5E2D82641AC0E52CC2876CB"
    )
    request: Any = {"model": CLAUDE, "max_tokens": 2000, "thinking": THINKING}
    turns: Any = [{"role": "user", "content": word}]
    with messages.stream(messages=turns, **request) as stream:
        content = stream.get_final_message().content
    assert [block.type for block in content] == ["redacted_thinking", "text"]
    turns += [{"role": "assistant", "content": [block.model_dump(exclude={"parsed_output"}) for block in content]}]
    assert messages.create(messages=[*turns, *HELLO], **request).content
    content[0].data = content[0].data[:-4] + "AAAA"
    turns[-1] = {"role": "assistant", "content": [block.model_dump(exclude={"parsed_output"}) for block in content]}
    with pytest.raises(anthropic.BadRequestError, match="redacted_thinking"):
        messages.create(messages=[*turns, *HELLO], **request)


def test_anthropics_media_arrives_byte_for_byte(messages: Any, upstream: Upstream) -> None:
    content = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": base64_of(PNG)}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": base64_of(PDF)}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {"type": "text", "text": "What is this?"},
    ]  # fmt: skip
    for _ in range(2):  # the second comes from what is kept
        messages.create(model=CLAUDE, max_tokens=9, messages=[{"role": "user", "content": content}])
        assert last_seen(upstream)["media"] == [
            {"kind": "image", "type": "image/png", "length": 72, "sha256": sha256(PNG), "uri": None},
            {"kind": "file", "type": "application/pdf", "length": 59, "sha256": sha256(PDF), "uri": None},
            {"kind": "image", "type": "", "length": None, "sha256": None, "uri": "https://example.org/a.png"},
        ]


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, anthropic.BadRequestError),
        (403, anthropic.PermissionDeniedError),
        (404, anthropic.NotFoundError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.InternalServerError),
    ],
)
def test_anthropics_failures_are_its_own(
    messages: Any, upstream: Upstream, status: int, error: type[anthropic.APIStatusError]
) -> None:
    upstream.behave(fail={"status": status, "rate": 1, "retry_after_s": 7})
    with pytest.raises(error) as caught:
        messages.create(model=CLAUDE, max_tokens=9, messages=HELLO)
    assert (caught.value.status_code, caught.value.response.headers["retry-after"]) == (status, "7")
    assert caught.value.body["error"]["message"] == "simulated failure"  # type: ignore[index]


def test_an_error_in_the_midst_of_anthropics_stream(messages: Any, upstream: Upstream) -> None:
    upstream.behave(tokens=20, fail={"error_event_rate": 1})
    words: list[str] = []
    stream = messages.create(model=CLAUDE, max_tokens=99, messages=HELLO, stream=True)
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        words.extend(event.type for event in stream)
    assert words.count("content_block_delta") >= 5


def test_anthropics_keys_and_versions(upstream: Upstream) -> None:
    with claude(upstream, key="sk-wrong") as client, pytest.raises(anthropic.AuthenticationError):
        client.messages.create(model=CLAUDE, max_tokens=9, messages=HELLO)
    body = {"model": CLAUDE, "max_tokens": 9, "messages": HELLO}
    headers = {"x-api-key": UPSTREAM_KEY, "anthropic-version": "2023-06-01"}
    for given, status in ((headers, 200), ({"x-api-key": UPSTREAM_KEY}, 400), (headers, 200)):
        assert httpx2.post(f"{upstream.url}/v1/messages", json=body, headers=given).status_code == status
    assert (
        httpx2.post(f"{upstream.url}/v1/messages", json=body, headers={**headers, "x-api-key": ""}).status_code == 401
    )


@pytest.mark.parametrize("streamed", [False, True])
def test_claude_on_vertex(upstream: Upstream, streamed: bool) -> None:
    options: Any = {"region": "us-east5", "project_id": "p", "base_url": f"{upstream.url}/v1", "max_retries": 0}
    with AnthropicVertex(access_token=UPSTREAM_KEY, **options) as client:
        if streamed:
            with client.messages.stream(model="claude-opus-4-6@default", max_tokens=9, messages=HELLO) as stream:
                message: Any = stream.get_final_message()
        else:
            message = client.messages.create(model="claude-opus-4-6@default", max_tokens=9, messages=HELLO)
    assert message.usage.output_tokens == 9
    assert (last_seen(upstream)["platform"], last_seen(upstream)["stream"]) == ("vertex", streamed)
    with AnthropicVertex(access_token="wrong", **options) as client, pytest.raises(anthropic.AuthenticationError):
        client.messages.create(model=CLAUDE, max_tokens=9, messages=HELLO)


# Google


def test_generate_content(models: Any, upstream: Upstream) -> None:
    answer = models.generate_content(model=GEMINI, contents="Hello")
    assert len(answer.text.split()) == 24
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert (answer.model_version, answer.usage_metadata.total_token_count) == (GEMINI, 25)
    assert last_seen(upstream) == {
        "wire": "gemini", "platform": "", "model": GEMINI, "stream": False, "media": []
    }  # fmt: skip


def test_a_stream_of_content_says_what_the_whole_does(models: Any) -> None:
    config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True))
    whole = models.generate_content(model=GEMINI, contents="Hello", config=config)
    chunks = list(models.generate_content_stream(model=GEMINI, contents="Hello", config=config))
    parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts]
    thoughts = "".join(part.text for part in parts if part.thought)
    assert thoughts == whole.candidates[0].content.parts[0].text
    assert len(thoughts.split()) == 12
    assert "".join(part.text for part in parts if not part.thought) == whole.text
    assert [chunk.candidates[0].finish_reason for chunk in chunks[-2:]] == [None, types.FinishReason.STOP]
    assert chunks[-1].usage_metadata == whole.usage_metadata
    assert (whole.usage_metadata.thoughts_token_count, whole.usage_metadata.total_token_count) == (12, 37)
    assert parts[-1].thought_signature == whole.candidates[0].content.parts[-1].thought_signature is not None


def test_thoughts_are_counted_and_not_shown_unless_asked_for(models: Any) -> None:
    config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW))
    answer = models.generate_content(model=GEMINI, contents="Hello", config=config)
    assert [part.thought for part in answer.candidates[0].content.parts] == [None]
    assert answer.usage_metadata.thoughts_token_count == 12


@pytest.mark.parametrize("streamed", [False, True])
def test_googles_tools_go_around_with_their_signature(models: Any, streamed: bool) -> None:
    declared = types.FunctionDeclaration(
        name="weather",
        parameters=types.Schema(
            type=types.Type.OBJECT,
            properties={"city": types.Schema(type=types.Type.STRING), "days": types.Schema(type=types.Type.INTEGER)},
        ),
    )
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declared])])
    asked = types.Content(role="user", parts=[types.Part(text="The weather?")])
    if streamed:
        chunks = list(models.generate_content_stream(model=GEMINI, contents=[asked], config=config))
        part = chunks[0].candidates[0].content.parts[0]
    else:
        part = models.generate_content(model=GEMINI, contents=[asked], config=config).candidates[0].content.parts[0]
    assert (part.function_call.name, part.function_call.args) == ("weather", EXAMPLE)
    response = types.FunctionResponse(id=part.function_call.id, name="weather", response={"sky": "clear"})
    given = types.Content(role="user", parts=[types.Part(function_response=response)])

    def go_on(signature: bytes | None, model: str = GEMINI) -> Any:
        call = types.Part(function_call=part.function_call, thought_signature=signature)
        contents = [asked, types.Content(role="model", parts=[call]), given]
        return models.generate_content(model=model, contents=contents, config=config)

    assert go_on(part.thought_signature).text
    assert go_on(b"skip_thought_signature_validator").text
    assert go_on(None, "gemini-2.5-pro").text
    with pytest.raises(errors.ClientError, match="missing a thought_signature"):
        go_on(None)
    with pytest.raises(errors.ClientError, match="Corrupted thought signature"):
        go_on(b"forged")


def test_googles_media_arrives_byte_for_byte(models: Any, upstream: Upstream) -> None:
    parts = [
        types.Part(inline_data=types.Blob(mime_type="image/png", data=PNG)),
        types.Part(file_data=types.FileData(file_uri="https://www.youtube.com/watch?v=9hE5-98ZeCg")),
        types.Part(text="What is this?"),
    ]
    models.generate_content(model=GEMINI, contents=types.Content(role="user", parts=parts))
    assert last_seen(upstream)["media"] == [
        {"kind": "image", "type": "image/png", "length": 72, "sha256": sha256(PNG), "uri": None},
        {
            "kind": "video", "type": "", "length": None, "sha256": None,
            "uri": "https://www.youtube.com/watch?v=9hE5-98ZeCg",
        },
    ]  # fmt: skip


def test_a_file_is_uploaded_and_processed_and_used(upstream: Upstream) -> None:
    data = MP4 + bytes(9_000_000)  # more than one piece of the SDK's
    with gemini(upstream) as client:
        file = client.files.upload(file=io.BytesIO(data), config={"mime_type": "video/mp4", "display_name": "film"})
        assert (file.state, file.size_bytes, file.display_name) == (types.FileState.PROCESSING, len(data), "film")
        part = types.Part(file_data=types.FileData(file_uri=file.uri, mime_type=file.mime_type))
        asked = types.Content(role="user", parts=[part])
        with pytest.raises(errors.ClientError, match="not in an ACTIVE state"):
            client.models.generate_content(model=GEMINI, contents=asked)
        states = [client.files.get(name=file.name or "").state for _ in range(2)]
        assert states == [types.FileState.PROCESSING, types.FileState.ACTIVE]
        assert client.models.generate_content(model=GEMINI, contents=asked).text
        media = {"kind": "video", "type": "video/mp4", "length": len(data), "sha256": sha256(data), "uri": file.uri}
        assert last_seen(upstream)["media"] == [media]
        stored = next(kept for kept in upstream.state()["files"] if f"files/{kept['name']}" == file.name)
        assert (stored["sha256"], stored["state"]) == (sha256(data), "ACTIVE")
        client.files.delete(name=file.name or "")
        with pytest.raises(errors.ClientError, match="may not exist"):
            client.models.generate_content(model=GEMINI, contents=asked)


def test_a_file_that_is_not_what_it_says_fails(upstream: Upstream) -> None:
    with gemini(upstream) as client:
        file = client.files.upload(file=io.BytesIO(PDF), config={"mime_type": "image/png"})
        assert (file.state, file.error and file.error.code) == (types.FileState.FAILED, 3)
        ready = client.files.upload(file=io.BytesIO(PDF), config={"mime_type": "application/pdf"})
        assert ready.state == types.FileState.ACTIVE


@pytest.mark.parametrize(
    ("status", "word", "error"),
    [
        (400, "INVALID_ARGUMENT", errors.ClientError),
        (429, "RESOURCE_EXHAUSTED", errors.ClientError),
        (500, "INTERNAL", errors.ServerError),
        (503, "UNAVAILABLE", errors.ServerError),
    ],
)
def test_googles_failures_are_its_own(
    models: Any, upstream: Upstream, status: int, word: str, error: type[errors.APIError]
) -> None:
    upstream.behave(fail={"status": status, "rate": 1})
    with pytest.raises(error) as caught:
        models.generate_content(model=GEMINI, contents="Hello")
    assert (caught.value.code, caught.value.status, caught.value.message) == (status, word, "simulated failure")


def test_googles_keys(upstream: Upstream) -> None:
    with gemini(upstream, key="wrong") as client, pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model=GEMINI, contents="Hello")
    assert caught.value.details["error"]["details"][0]["reason"] == "API_KEY_INVALID"
    url = f"{upstream.url}/v1beta/models/{GEMINI}:generateContent"
    body = {"contents": [{"parts": [{"text": "Hello"}]}]}
    assert httpx2.post(url, json=body).status_code == 403
    assert httpx2.post(f"{url}?key={UPSTREAM_KEY}", json=body).status_code == 200
    assert httpx2.post(f"{upstream.url}/upload/v1beta/files", json={}).status_code == 403


@pytest.mark.parametrize("streamed", [False, True])
def test_gemini_on_vertex(upstream: Upstream, streamed: bool) -> None:
    options = types.HttpOptions(base_url=upstream.url)
    credentials = Credentials(token=UPSTREAM_KEY)  # type: ignore[no-untyped-call]
    with genai.Client(
        vertexai=True, project="p", location="global", credentials=credentials, http_options=options
    ) as client:
        if streamed:
            chunks = list(client.models.generate_content_stream(model=GEMINI, contents="Hello"))
            assert len(chunks) == 25
        else:
            assert client.models.generate_content(model=GEMINI, contents="Hello").text
    assert (last_seen(upstream)["platform"], last_seen(upstream)["stream"]) == ("vertex", streamed)


# OpenAI on Azure


@pytest.mark.parametrize("streamed", [False, True])
def test_openai_on_azure(upstream: Upstream, streamed: bool) -> None:
    with AzureOpenAI(
        azure_endpoint=upstream.url, api_key=UPSTREAM_KEY, api_version="2024-10-21", max_retries=0
    ) as client:
        answer: Any = client.chat.completions.create(model="my gpt", messages=HELLO, stream=streamed)
        if streamed:
            assert "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)
        else:
            assert answer.choices[0].message.content
    assert (last_seen(upstream)["platform"], last_seen(upstream)["model"]) == ("azure", "my gpt")
    path = f"{upstream.url}/openai/deployments/a/chat/completions"
    headers = {"api-key": UPSTREAM_KEY}
    assert httpx2.post(path, json={"messages": HELLO}, headers=headers).status_code == 404
    assert httpx2.post(f"{path}?api-version=1", json={"messages": HELLO}, headers=headers).status_code == 200
    wrong = {"authorization": f"Bearer {UPSTREAM_KEY}"}
    assert httpx2.post(f"{path}?api-version=1", json={"messages": HELLO}, headers=wrong).status_code == 401


def test_azures_newer_path(upstream: Upstream) -> None:
    headers = {"api-key": UPSTREAM_KEY}
    with OpenAI(base_url=f"{upstream.url}/openai/v1", api_key="-", default_headers=headers, max_retries=0) as client:
        assert client.chat.completions.create(model="gpt-5.5", messages=HELLO).choices


def test_openais_media_arrives_byte_for_byte(upstream: Upstream) -> None:
    url = "data:image/png;base64," + base64_of(PNG)
    content: Any = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is this?"}]
    with OpenAI(base_url=f"{upstream.url}/v1", api_key=UPSTREAM_KEY, max_retries=0) as client:
        client.chat.completions.create(model="gpt-5.5", messages=[{"role": "user", "content": content}])
        assert last_seen(upstream)["media"] == [
            {"kind": "image", "type": "image/png", "length": 72, "sha256": sha256(PNG), "uri": None}
        ]
        content[0]["image_url"]["url"] = url.replace("image/png", "image/jpeg")
        with pytest.raises(openai.BadRequestError, match="the image is not image/jpeg"):
            client.chat.completions.create(model="gpt-5.5", messages=[{"role": "user", "content": content}])


# every wire


ASK: dict[str, tuple[str, dict[str, Any]]] = {
    "openai": ("/v1/chat/completions", {"model": "{model}", "messages": HELLO}),
    "anthropic": ("/v1/messages", {"model": "{model}", "messages": HELLO, "max_tokens": 500}),
    "gemini": (
        "/v1beta/models/{quoted}:{verb}",
        {"contents": [{"parts": [{"text": "Hello"}]}]},
    ),
}
HEADERS = {
    "authorization": f"Bearer {UPSTREAM_KEY}",
    "x-api-key": UPSTREAM_KEY,
    "x-goog-api-key": UPSTREAM_KEY,
    "anthropic-version": "2023-06-01",
}
ENDS = {"openai": "data: [DONE]\n\n", "anthropic": '{"type":"message_stop"}\n\n', "gemini": '"finishReason":"STOP"'}


ENDING = {"openai": 1, "anthropic": 1, "gemini": 0}
"""Events of a stream that are its end, and nothing else."""


def send(upstream: Upstream, wire: str, behaviour: str, *, stream: bool, timeout_s: float = 5) -> httpx2.Response:
    path, body = ASK[wire]
    model = f"any-model?{behaviour}" if behaviour else "any-model"
    quoted = httpx2.URL("http://x", params={"m": model}).query.decode().removeprefix("m=").replace("+", "%20")
    path = path.format(quoted=quoted, verb="streamGenerateContent?alt=sse" if stream else "generateContent")
    body = {**body, "model": model, "stream": stream} if wire != "gemini" else body
    return httpx2.post(f"{upstream.url}{path}", json=body, headers=HEADERS, timeout=timeout_s)


@pytest.mark.parametrize("wire", ASK)
def test_a_models_name_carries_its_behaviour(upstream: Upstream, wire: str) -> None:
    assert send(upstream, wire, "fail.rate=1&fail.status=503", stream=False).status_code == 503
    text = send(upstream, wire, "tokens=3", stream=True).text
    longer = send(upstream, wire, "tokens=30", stream=True).text
    assert 20 < longer.count("data: ") - text.count("data: ") <= 27
    assert last_seen(upstream)["model"] == "any-model"
    assert send(upstream, wire, "tokens=many", stream=False).status_code == 400
    assert "tokens" in upstream.state()["refused"][-1]


@pytest.mark.parametrize("wire", ASK)
def test_a_fault_is_the_same_fault_in_every_wire(upstream: Upstream, wire: str) -> None:
    good = send(upstream, wire, "", stream=True).text
    assert ENDS[wire] in good
    assert ENDS[wire] not in send(upstream, wire, "fail.no_end_rate=1", stream=True).text
    broken = send(upstream, wire, "fail.error_event_rate=1", stream=True).text
    assert "simulated failure" in broken
    assert ENDS[wire] not in broken
    garbage = send(upstream, wire, "fail.garbage_rate=1", stream=True).text
    assert ENDS[wire] in garbage
    assert any(not is_json(line[6:]) for line in garbage.splitlines() if line.startswith("data: {"))
    for fault in ("cut_stream_rate", "reset_rate"):
        for stream in (False, True):
            with pytest.raises(httpx2.RemoteProtocolError):
                send(upstream, wire, f"fail.{fault}=1", stream=stream)
    assert send(upstream, wire, "fail.garbage_rate=1", stream=False).text.endswith("###")


TOLD: dict[str, dict[str, tuple[int, str]]] = {
    "openai": {"context_length": (400, "context_length_exceeded"), "content_filter": (400, "content_filter")},
    "anthropic": {"context_length": (400, "invalid_request_error"), "content_filter": (200, "refusal")},
    "gemini": {"context_length": (400, "INVALID_ARGUMENT"), "content_filter": (200, "PROHIBITED_CONTENT")},
}


@pytest.mark.parametrize("wire", ASK)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reason", ["context_length", "content_filter"])
def test_what_is_wrong_with_a_request_is_told_in_the_wires_own_words(
    upstream: Upstream, wire: str, reason: str, stream: bool
) -> None:
    answer = send(upstream, wire, f"fail.rate=1&fail.reason={reason}", stream=stream)
    status, word = TOLD[wire][reason]
    assert (answer.status_code, f'"{word}"' in answer.text) == (status, True)
    kind = "text/event-stream" if stream and status == 200 else "application/json"
    assert answer.headers["content-type"] == kind


@pytest.mark.parametrize("wire", ASK)
def test_a_fault_comes_after_the_share_that_it_is_told(upstream: Upstream, wire: str) -> None:
    whole = send(upstream, wire, "", stream=True).text.count("data: ")
    ended = [
        send(upstream, wire, f"fail.no_end_rate=1&fail.after={after}", stream=True).text.count("data: ")
        for after in (0, 0.25, 0.75, 1)
    ]
    assert ended == sorted({*ended})
    assert (ended[0], whole - ended[-1]) == (0, ENDING[wire])


@pytest.mark.parametrize("wire", ASK)
@pytest.mark.parametrize("stream", [False, True])
def test_the_length_of_an_answer_may_be_a_lie(upstream: Upstream, wire: str, stream: bool) -> None:
    whole = send(upstream, wire, "", stream=stream).content
    short = send(upstream, wire, "fail.lie_rate=1&fail.lie=-0.5", stream=stream)
    assert len(short.content) == int(short.headers["content-length"]) == round(len(whole) / 2)
    with pytest.raises(httpx2.ReadTimeout):
        send(upstream, wire, "fail.lie_rate=1", stream=stream, timeout_s=0.2)


def test_faults_have_their_turns_for_each_model(upstream: Upstream) -> None:
    for _ in range(2):  # a new simulation is a new beginning
        upstream.behave(fail={"rate": 1, "times": 1})
        assert [send(upstream, wire, "", stream=False).status_code for wire in ("openai", "gemini")] == [500, 200]
    before = upstream.state()["of_model"]["any-model"]
    send(upstream, "openai", "", stream=False)
    assert upstream.state()["of_model"]["any-model"] == before + 1


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("wire", ASK)
def test_the_same_question_is_answered_alike_at_once_and_in_time(upstream: Upstream, wire: str) -> None:
    at_once = [send(upstream, wire, "", stream=True).content for _ in range(2)]
    upstream.behave(first_token_ms=1)
    assert {*at_once} == {send(upstream, wire, "", stream=True).content}


def test_a_path_that_nobody_serves(upstream: Upstream) -> None:
    for path in ("/v1/completions", "/v1beta/models/a:countTokens", "/v1/messages/batches"):
        assert httpx2.post(f"{upstream.url}{path}", json={}).status_code == 404
    assert httpx2.get(f"{upstream.url}/v1/messages").status_code == 404
