"""Spec sections 1 and 2: what is asked in each form, and answered in each way."""

import re
import time
from typing import Any

import httpx2
import pytest
from tests.processes import Gateway, Upstream, text_of, text_request

TEN_KEYS = ["id", "object", "type", "model", "status", "progress", "created", "stream", "results", "error"]
IMAGE = "data:image/png;base64,iVBORw0KGgo="
FORMS: list[tuple[str, dict[str, Any]]] = [
    ("task-llmrouter-", {"model": "gpt-5.5", "prompt": "Hello"}),
    ("task-llmrouter-", {"model": "gpt-5.5", "prompt": "What is this?", "image_urls": [IMAGE]}),
    (
        "task-llmrouter-",
        {"model": "gemini-2.5-pro", "prompt": "What happens?", "video_urls": ["https://example.com/a.mp4"]},
    ),
    ("task-llm-", {"model": "gemini-2.5-pro", "audio_url": "https://example.com/a.mp3"}),
    ("task-llm-", {"model": "gpt-5.5", "messages": [{"role": "user", "content": "Hello"}]}),
]


def submit(client: httpx2.Client, body: dict[str, Any]) -> httpx2.Response:
    return client.post("/v1/llm/generations", json=body)


@pytest.mark.parametrize(("prefix", "body"), FORMS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_submit_answers_the_ten_documented_keys(
    client: httpx2.Client, prefix: str, body: dict[str, Any], stream: bool
) -> None:
    before = int(time.time())
    response = submit(client, {**body, "stream": stream})
    task = response.json()
    assert response.status_code == 200
    assert list(task) == TEN_KEYS
    assert re.fullmatch(re.escape(prefix) + r"\d{10}-[a-z0-9]{8}", task["id"])
    assert int(task["id"].split("-")[-2]) == task["created"] >= before
    assert response.headers["x-task-id"] == task["id"]
    link = {"url": f"/v1/llm/generations/{task['id']}/stream"} if stream else None
    fixed = {key: task[key] for key in TEN_KEYS if key not in ("id", "created")}
    assert fixed == {
        "object": "llm.generation.task",
        "type": "llm",
        "model": body["model"],
        "status": "pending",
        "progress": 0,
        "stream": link,
        "results": None,
        "error": None,
    }


@pytest.mark.parametrize(("prefix", "body"), FORMS)
def test_every_form_ends_with_the_whole_completion(client: httpx2.Client, prefix: str, body: dict[str, Any]) -> None:
    task_id = submit(client, body).json()["id"]
    task = client.get(f"/v1/tasks/{task_id}", params={"wait": 20}).json()
    assert list(task) == [*TEN_KEYS, "usage"]
    assert (task["status"], task["progress"], task["error"]) == ("completed", 100, None)
    [completion] = task["results"]
    assert completion["object"] == "chat.completion"
    assert completion["model"] == body["model"]
    assert completion["choices"][0]["message"]["content"]
    assert completion["usage"]["total_tokens"] > 0
    used = task["usage"]
    assert (used["credits_reserved"], used["user_group"]) == (0, "default")
    assert used["served_by"] in ("up", "demo")
    assert used["completion_tokens"] == completion["usage"]["completion_tokens"]


@pytest.mark.parametrize(("prefix", "body"), FORMS)
def test_sync_answers_the_completion_and_records_the_task(
    client: httpx2.Client, prefix: str, body: dict[str, Any]
) -> None:
    response = submit(client, {**body, "sync": True})
    completion = response.json()
    assert response.status_code == 200
    assert completion["object"] == "chat.completion"
    task = client.get(f"/v1/tasks/{response.headers['x-task-id']}").json()
    assert task["status"] == "completed"
    assert task["results"] == [completion]
    assert task["stream"] is None


@pytest.mark.parametrize(("prefix", "body"), FORMS)
def test_sync_stream_is_the_bare_openai_stream(client: httpx2.Client, prefix: str, body: dict[str, Any]) -> None:
    import json

    response = submit(client, {**body, "sync": True, "stream": True})
    lines = [line for line in response.text.split("\n\n") if line]
    assert response.headers["content-type"].startswith("text/event-stream")
    assert lines.pop() == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert all(chunk.get("usage") is None for chunk in chunks)
    task = client.get(f"/v1/tasks/{response.headers['x-task-id']}").json()
    assert text_of(chunks) == task["results"][0]["choices"][0]["message"]["content"]
    assert task["results"][0]["usage"]["total_tokens"] > 0


def test_the_usage_is_shown_in_a_stream_only_to_who_asks(client: httpx2.Client) -> None:
    body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    shown = client.post("/v1/chat/completions", json={**body, "stream_options": {"include_usage": True}}).text
    hidden = client.post("/v1/chat/completions", json=body).text
    assert shown.count('"usage"') == 1
    assert '"usage"' not in hidden


def test_the_upstream_gets_the_request_in_its_own_words(client: httpx2.Client, upstream: Upstream) -> None:
    message = {
        "role": "user",
        "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": IMAGE}}],
    }
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    body = {"model": "gpt-5.4", "messages": [message], "tools": [tool], "tool_choice": "auto", "seed": 7, "top_p": 0.5}
    submit(client, {**body, "sync": True, "max_tokens": 50, "reasoning": True})
    sent = upstream.state()["bodies"][-1]
    assert sent == {**body, "max_tokens": 50, "reasoning_effort": "medium"}
    assert upstream.state()["refused"] == []


