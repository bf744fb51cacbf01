"""Providers, clients and stores that misbehave in ways of their own."""

import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from tests.integration.test_answers import submit, wait_for
from tests.integration.test_bad_input import exchange
from tests.processes import FORGIVING, Gateway, Upstream, channel, events, running, text_request
from tests.raw import STREAM, event, provider

WHOLE = STREAM + event("Hello") + event("", "stop") + b"data: [DONE]\n\n"


def raw_channel(url: str, more: str = "") -> str:
    return f'[[channels]]\nname = "raw"\ndialect = "openai"\nbase_url = "{url}/v1"\nmodels = ["gpt-5.5"]\n{more}\n'


@contextmanager
def held(gateway: Gateway) -> Iterator[None]:
    """The store's write lock, taken by somebody else."""
    connection = sqlite3.connect(gateway.folder / "data" / "reynard.db", isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_a_provider_that_holds_the_line_after_the_end_keeps_nobody_waiting(folder: Path) -> None:
    hold = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.sendall(WHOLE)
        hold.wait(20)

    with provider(answer) as url, running(Gateway(folder, raw_channel(url))) as gateway, gateway.client() as client:
        began = time.monotonic()
        response = submit(client, text_request(sync=True, stream=True))
        assert response.text.endswith("data: [DONE]\n\n")
        assert time.monotonic() - began < 5
        hold.set()


def test_a_provider_that_goes_on_after_the_end_is_left(folder: Path) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(WHOLE)
        while True:
            connection.sendall(event("more") * 100)

    with provider(answer) as url, running(Gateway(folder, raw_channel(url))) as gateway, gateway.client() as client:
        task = submit(client, text_request(stream=True)).json()
        ended = client.get(f"/v1/tasks/{task['id']}", params={"wait": 20}).json()
        assert ended["results"][0]["choices"][0]["message"]["content"] == "Hello"


def test_an_endless_answer_is_bounded(folder: Path) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(STREAM)
        while True:
            connection.sendall(event("x" * 100_000))

    with provider(answer) as url, running(Gateway(folder, raw_channel(url))) as gateway, gateway.client() as client:
        seen = 0
        with client.stream("POST", "/v1/llm/generations", json=text_request(sync=True, stream=True)) as response:
            last = b""
            for part in response.iter_raw():
                seen += len(part)
                last = (last + part)[-500:]
        assert b'"error"' in last
        assert seen < 100_000_000
        assert gateway.resident_bytes < 400_000_000


def test_a_long_refusal_is_still_a_refusal(folder: Path) -> None:
    asked = 0

    def answer(connection: socket.socket) -> None:
        nonlocal asked
        asked += 1
        head = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 500000\r\n\r\n"
        connection.sendall(head + b"x" * 500_000)

    with provider(answer) as url, running(Gateway(folder, raw_channel(url))) as gateway, gateway.client() as client:
        response = submit(client, text_request(sync=True))
        assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_parameters")
        assert asked == 1


@pytest.mark.parametrize("wait", ["inf", "nan", "-1", "1e400", "soon", "9" * 400])
def test_a_retry_after_that_is_no_number_is_passed_over(folder: Path, wait: str) -> None:
    def answer(connection: socket.socket) -> None:
        head = f"HTTP/1.1 429 Slow\r\nretry-after: {wait}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}"
        connection.sendall(head.encode())

    with (
        provider(answer) as url,
        running(Gateway(folder, raw_channel(url, FORGIVING))) as gateway,
        gateway.client() as client,
    ):
        response = submit(client, text_request(sync=True))
        assert (response.status_code, response.json()["error"]["code"]) == (503, "upstream_rate_limited")


def test_a_full_channel_does_not_hide_a_free_one(folder: Path, upstream: Upstream) -> None:
    upstream.behave(first_token_ms=60_000)
    with provider(lambda connection: connection.sendall(WHOLE)) as url:
        config = channel(upstream, name="full", more="concurrency = 1") + raw_channel(url, "priority = 1")
        with running(Gateway(folder, config)) as gateway, gateway.client() as client:
            submit(client, text_request())
            wait_for(lambda: upstream.state()["open"] == 1)
            assert "Hello" in submit(client, text_request(sync=True, stream=True)).text


def test_a_slow_reader_is_not_the_providers_fault(folder: Path, upstream: Upstream) -> None:
    upstream.behave(tokens=60_000)
    with (
        running(Gateway(folder, channel(upstream, more="idle_timeout_s = 0.3"))) as gateway,
        gateway.client() as client,
    ):
        with client.stream("POST", "/v1/llm/generations", json=text_request(sync=True, stream=True)) as response:
            parts = response.iter_raw()
            text = next(parts)
            time.sleep(1.0)  # the reader is slow: that is what is tested
            text += b"".join(parts)
        assert text.endswith(b"data: [DONE]\n\n")


def test_headers_are_bounded(gateway: Gateway) -> None:
    flood = b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + b"x-flood: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 10_000
    answer = exchange(gateway, flood)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"headers_too_large" in answer


def test_no_task_is_shown_completed_before_it_is(client: httpx2.Client, upstream: Upstream) -> None:
    for _ in range(50):
        task_id = submit(client, text_request()).json()["id"]
        while (task := client.get(f"/v1/tasks/{task_id}").json())["status"] != "completed":
            assert task["results"] is None
        assert task["results"]


def test_the_end_of_a_call_waits_for_a_store_that_is_locked(folder: Path, upstream: Upstream) -> None:
    upstream.behave(tokens=10, tokens_per_s=20)
    with (
        running(Gateway(folder, channel(upstream))) as gateway,
        gateway.client() as client,
        ThreadPoolExecutor(2) as pool,
    ):
        streamed = pool.submit(submit, client, text_request(sync=True, stream=True))
        wait_for(lambda: upstream.state()["open"] == 1)
        with held(gateway):
            whole = pool.submit(submit, client, text_request(sync=True))
            for _ in range(2):  # each after the store's own patience, and the ends of the calls with them
                refused = submit(client, text_request())
                assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
        assert streamed.result().text.endswith("data: [DONE]\n\n")
        assert whole.result().status_code == 200
        tasks = client.get("/v1/tasks").json()["data"]
        assert [task["status"] for task in tasks] == ["completed", "completed"]


def test_a_task_that_cannot_be_read_holds_up_no_other(folder: Path, upstream: Upstream) -> None:
    upstream.behave(first_token_ms=60_000)
    config = channel(upstream) + "[engine]\nmax_running = 1\n"
    with running(Gateway(folder, config)) as gateway, gateway.client() as client:
        ids = [submit(client, text_request(stream=True)).json()["id"] for _ in range(4)]
        gateway.kill()
    with sqlite3.connect(folder / "data" / "reynard.db") as connection:
        connection.execute("UPDATE tasks SET generation = ? WHERE id = ?", (b'{"messages": 1}', ids[1]))
    connection.close()
    upstream.behave()
    with running(Gateway(folder)) as gateway, gateway.client() as client:
        ended = [client.get(f"/v1/tasks/{task_id}", params={"wait": 20}).json() for task_id in ids]
        assert [task["status"] for task in ended] == ["completed", "failed", "completed", "completed"]
        assert ended[1]["error"]["code"] == "server_restarted"
        assert events(client.get(ended[1]["stream"]["url"] if ended[1]["stream"] else "").text)[-1][0] == "error"


def test_a_call_cut_by_a_stop_is_told_so(folder: Path, upstream: Upstream) -> None:
    upstream.behave(first_token_ms=60_000)
    gateway = Gateway(folder, channel(upstream) + "[server]\ndrain_s = 0.1\n")
    with running(gateway), gateway.client() as client, ThreadPoolExecutor(1) as pool:
        call = pool.submit(submit, client, text_request(sync=True))
        wait_for(lambda: upstream.state()["open"] == 1)
        assert gateway.stop() == 0
        response = call.result()
        assert (response.status_code, response.json()["error"]["code"]) == (503, "server_restarted")


def test_a_gateway_that_stops_lets_nobody_in_and_answers_who_is_there(folder: Path, upstream: Upstream) -> None:
    upstream.behave(first_token_ms=1000)
    gateway = Gateway(folder, channel(upstream))
    address = ("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    with running(gateway), gateway.client() as client, ThreadPoolExecutor(1) as pool:
        with socket.create_connection(address, timeout=10) as idle:
            call = pool.submit(submit, client, text_request(sync=True))
            wait_for(lambda: upstream.state()["open"] == 1)
            gateway.popen.send_signal(signal.SIGTERM)
            assert idle.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=10)
        assert not call.done()
        response = call.result()
        assert (response.status_code, response.headers["connection"]) == (200, "close")
        assert gateway.close() == 0


def test_a_client_that_leaves_a_stream_leaves_no_traceback(folder: Path, upstream: Upstream) -> None:
    upstream.behave(tokens=1000, tokens_per_s=50)
    with running(Gateway(folder, channel(upstream))) as gateway, gateway.client() as client:
        with client.stream("POST", "/v1/llm/generations", json=text_request(sync=True, stream=True)) as response:
            next(response.iter_raw())
        wait_for(lambda: client.get("/v1/tasks").json()["data"][0]["status"] == "cancelled")
        assert "Traceback" not in (folder / "gateway.log").read_text()


def test_the_end_of_a_stream_does_not_wait_for_the_idle_clock(folder: Path) -> None:
    hold = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.sendall(WHOLE)
        hold.wait(20)

    config = "idle_timeout_s = 0.2"
    with (
        provider(answer) as url,
        running(Gateway(folder, raw_channel(url, config))) as gateway,
        gateway.client() as client,
    ):
        assert submit(client, text_request(sync=True, stream=True)).text.endswith("data: [DONE]\n\n")
        hold.set()


@pytest.mark.parametrize("trailer", [b"x-flood: " + b"y" * 40 + b"\r\n", b"y" * 64], ids=["many", "one"])
def test_trailers_are_bounded(gateway: Gateway, trailer: bytes) -> None:
    head = b"POST /v1/llm/generations HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(head)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            flood(connection, trailer * 100)


def flood(connection: socket.socket, data: bytes) -> None:
    for _ in range(100_000):
        connection.sendall(data)


def test_trailers_are_no_headers(gateway: Gateway) -> None:
    head = b"POST /v1/llm/generations HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    answer = exchange(gateway, head + b"authorization: Bearer " + gateway.key.encode() + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_a_hundred_requests_in_one_packet_are_answered(gateway: Gateway) -> None:
    body = b'{"model":"gpt-5.5","prompt":"' + b"x" * 2_000 + b'"}'
    head = f"POST /v1/llm/generations HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(request * 100)
        answers = b""
        while answers.count(b"HTTP/1.1 200 OK") < 100:
            part = connection.recv(65_536)
            assert part, answers[-500:]
            answers += part


def test_a_large_body_in_small_chunks_is_taken(client: httpx2.Client) -> None:
    start = b'{"model":"gpt-5.5","sync":true,"prompt":"Look","image_urls":["data:image/png;base64,'

    def body() -> Iterator[bytes]:
        yield start
        for _ in range(20_000):
            yield b"QUJD" * 16
        yield b'"]}'

    response = client.post("/v1/llm/generations", content=body(), headers={"content-type": "application/json"})
    assert response.status_code == 200


def test_a_key_in_a_file_is_read_anew(folder: Path, upstream: Upstream) -> None:
    secret = folder / "key"
    secret.write_text("sk-old")
    config = channel(upstream).replace('"sk-upstream"', f'"file:{secret}"')
    with running(Gateway(folder, config)) as gateway, gateway.client() as client:
        assert submit(client, text_request(sync=True)).json()["error"]["code"] == "upstream_auth_failed"
        secret.write_text("sk-upstream\n")
        gateway.popen.send_signal(signal.SIGHUP)
        wait_for(lambda: submit(client, text_request(sync=True)).status_code == 200)
