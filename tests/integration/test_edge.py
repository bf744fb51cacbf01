"""Headers, CORS, health."""

import re

import httpx2
import pytest
from tests.integration.test_answers import submit
from tests.processes import Gateway, text_request


def test_every_answer_has_a_request_id(client: httpx2.Client) -> None:
    for path in ("/healthz", "/nowhere", "/v1/models"):
        assert re.fullmatch(r"req-[0-9a-f]{24}", client.get(path).headers["x-request-id"])


@pytest.mark.parametrize(("sent", "kept"), [("abc-1:2.3_4", True), ("a b", False), ("x" * 129, False), ("é", False)])
def test_a_sane_request_id_is_kept(client: httpx2.Client, sent: str, kept: bool) -> None:
    got = client.get("/healthz", headers={b"x-request-id": sent.encode("latin-1")}).headers["x-request-id"]
    assert (got == sent) is kept


def test_browsers_may_call_from_anywhere(client: httpx2.Client) -> None:
    preflight = client.options(
        "/v1/llm/generations",
        headers={
            "origin": "https://app.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization, content-type, idempotency-key",
        },
    )
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "idempotency-key" in preflight.headers["access-control-allow-headers"].lower()
    answer = client.post("/v1/llm/generations", json=text_request(sync=True), headers={"origin": "https://app.example"})
    exposed = answer.headers["access-control-expose-headers"]
    assert all(name in exposed for name in ("x-request-id", "x-task-id", "retry-after", "x-ratelimit-limit-requests"))
    assert "access-control-allow-credentials" not in answer.headers


def test_an_error_can_be_read_by_a_browser_too(gateway: Gateway) -> None:
    response = httpx2.get(f"{gateway.url}/v1/models", headers={"origin": "https://app.example"})
    assert response.status_code == 401
    assert response.headers["access-control-allow-origin"] == "*"


def test_health_needs_no_key(gateway: Gateway) -> None:
    assert httpx2.get(f"{gateway.url}/healthz").json() == {"status": "ok"}
    assert httpx2.get(f"{gateway.url}/readyz").json() == {"status": "ready"}


def test_models_are_listed_with_what_they_take(client: httpx2.Client) -> None:
    models = client.get("/v1/configs/llm_generations_models").json()
    assert models["object"] == "list"
    taken = {model["id"]: model["capabilities"] for model in models["data"]}
    assert taken["gemini-2.5-pro"] == ["text", "vision", "video", "audio", "file"]
    assert taken["claude-opus-4-7"] == ["text", "vision", "file"]
    assert {model["object"] for model in models["data"]} == {"model"}


def test_a_key_bound_to_nothing_that_is_there_sees_an_empty_list(gateway: Gateway) -> None:
    with gateway.client(gateway.new_key("--models", "none-such")) as client:
        response = client.get("/v1/configs/llm_generations_models")
        assert (response.status_code, response.json()) == (200, {"object": "list", "data": []})


def test_a_simulated_answer_says_that_it_is_one(client: httpx2.Client) -> None:
    body = {"model": "claude-opus-4-7", "prompt": "Hello", "sync": True}
    assert submit(client, body).json()["system_fingerprint"] == "simulated"
