"""Bad input of every kind gets its 4xx with the field named; nothing is stored, nothing sent; the server lives."""

import json
import socket
from typing import Any

import httpx2
import pytest
from tests.processes import Gateway, Upstream

PATH = "/v1/llm/generations"
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


def chat(*content: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-5.5", "messages": [{"role": "user", "content": list(content)}], **fields}


BAD: list[tuple[str, bytes | dict[str, Any], int, str, str | None]] = [
    ("not JSON", b"hello", 400, "invalid_json", None),
    ("empty", b"", 400, "invalid_json", None),
    ("10 MB of [", b"[" * 10_000_000, 400, "invalid_json", None),
    ("deep inside a tool", b'{"model":"m","messages":' + b"[" * 5_000_000, 400, "invalid_json", None),
    ("NaN", b'{"model":"gpt-5.5","prompt":"x","temperature":NaN}', 400, "invalid_json", "temperature"),
    ("lone surrogate", b'{"model":"gpt-5.5","prompt":"\\ud800"}', 400, "invalid_json", "prompt"),
    ("not UTF-8", b'{"model":"gpt-5.5","prompt":"\xff"}', 400, "invalid_json", None),
    ("an array", b"[]", 422, "invalid_param", None),
    ("no form", {"model": "gpt-5.5"}, 422, "invalid_request_error", "prompt"),
    ("two forms", {"model": "gpt-5.5", "prompt": "x", "messages": []}, 422, "invalid_request_error", "prompt"),
    ("media twice", {"model": "g", "image_urls": [], "video_urls": []}, 422, "invalid_request_error", "image_urls"),
    ("no model", {"prompt": "x"}, 422, "invalid_param", "model"),
    ("wrong type", {"model": "gpt-5.5", "prompt": 1}, 422, "invalid_param", "prompt"),
    ("null prompt", {"model": "gpt-5.5", "prompt": None}, 422, "invalid_param", "prompt"),
    ("unknown field", {"model": "gpt-5.5", "prompt": "x", "promt": 1}, 422, "invalid_param", "promt"),
    ("unknown in a block", chat({"type": "text", "txt": "x"}), 422, "invalid_param", "messages[0].content[0].txt"),
    ("unknown block", chat({"type": "hologram"}), 422, "invalid_param", "messages[0].content[0].type"),
    ("empty messages", {"model": "gpt-5.5", "messages": []}, 422, "invalid_param", "messages"),
    ("empty content", chat(), 422, "invalid_param", "messages[0].content"),
    ("long prompt", {"model": "gpt-5.5", "prompt": "x" * 100_001}, 422, "invalid_param", "prompt"),
    ("no images", {"model": "gpt-5.5", "prompt": "x", "image_urls": []}, 422, "invalid_param", "image_urls"),
    ("hot", {"model": "gpt-5.5", "prompt": "x", "temperature": 2.1}, 422, "invalid_param", "temperature"),
    ("zero tokens", {"model": "gpt-5.5", "prompt": "x", "max_tokens": 0}, 422, "invalid_param", "max_tokens"),
    ("few tokens", {"model": "gpt-5.5", "prompt": "x", "max_tokens": 15}, 422, "invalid_param", "max_tokens"),
    ("no such model", {"model": "gpt-9", "prompt": "x"}, 422, "model_not_supported", "model"),
    (
        "an image for a text model",
        {"model": "smollm2-135m", "prompt": "x", "image_urls": ["https://e.com/a.png"]},
        422,
        "model_not_support_capability",
        "messages[0].content[1].image_url.url",
    ),
    (
        "a bad data URI",
        {"model": "gpt-5.5", "prompt": "x", "image_urls": ["data:image/png;base64,@@@"]},
        422,
        "invalid_param",
        "messages[0].content[1].image_url.url",
    ),
    (
        "eleven images",
        chat(*[IMAGE] * 11),
        422,
        "model_rule_violation",
        "messages[0].content[10].image_url.url",
    ),
]


@pytest.mark.parametrize(("body", "status", "code", "param"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
@pytest.mark.parametrize("path", [PATH, "/v1/chat/completions"])
def test_bad_input_is_named_and_leaves_no_trace(
    gateway: Gateway,
    upstream: Upstream,
    path: str,
    body: bytes | dict[str, Any],
    status: int,
    code: str,
    param: str | None,
) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    requests = upstream.state()["requests"]
    with gateway.client(a_key(gateway)) as client:
        response = client.post(path, content=raw, headers={"content-type": "application/json"})
        error = response.json()["error"]
        if path == PATH:
            assert (response.status_code, error["code"], error.get("param")) == (status, code, param)
        assert 400 <= response.status_code < 500
        assert error["message"]
        assert response.headers["x-request-id"]
        assert client.get("/v1/tasks").json()["data"] == []
    assert upstream.state()["requests"] == requests


_keys: dict[str, str] = {}


def a_key(gateway: Gateway) -> str:
    """One key for all of these tests, which never gets a task."""
    if gateway.url not in _keys:
        _keys[gateway.url] = gateway.new_key()
    return _keys[gateway.url]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"content-type": "text/plain"}, 400, "invalid_json"),
        ({"content-type": "application/x-www-form-urlencoded"}, 400, "invalid_json"),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415, "unsupported_content_encoding"),
        ({"content-type": "application/json", "content-length": "64000001"}, 413, "request_too_large"),
    ],
)
def test_wrong_headers_are_refused_before_the_body(
    gateway: Gateway, headers: dict[str, str], status: int, code: str
) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in {"content-length": "2", **headers}.items())
    request = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n{head}\r\n{{}}"
    answer = exchange(gateway, request.encode())
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == code


