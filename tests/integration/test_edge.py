"""Headers, CORS, health."""

import json
import re
from pathlib import Path

import httpx2
import pytest
from tests.integration.test_answers import submit
from tests.integration.test_bad_input import exchange
from tests.processes import Gateway, running, text_request


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
    assert "x-should-retry" in exposed
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


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"no http at all\r\n\r\n", b"400"),
        (b"GET /nowhere HTTP/1.1\r\nhost: x\r\n" + b"x-a: " + b"y" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET /nowhere HTTP/1.1\r\nhost: x\r\n" + b"x-a: y\r\n" * 9_000 + b"\r\n", b"431"),
        (b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", b"431"),
    ],
)
def test_what_is_refused_below_the_application_can_be_read_by_a_browser(
    gateway: Gateway, sent: bytes, status: bytes
) -> None:
    head, _, body = exchange(gateway, sent).partition(b"\r\n\r\n")
    assert head.split()[1] == status
    assert b"access-control-allow-origin: *" in head
    assert b"x-request-id" in head.partition(b"access-control-expose-headers: ")[2]
    assert json.loads(body)["error"]["type"] == "invalid_request_error"


def test_a_head_of_60_kb_is_none_too_large(gateway: Gateway) -> None:
    sent = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-a: " + b"y" * 60_000 + b"\r\n\r\n"
    assert exchange(gateway, sent).startswith(b"HTTP/1.1 200 ")


def test_a_page_that_may_not_call_is_told_so_in_our_shape(folder: Path) -> None:
    with running(Gateway(folder, '[server]\ncors_origins = ["https://good.example"]\n')) as gateway:

        def preflight(origin: str) -> httpx2.Response:
            asked = {"origin": origin, "access-control-request-method": "GET"}
            return httpx2.options(f"{gateway.url}/v1/models", headers=asked)

        assert preflight("https://good.example").headers["access-control-allow-origin"] == "https://good.example"
        refused = preflight("https://bad.example")
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "cors_refused")
        assert "access-control-allow-origin" not in refused.headers
        assert b"access-control" not in exchange(gateway, b"no http at all\r\n\r\n")


def test_a_bound_is_written_as_a_number(client: httpx2.Client) -> None:
    assert "from 1 to 1000000." in client.get("/v1/usage", params={"page": 0}).json()["error"]["message"]
    assert (
        "from 0 to 9007199254740992."
        in client.get("/v1/tasks", params={"created_after": -1}).json()["error"]["message"]
    )
    assert "from 0 to 60." in client.get("/v1/tasks/x", params={"wait": 61}).json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "end"), [("GET", ""), ("GET", "?stream=true"), ("POST", "/cancel"), ("GET", "/input_items")]
)
def test_a_response_that_is_gone_is_told_by_its_own_name(client: httpx2.Client, method: str, end: str) -> None:
    error = client.request(method, f"/v1/responses/resp_1776874481rj6bs3yb{end}").json()["error"]
    assert (error["code"], error["param"]) == ("task_not_found", "response_id")
    assert "There is no response `resp_1776874481rj6bs3yb`" in error["message"]
