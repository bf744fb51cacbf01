"""Every model × form × way of answering × kind of media, against a checking upstream in each provider's own protocol.

A supported cell carries the media's very bytes through; an unsupported one is a 422 before anything is stored.
"""

import base64
import hashlib
import itertools
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.processes import Dialect, Gateway, Upstream, channel, running, text_of
from tests.web import Web

TEXT = ("text",)
VISION = ("text", "vision")
DOCUMENTS = ("text", "vision", "file")
ALL = ("text", "vision", "video", "audio", "file")
MODELS = {
    **dict.fromkeys(("gpt-5.4", "gpt-5.5", "kimi-k2.6"), VISION),
    **dict.fromkeys(("claude-opus-4-6", "claude-opus-4-7", "claude-sonnet-4-6"), DOCUMENTS),
    **dict.fromkeys(("gemini-2.5-pro", "gemini-3-pro-preview", "gemini-3.1-pro-preview"), ALL),
    "nemotron-3-nano-omni": ("text", "vision", "video", "audio"),
}
DIALECT: dict[str, Dialect] = {
    model: "anthropic" if model.startswith("claude") else "gemini" if model.startswith("gemini") else "openai"
    for model in MODELS
}
NEEDS = {"image": "vision", "video": "video", "audio": "audio", "file": "file"}
SAMPLE = {
    "image": ("image/png", b"\x89PNG\r\n\x1a\n", "png"),
    "video": ("video/mp4", b"\x00\x00\x00\x20ftypisom", "mp4"),
    "audio": ("audio/wav", b"RIFF\x24\x00\x00\x00WAVE", "wav"),
    "file": ("application/pdf", b"%PDF-1.7\n", "pdf"),
}
FORMS = ["text", "vision", "video", "audio", "custom", "custom+image", "custom+video", "custom+audio", "custom+file"]
KIND_OF = {"vision": "image", "video": "video", "audio": "audio"}
WAYS = ["async", "async stream", "sync", "sync stream"]
_numbers = itertools.count()


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with Web() as running_web:
        yield running_web


