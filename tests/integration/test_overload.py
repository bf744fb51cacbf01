"""More connections than there is room for, and a process without descriptors: told at once; it comes back by itself."""

import json
import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from tests.integration.test_answers import submit, wait_for
from tests.processes import Gateway, Process, Upstream, channel, running, text_request

from reynard.http import door

GET = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
MOST = 20


@contextmanager
def connections(gateway: Gateway, count: int) -> Iterator[list[socket.socket]]:
    """Open, and silent."""
    port = int(gateway.url.rpartition(":")[2])
    opened = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(count)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


def told(connection: socket.socket, asked: bytes = GET) -> bytes:
    """All that the gateway says on it, to the end."""
    answer = b""
    try:
        connection.sendall(asked)
        while part := connection.recv(65_536):
            answer += part
    except ConnectionError:
        pass
    return answer


def opened(gateway: Process) -> list[int]:
    """Its descriptors."""
    return [int(path.name) for path in Path(f"/proc/{gateway.popen.pid}/fd").iterdir()]


def descriptors(gateway: Process) -> int:
    return len(opened(gateway))


def limited(gateway: Process, most: int) -> None:
    """From now on, as an operator's `prlimit` does it."""
    _, hard = resource.prlimit(gateway.popen.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(gateway.popen.pid, resource.RLIMIT_NOFILE, (most, hard))


def cpu_s(gateway: Process) -> float:
    fields = Path(f"/proc/{gateway.popen.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def log_of(gateway: Gateway) -> list[str]:
    return (gateway.folder / "gateway.log").read_text().splitlines()


def is_open(gateway: Gateway) -> bool:
    try:
        return httpx2.get(f"{gateway.url}/healthz").status_code == 200
    except httpx2.TransportError:
        return False


def ended(client: httpx2.Client, task_id: str) -> str:
    return str(client.get(f"/v1/tasks/{task_id}", params={"wait": 20}).json()["status"])


@pytest.fixture
def small(folder: Path, upstream: Upstream) -> Iterator[Gateway]:
    with running(Gateway(folder, f"[server]\nmax_connections = {MOST}\n{channel(upstream)}")) as gateway:
        yield gateway


def test_one_connection_too_many_is_told_so_and_closed(small: Gateway, upstream: Upstream) -> None:
    upstream.behave(first_token_ms=300)
    with small.client() as client:
        task_id = submit(client, text_request()).json()["id"]
        with connections(small, MOST - 1), connections(small, 1) as [refused]:
            head, _, body = told(refused).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b"\r\nretry-after: 1\r\n" in head
            assert b"\r\nx-request-id: req-" in head
            assert b"\r\naccess-control-allow-origin: *\r\naccess-control-expose-headers: x-request-id," in head
            error = json.loads(body)["error"]
            assert (error["code"], error["type"]) == ("overloaded", "service_unavailable_error")
            assert ended(client, task_id) == "completed"  # who was there before goes on
        wait_for(lambda: is_open(small))


def test_a_browser_gets_leave_to_read_that_there_is_no_room(small: Gateway) -> None:
    asked = GET.replace(b"GET", b"OPTIONS").strip() + b"\r\nAccess-Control-Request-Method: POST\r\n\r\n"
    with connections(small, MOST), connections(small, 1) as [refused]:
        answer = told(refused, asked)
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert b"access-control-allow-headers: *, authorization\r\n" in answer


def test_a_thousand_too_many_are_refused_with_one_line_and_leave_nothing(small: Gateway) -> None:
    with connections(small, MOST), connections(small, 500) as many:
        answers = [told(connection) for connection in many]
        assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in answers)
        assert descriptors(small) < 100 + MOST
    wait_for(lambda: is_open(small))
    [line] = log_of(small)
    assert "no room for more connections" in line


def test_one_that_is_refused_and_says_nothing_is_let_go(small: Gateway) -> None:
    with connections(small, MOST), connections(small, 1) as [silent]:
        assert silent.recv(65_536).startswith(b"HTTP/1.1 503 ")


def test_the_last_descriptors_are_not_the_clients(folder: Path, upstream: Upstream) -> None:
    """Connections to providers, the store and files have what the door keeps back."""
    with running(Gateway(folder, channel(upstream))) as gateway, gateway.client() as client:
        submit(client, text_request(sync=True))
        limit = descriptors(gateway) + 60
        limited(gateway, limit)
        with connections(gateway, 80) as many:
            wait_for(lambda: descriptors(gateway) >= limit - door.headroom(limit))
            assert told(many[-1]).startswith(b"HTTP/1.1 503 ")
            assert all(submit(client, text_request(sync=True)).status_code == 200 for _ in range(20))
            assert client.post("/v1/files/upload/base64", json={"file_data": "aGVsbG8="}).status_code == 200
        wait_for(lambda: is_open(gateway))


def test_without_any_descriptor_it_waits_and_comes_back(folder: Path, upstream: Upstream) -> None:
    """Not even one for `accept`, for the way to a provider or for a file: what is there goes on."""
    upstream.behave(first_token_ms=300)
    elsewhere = channel(upstream, name="elsewhere", models='["gpt-5.4"]').replace("127.0.0.1", "localhost")
    config = channel(upstream, models='["gpt-5.5"]') + elsewhere
    with running(Gateway(folder, config)) as gateway, gateway.client() as client:
        under_way = submit(client, text_request()).json()["id"]
        before, wide = cpu_s(gateway), resource.prlimit(gateway.popen.pid, resource.RLIMIT_NOFILE)[0]
        wait_for(lambda: upstream.state()["open"] == 1)
        limited(gateway, 8)
        with connections(gateway, 30):
            assert ended(client, under_way) == "completed"
            kept = submit(client, text_request()).json()["id"]  # on the connection to the provider that there is
            failed = submit(client, text_request(sync=True, model="gpt-5.4"))
            assert (failed.status_code, failed.json()["error"]["code"]) == (502, "all_platforms_exhausted")
            refused = client.post("/v1/files/upload/base64", json={"file_data": "aGVsbG8="})
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
            assert client.get("/v1/files").json()["data"] == []
            time.sleep(1.0)  # in which it might burn its processor and fill its log
        assert cpu_s(gateway) - before < 1.5
        assert sum("no file descriptor left" in line for line in log_of(gateway)) == 1
        assert len(log_of(gateway)) < 10, log_of(gateway)
        limited(gateway, wide)
        wait_for(lambda: is_open(gateway))
        assert ended(client, kept) == "completed"
        assert submit(client, text_request(sync=True)).status_code == 200
        assert client.post("/v1/files/upload/base64", json={"file_data": "aGVsbG8="}).status_code == 200


def test_with_the_last_descriptor_nobody_is_left_waiting(gateway: Gateway) -> None:
    """libuv closes some in silence, all of a burst perhaps, until the gateway sees it; then they are told."""

    def is_told() -> bool:
        with connections(gateway, 1) as [connection]:
            return told(connection).startswith(b"HTTP/1.1 503 ")

    wide = resource.prlimit(gateway.popen.pid, resource.RLIMIT_NOFILE)[0]
    limited(gateway, max(opened(gateway)) + 1)
    try:
        with connections(gateway, 60) as silent:
            answers = [told(connection) for connection in silent]
        assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in answers if answer)
        wait_for(is_told)
    finally:
        limited(gateway, wide)
    wait_for(lambda: is_open(gateway))


def test_the_soft_limit_is_raised_at_the_start(gateway: Gateway) -> None:
    soft, hard = resource.prlimit(gateway.popen.pid, resource.RLIMIT_NOFILE)
    assert soft == min(hard, door.MOST_DESCRIPTORS)


@pytest.mark.parametrize(("limit", "most"), [(256, 96), (1_024, 480), (20_000, 9_968), (door.MOST_DESCRIPTORS, 32_768)])
def test_what_is_let_in_follows_from_the_descriptors(limit: int, most: int) -> None:
    assert door.most_connections(limit) == most