def test_reasoning_is_beside_the_content_and_never_in_it(client: httpx2.Client) -> None:
    completion = submit(client, text_request(sync=True, reasoning=True)).json()
    message = completion["choices"][0]["message"]
    assert message["reasoning_content"]
    assert message["reasoning_content"] not in message["content"]
    streamed = submit(client, text_request(sync=True, stream=True, reasoning=True)).text
    assert '"reasoning_content"' in streamed


def test_a_query_waits_for_the_end(client: httpx2.Client, upstream: Upstream) -> None:
    upstream.behave(first_token_ms=600)
    task_id = submit(client, text_request()).json()["id"]
    early = client.get(f"/v1/tasks/{task_id}", params={"sync_upstream": "true"}).json()
    late = client.get(f"/v1/tasks/{task_id}", params={"wait": 20}).json()
    assert early["status"] == "processing"
    assert 0 < early["progress"] < 100
    assert late["status"] == "completed"


def test_a_wait_ends_when_its_time_is_up(client: httpx2.Client, upstream: Upstream) -> None:
    upstream.behave(fail={"stall_rate": 1})
    task_id = submit(client, text_request()).json()["id"]
    assert client.get(f"/v1/tasks/{task_id}", params={"wait": 0.2}).json()["status"] == "processing"
    assert client.post(f"/v1/tasks/{task_id}/cancel").json()["status"] == "cancelled"


def test_tasks_are_seen_by_their_own_key_alone(gateway: Gateway, client: httpx2.Client) -> None:
    task_id = submit(client, text_request(stream=True)).json()["id"]
    with gateway.client(gateway.new_key()) as stranger:
        for method, path in [
            ("GET", f"/v1/tasks/{task_id}"),
            ("GET", f"/v1/llm/generations/{task_id}/stream"),
            ("POST", f"/v1/tasks/{task_id}/cancel"),
        ]:
            response = stranger.request(method, path)
            unknown = stranger.request(method, path.replace(task_id, "task-llm-0"))
            assert response.status_code == unknown.status_code == 404
            assert response.json()["error"]["code"] == "task_not_found"
        assert stranger.get("/v1/tasks").json()["data"] == []


def test_lists_are_newest_first_and_paged(gateway: Gateway) -> None:
    with gateway.client(gateway.new_key()) as client:
        ids = [submit(client, text_request()).json()["id"] for _ in range(5)]
        first = client.get("/v1/tasks", params={"limit": 3}).json()
        rest = client.get("/v1/tasks", params={"limit": 3, "after": first["data"][-1]["id"]}).json()
        assert [task["id"] for task in first["data"] + rest["data"]] == ids[::-1]
        assert (first["has_more"], rest["has_more"]) == (True, False)
        for task_id in ids:
            client.get(f"/v1/tasks/{task_id}", params={"wait": 20})
        done = client.get("/v1/tasks", params={"status": "completed", "model": "gpt-5.5"}).json()["data"]
        assert len(done) == 5
        assert client.get("/v1/tasks", params={"status": "failed"}).json()["data"] == []


@pytest.mark.parametrize("stream", [False, True])
def test_cancel_cuts_the_upstream_call(client: httpx2.Client, upstream: Upstream, stream: bool) -> None:
    upstream.behave(first_token_ms=60_000)
    cut = upstream.state()["cut"]
    task_id = submit(client, text_request(stream=stream)).json()["id"]
    wait_for(lambda: upstream.state()["open"] == 1)
    task = client.post(f"/v1/tasks/{task_id}/cancel").json()
    assert (task["status"], task["results"], task["error"]) == ("cancelled", None, None)
    wait_for(lambda: upstream.state()["cut"] == cut + 1, within_s=1)
    again = client.post(f"/v1/tasks/{task_id}/cancel")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "task_already_finished")
    if stream:
        assert '"code":"task_cancelled"' in client.get(f"/v1/llm/generations/{task_id}/stream").text


def wait_for(condition: Any, within_s: float = 10.0) -> None:
    """Polls a process that has no event to give."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