@pytest.fixture(scope="module")
def providers(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with each model on a channel of its provider's dialect; nothing is simulated in process."""

    def rows(dialect: Dialect) -> str:
        models = [m for m in MODELS if DIALECT[m] == dialect and m != "nemotron-3-nano-omni"]
        return channel(shared_upstream, name=dialect, dialect=dialect, models=json.dumps(models))

    config = "[media]\nallow_private_networks = true\n"
    config += rows("openai") + rows("anthropic") + rows("gemini")
    nvidia = 'quirks = { reasoning = "template", audio = "audio_url", fetches = [] }'
    config += channel(shared_upstream, name="nvidia", models='["nemotron-3-nano-omni"]', more=nvidia)
    with running(Gateway(tmp_path_factory.mktemp("providers"), config)) as process:
        yield process


@pytest.fixture
def client(providers: Gateway, upstream: Upstream) -> Iterator[httpx2.Client]:
    with providers.client() as opened:
        yield opened


def sample(kind: str) -> bytes:
    """Bytes of that kind that no other test has."""
    return SAMPLE[kind][1] + f" {kind} {next(_numbers)} ".encode() * 40


def data_uri(kind: str, data: bytes) -> str:
    return f"data:{SAMPLE[kind][0]};base64,{base64.b64encode(data).decode()}"


def body_of(model: str, form: str, url: str) -> dict[str, Any]:
    match form.partition("+"):
        case ("text", _, _):
            return {"model": model, "prompt": "Hello"}
        case ("vision", _, _):
            return {"model": model, "prompt": "What is this?", "image_urls": [url]}
        case ("video", _, _):
            return {"model": model, "prompt": "What happens?", "video_urls": [url]}
        case ("audio", _, _):
            return {"model": model, "audio_url": url}
        case (_, _, kind):
            blocks = [{"type": f"{kind}_url", f"{kind}_url": {"url": url}}] if kind else []
            content = [{"type": "text", "text": "Hello"}, *blocks]
            return {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 100}


def answered(client: httpx2.Client, body: dict[str, Any], way: str) -> httpx2.Response | str:
    """The refusal, or the text of the answer, however it was asked for."""
    asked = {**body, "sync": way.startswith("sync"), "stream": way.endswith("stream")}
    response = client.post("/v1/llm/generations", json=asked)
    if response.status_code != 200:
        return response
    if way == "sync":
        return spoken([response.json()])
    if way == "sync stream":
        lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
        assert lines.pop() == "[DONE]"
        return text_of([json.loads(line) for line in lines])
    task_id = response.json()["id"]
    if way == "async stream":
        followed = client.get(f"/v1/llm/generations/{task_id}/stream").text
        assert "event: done" in followed
        data = [line[6:] for line in followed.splitlines() if line.startswith("data: {") and '"choices"' in line]
        text = text_of([json.loads(line) for line in data])
    task = client.get(f"/v1/tasks/{task_id}", params={"wait": 20}).json()
    assert (task["status"], task["error"]) == ("completed", None)
    assert way == "async" or text == spoken(task["results"])
    return spoken(task["results"])


def spoken(completions: list[dict[str, Any]]) -> str:
    (completion,) = completions
    assert completion["object"] == "chat.completion"
    content: str = completion["choices"][0]["message"]["content"]
    return content


def check_received(upstream: Upstream, model: str, media: list[tuple[str, bytes]]) -> None:
    """The last call carried exactly these bytes, in the provider's own protocol."""
    state = upstream.state()
    assert state["refused"] == []
    seen = state["seen"][-1]
    assert (seen["wire"], seen["model"]) == (DIALECT[model], model)
    carried = [(item["kind"], item["type"], item["sha256"]) for item in seen["media"]]
    assert carried == [(kind, SAMPLE[kind][0], hashlib.sha256(data).hexdigest()) for kind, data in media]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("model", MODELS)
def test_a_cell(client: httpx2.Client, upstream: Upstream, model: str, form: str, way: str) -> None:
    kind = KIND_OF.get(form, form.partition("+")[2])
    data = sample(kind) if kind else b""
    body = body_of(model, form, data_uri(kind, data) if kind else "")
    calls = upstream.state()["requests"]
    last = client.get("/v1/tasks", params={"limit": 1}).json()["data"]
    answer = answered(client, body, way)
    if kind and NEEDS[kind] not in MODELS[model]:
        assert isinstance(answer, httpx2.Response)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (422, "model_not_support_capability")
        assert model in error["message"]
        assert NEEDS[kind] in error["message"]
        assert upstream.state()["requests"] == calls
        assert client.get("/v1/tasks", params={"limit": 1}).json()["data"] == last
    else:
        assert isinstance(answer, str)
        assert answer.strip()
        check_received(upstream, model, [(kind, data)] if kind else [])


@pytest.mark.parametrize("source", ["address", "upload"])
@pytest.mark.parametrize(
    ("model", "kind"), [(m, kind) for m, takes in MODELS.items() for kind in SAMPLE if NEEDS[kind] in takes]
)
def test_an_address_and_an_own_file_carry_the_same_bytes(
    client: httpx2.Client, upstream: Upstream, web: Web, model: str, kind: str, source: str
) -> None:
    data, (media_type, _, extension) = sample(kind), SAMPLE[kind]
    if source == "address":
        url = web.put(f"sample.{extension}", data, media_type)
    else:
        files = {"file": (f"sample.{extension}", data, media_type)}
        url = client.post("/v1/files/upload/stream", files=files).json()["url"]
    assert isinstance(answered(client, body_of(model, f"custom+{kind}", url), "sync"), str)
    check_received(upstream, model, [(kind, data)])


def test_two_of_each_kind_for_gemini_in_one_message(client: httpx2.Client, upstream: Upstream) -> None:
    media = [(kind, sample(kind)) for kind in ("image", "image", "video", "video", "audio", "audio", "file", "file")]
    blocks = [{"type": f"{k}_url", f"{k}_url": {"url": data_uri(k, data)}} for k, data in media]
    content = [{"type": "text", "text": "What is all this?"}, *blocks]
    body = {"model": "gemini-3.1-pro-preview", "messages": [{"role": "user", "content": content}]}
    for way in WAYS:
        assert isinstance(answered(client, body, way), str)
        check_received(upstream, "gemini-3.1-pro-preview", media)


def test_youtube_goes_to_gemini_by_its_address(client: httpx2.Client, upstream: Upstream) -> None:
    url = "https://www.youtube.com/watch?v=dQw4w9WgXcQ"
    assert isinstance(answered(client, body_of("gemini-2.5-pro", "video", url), "sync"), str)
    assert url in json.dumps(upstream.state()["bodies"][-1])


def test_two_videos_are_too_many_for_nemotron(client: httpx2.Client, upstream: Upstream) -> None:
    calls = upstream.state()["requests"]
    urls = [data_uri("video", sample("video")) for _ in range(2)]
    response = client.post(
        "/v1/llm/generations", json={"model": "nemotron-3-nano-omni", "prompt": "?", "video_urls": urls}
    )
    assert (response.status_code, response.json()["error"]["code"]) == (422, "model_rule_violation")
    assert upstream.state()["requests"] == calls


def test_audio_needs_no_prompt(client: httpx2.Client, upstream: Upstream) -> None:
    data = sample("audio")
    answer = answered(client, {"model": "gemini-2.5-pro", "audio_url": data_uri("audio", data)}, "sync")
    assert isinstance(answer, str)
    assert "Please transcribe this audio file" in json.dumps(upstream.state()["bodies"][-1])
