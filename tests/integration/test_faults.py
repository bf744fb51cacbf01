"""What a provider does wrong, and what the caller sees: the complete answer from another channel, or a clear error."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.integration.test_answers import submit, wait_for
from tests.processes import FORGIVING, Gateway, Upstream, channel, events, running, text_request

ALONE: dict[str, tuple[dict[str, Any], int, str]] = {
    "status 500": ({"fail": {"status": 500, "rate": 1}}, 502, "all_platforms_exhausted"),
    "status 429": ({"fail": {"status": 429, "rate": 1}}, 503, "upstream_rate_limited"),
    "status 401": ({"fail": {"status": 401, "rate": 1}}, 502, "upstream_auth_failed"),
    "status 400": ({"fail": {"status": 400, "rate": 1}}, 422, "invalid_parameters"),
    "reset": ({"fail": {"reset_rate": 1}}, 502, "all_platforms_exhausted"),
    "cut": ({"fail": {"cut_stream_rate": 1}}, 502, "all_platforms_exhausted"),
    "garbage": ({"fail": {"garbage_rate": 1}}, 502, "all_platforms_exhausted"),
    "stall": ({"fail": {"stall_rate": 1}}, 504, "generation_timeout"),
    "nothing": ({"tokens": 0}, 502, "generation_failed_no_content"),
    "silence": ({"first_token_ms": 60_000}, 504, "generation_timeout"),
}
STREAMED: dict[str, tuple[dict[str, Any], int, str]] = {
    **ALONE,
    "error event": ({"fail": {"error_event_rate": 1}}, 502, "all_platforms_exhausted"),
    "no end": ({"fail": {"no_end_rate": 1}}, 502, "all_platforms_exhausted"),
}
OF_THE_REQUEST = {"status 400"}  # another channel would answer the same
UNBEGUN = {*OF_THE_REQUEST, "nothing"}  # of which no part of an answer was handed out
TIMEOUTS = "first_byte_timeout_s = 0.5\nidle_timeout_s = 0.5\nanswer_timeout_s = 0.5"


@pytest.fixture(scope="module")
def bad_upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with running(Upstream(tmp_path_factory.mktemp("bad"))) as process:
        yield process


@pytest.fixture(scope="module")
def own_gateway(
    tmp_path_factory: pytest.TempPathFactory, bad_upstream: Upstream, shared_upstream: Upstream
) -> Iterator[Gateway]:
    """gpt-5.5 has the bad provider first and a good one behind it; gpt-5.4 has the bad one alone."""
    config = channel(bad_upstream, name="bad", more=FORGIVING + TIMEOUTS) + channel(
        shared_upstream, name="good", models='["gpt-5.5"]', more="priority = 1"
    )
    with running(Gateway(tmp_path_factory.mktemp("faults"), config)) as process:
        yield process


@pytest.fixture
def client(own_gateway: Gateway, upstream: Upstream) -> Iterator[httpx2.Client]:
    with own_gateway.client() as opened:
        yield opened


@pytest.mark.parametrize("fault", ALONE)
def test_alone_json(client: httpx2.Client, bad_upstream: Upstream, fault: str) -> None:
    behaviour, status, code = ALONE[fault]
    bad_upstream.behave(**behaviour)
    response = submit(client, text_request(model="gpt-5.4", sync=True))
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    task = client.get(f"/v1/tasks/{response.headers['x-task-id']}").json()
    assert (task["status"], task["error"]["code"], task["results"]) == ("failed", code, None)
    assert task["error"]["type"] == "task_error"


@pytest.mark.parametrize("fault", STREAMED)
def test_alone_async_stream(client: httpx2.Client, bad_upstream: Upstream, fault: str) -> None:
    behaviour, _, code = STREAMED[fault]
    bad_upstream.behave(**behaviour)
    task = submit(client, text_request(model="gpt-5.4", stream=True)).json()
    ended = client.get(f"/v1/tasks/{task['id']}", params={"wait": 20}).json()
    assert (ended["status"], ended["error"]["code"]) == ("failed", code)
    name, _, data = events(client.get(task["stream"]["url"]).text)[-1]
    assert name == "error"
    assert json.loads(data) == ended["error"]


@pytest.mark.parametrize("fault", STREAMED)
def test_alone_sync_stream_never_ends_well(client: httpx2.Client, bad_upstream: Upstream, fault: str) -> None:
    behaviour, status, code = STREAMED[fault]
    bad_upstream.behave(**behaviour)
    response = submit(client, text_request(model="gpt-5.4", sync=True, stream=True))
    assert "[DONE]" not in response.text
    if response.status_code == 200:  # it began: the error is in the stream
        last = response.text.strip().split("\n\n")[-1].removeprefix("data: ")
        assert json.loads(last)["error"]["code"] == (code if fault in UNBEGUN else "stream_interrupted")
    else:
        assert response.status_code == status


@pytest.mark.parametrize("fault", [fault for fault in STREAMED if fault not in OF_THE_REQUEST])
@pytest.mark.parametrize("fields", [{"sync": True}, {}, {"stream": True}], ids=["sync", "async", "async stream"])
def test_with_a_second_channel_the_answer_is_whole(
    client: httpx2.Client, bad_upstream: Upstream, fault: str, fields: dict[str, Any]
) -> None:
    bad_upstream.behave(**STREAMED[fault][0])
    expected = submit(client, text_request(model="gpt-5.5", sync=True)).json()["choices"]
    response = submit(client, text_request(model="gpt-5.5", **fields))
    task = client.get(f"/v1/tasks/{response.headers['x-task-id']}", params={"wait": 20}).json()
    assert task["status"] == "completed"
    assert task["results"][0]["choices"] == expected
    if fields.get("stream"):
        assert events(client.get(task["stream"]["url"]).text)[-1][0] == "done"


def test_a_fault_of_the_request_is_not_tried_elsewhere(
    client: httpx2.Client, bad_upstream: Upstream, upstream: Upstream
) -> None:
    bad_upstream.behave(fail={"status": 400, "rate": 1})
    requests = upstream.state()["requests"]
    assert submit(client, text_request(model="gpt-5.5", sync=True)).status_code == 422
    assert upstream.state()["requests"] == requests


def test_no_provider_is_hammered(client: httpx2.Client, bad_upstream: Upstream) -> None:
    bad_upstream.behave(fail={"status": 500, "rate": 1})
    requests = bad_upstream.state()["requests"]
    submit(client, text_request(model="gpt-5.4", sync=True))
    assert bad_upstream.state()["requests"] - requests == 3


def test_what_was_read_is_never_followed_by_another_text(client: httpx2.Client, bad_upstream: Upstream) -> None:
    bad_upstream.behave(tokens=50, tokens_per_s=100, fail={"cut_stream_rate": 1})
    task = submit(client, text_request(model="gpt-5.5", stream=True)).json()
    read = events(client.get(task["stream"]["url"]).text)  # from its first chunk on
    assert read[-1][0] == "error"
    assert json.loads(read[-1][2])["code"] == "stream_interrupted"
    assert events(client.get(task["stream"]["url"]).text) == read
    assert client.get(f"/v1/tasks/{task['id']}").json()["error"]["code"] == "stream_interrupted"


def test_slow_bytes_are_still_whole(client: httpx2.Client, bad_upstream: Upstream) -> None:
    bad_upstream.behave(tokens=2, fail={"slow_bytes_ms": 1})
    response = submit(client, text_request(model="gpt-5.4", sync=True, stream=True))
    assert response.text.strip().endswith("data: [DONE]")


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_takes_its_upstream_call_along(
    own_gateway: Gateway, bad_upstream: Upstream, stream: bool, folder: Path
) -> None:
    bad_upstream.behave(first_token_ms=400, tokens=1000, tokens_per_s=10)
    before = bad_upstream.state()["cut"]
    with own_gateway.client(own_gateway.new_key()) as client:
        request = text_request(model="gpt-5.4", sync=True, stream=stream)
        if stream:
            with client.stream("POST", "/v1/llm/generations", json=request) as response:
                next(response.iter_raw())
        else:
            with pytest.raises(httpx2.ReadTimeout):
                client.post("/v1/llm/generations", json=request, timeout=0.2)
        wait_for(lambda: bad_upstream.state()["cut"] == before + 1, within_s=1)
        wait_for(lambda: client.get("/v1/tasks").json()["data"] != [])
        assert [task["status"] for task in client.get("/v1/tasks").json()["data"]] == ["cancelled"]


def test_a_sync_call_can_be_cancelled_by_its_id(own_gateway: Gateway, bad_upstream: Upstream) -> None:
    bad_upstream.behave(tokens=1000, tokens_per_s=10)
    with own_gateway.client() as client, own_gateway.client() as other:
        request = text_request(model="gpt-5.4", sync=True, stream=True)
        with client.stream("POST", "/v1/llm/generations", json=request) as response:
            task_id = response.headers["x-task-id"]
            assert other.get(f"/v1/tasks/{task_id}").json()["status"] == "processing"
            assert other.post(f"/v1/tasks/{task_id}/cancel").json()["status"] == "cancelled"
            assert "task_cancelled" in response.read().decode()
