"""A caller that leaves a sync call, or has it cancelled, takes the call to the provider along."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx2
import pytest
from tests.integration.test_answers import wait_for
from tests.processes import Gateway, Upstream, text_request

HI: Final = [{"role": "user", "content": "Hi"}]
TALKS: Final[dict[str, dict[str, Any]]] = {
    "/v1/chat/completions": {"model": "gpt-5.5", "messages": HI},
    "/v1/messages": {"model": "gpt-5.5", "messages": HI, "max_tokens": 50},
    "/v1/responses": {"model": "gpt-5.5", "input": "Hi"},
}


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_takes_its_upstream_call_along(gateway: Gateway, upstream: Upstream, stream: bool) -> None:
    upstream.behave(first_token_ms=400, tokens=1000, tokens_per_s=10)
    before = upstream.state()["cut"]
    with gateway.client(gateway.new_key()) as client:
        request = text_request(sync=True, stream=stream)
        if stream:
            with client.stream("POST", "/v1/llm/generations", json=request) as response:
                next(response.iter_raw())
        else:
            with pytest.raises(httpx2.ReadTimeout):
                client.post("/v1/llm/generations", json=request, timeout=0.2)
        wait_for(lambda: upstream.state()["cut"] == before + 1, within_s=1)
        wait_for(lambda: [task["status"] for task in client.get("/v1/tasks").json()["data"]] == ["cancelled"])


def test_a_sync_call_can_be_cancelled_by_its_id(gateway: Gateway, upstream: Upstream) -> None:
    upstream.behave(tokens=1000, tokens_per_s=10)
    with gateway.client() as client, gateway.client() as other:
        request = text_request(sync=True, stream=True)
        with client.stream("POST", "/v1/llm/generations", json=request) as response:
            task_id = response.headers["x-task-id"]
            assert other.get(f"/v1/tasks/{task_id}").json()["status"] == "processing"
            assert other.post(f"/v1/tasks/{task_id}/cancel").json()["status"] == "cancelled"
            assert "task_cancelled" in response.read().decode()


@pytest.mark.parametrize("path", ["/v1/llm/generations", "/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_a_call_that_was_cancelled_by_its_id_is_not_begun_again(
    gateway: Gateway, upstream: Upstream, path: str
) -> None:
    """Its client was answered: an SDK that sends the call again by itself would pay twice."""
    upstream.behave(first_token_ms=60_000)
    requests = upstream.state()["requests"]
    named = {"idempotency-key": "cancelled"}
    body = text_request(sync=True) if path.endswith("generations") else TALKS[path]
    with gateway.client(gateway.new_key()) as client, ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.post, path, json=body, headers=named)
        wait_for(lambda: upstream.state()["requests"] == requests + 1)
        [task] = client.get("/v1/tasks").json()["data"]
        assert client.post(f"/v1/tasks/{task['id']}/cancel").status_code == 200
        again = client.post(path, json=body, headers=named)
        for answer in (call.result(), again):
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "task_cancelled")
            assert answer.headers["x-should-retry"] == "false"
            assert answer.headers["x-task-id"] == task["id"]
        assert upstream.state()["requests"] == requests + 1
        assert client.get(f"/v1/tasks/{task['id']}").json()["error"] is None


def test_a_call_whose_client_left_is_begun_again(gateway: Gateway, upstream: Upstream) -> None:
    upstream.behave(first_token_ms=60_000)
    named = {"idempotency-key": "left"}
    with gateway.client(gateway.new_key()) as client:
        with pytest.raises(httpx2.ReadTimeout):
            client.post("/v1/llm/generations", json=text_request(sync=True), headers=named, timeout=0.3)
        wait_for(lambda: [task["status"] for task in client.get("/v1/tasks").json()["data"]] == ["cancelled"])
        upstream.behave()
        again = client.post("/v1/llm/generations", json=text_request(sync=True), headers=named)
        assert (again.status_code, "idempotent-replayed" in again.headers) == (200, False)