def test_a_chunked_body_is_bounded_too(folder: Any, upstream: Upstream) -> None:
    from tests.processes import channel, running

    with running(Gateway(folder, channel(upstream) + "[server]\nmax_body_bytes = 1000\n")) as gateway:
        headers = f"host: x\r\nauthorization: Bearer {gateway.key}\r\ntransfer-encoding: chunked"
        head = f"POST {PATH} HTTP/1.1\r\n{headers}\r\n\r\n"
        answer = exchange(gateway, head.encode() + (b"1f4\r\n" + b"x" * 500 + b"\r\n") * 3)
        assert answer.startswith(b"HTTP/1.1 413 ")


def test_what_is_no_http_is_answered_in_json(gateway: Gateway) -> None:
    answer = exchange(gateway, b"\x16\x03\x01 hello\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_http"


def exchange(gateway: Gateway, request: bytes) -> bytes:
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer or b"}}" not in answer:
            part = connection.recv(65_536)
            if not part:
                break
            answer += part
        return answer


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/v1/llm/generations/", 404, "not_found"),
        ("GET", PATH, 405, "method_not_allowed"),
        ("DELETE", "/v1/tasks/x", 405, "method_not_allowed"),
        ("GET", "/v1/tasks/task-llm-1", 404, "task_not_found"),
        ("GET", "/v1/tasks?limit=0", 422, "invalid_param"),
        ("GET", "/v1/tasks?limit=101", 422, "invalid_param"),
        ("GET", "/v1/tasks?status=lost", 422, "invalid_param"),
        ("GET", "/v1/tasks/x?wait=61", 422, "invalid_param"),
        ("GET", "/v1/tasks/x?wait=nan", 422, "invalid_param"),
        ("GET", "/v1/models/none", 404, "not_found"),
        ("GET", "/%00%ff", 404, "not_found"),
    ],
)
def test_every_error_on_every_path_has_the_one_shape(
    client: httpx2.Client, method: str, path: str, status: int, code: str
) -> None:
    response = client.request(method, path)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert set(error) <= {"message", "type", "code", "param"}
    assert response.headers["content-type"] == "application/json"
