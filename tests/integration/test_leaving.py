"""A caller that leaves a sync call, or has it cancelled, takes the call to the provider along."""

import httpx2
import pytest
from tests.integration.test_answers import wait_for
from tests.processes import Gateway, Upstream, text_request


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
        wait_for(lambda: client.get("/v1/tasks").json()["data"] != [])
        assert [task["status"] for task in client.get("/v1/tasks").json()["data"]] == ["cancelled"]


def test_a_sync_call_can_be_cancelled_by_its_id(gateway: Gateway, upstream: Upstream) -> None:
    upstream.behave(tokens=1000, tokens_per_s=10)
    with gateway.client() as client, gateway.client() as other:
        request = text_request(sync=True, stream=True)
        with client.stream("POST", "/v1/llm/generations", json=request) as response:
            task_id = response.headers["x-task-id"]
            assert other.get(f"/v1/tasks/{task_id}").json()["status"] == "processing"
            assert other.post(f"/v1/tasks/{task_id}/cancel").json()["status"] == "cancelled"
            assert "task_cancelled" in response.read().decode()
