"""Subscribers that read nothing: they slow nobody else, and what the gateway holds for each is bounded."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest
from tests.integration.test_answers import submit, wait_for
from tests.processes import FreshGateway, Gateway, Upstream, channel, events, running, text_request

TOKENS = 30_000  # some seven megabytes as events, which is more than the kernel keeps for a reader
MOST_EACH = 400_000
STREAM = 30_000_000  # what the gateway keeps of the stream itself


@contextmanager
def deaf(gateway: Gateway, path: str) -> Iterator[socket.socket]:
    """A subscriber that asks, and then reads nothing; its own buffer is as small as the kernel has it."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", int(gateway.url.rpartition(":")[2])))
        head = f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n\r\n"
        connection.sendall(head.encode())
        yield connection


def read_whole(client: httpx2.Client, path: str) -> float:
    """How long an attentive subscriber takes."""
    began = time.monotonic()
    name, _, data = events(client.get(path).text)[-1]
    assert (name, data) == ("done", f'{{"total_chunks": {TOKENS + 2}}}')
    return time.monotonic() - began


@pytest.mark.parametrize("readers", [40, pytest.param(200, marks=pytest.mark.proof)])
def test_those_who_read_nothing_hold_nobody_up(folder: Path, upstream: Upstream, readers: int) -> None:
    upstream.behave(tokens=TOKENS)
    with (
        running(FreshGateway(folder, channel(upstream))) as gateway,
        gateway.client(timeout_s=60) as client,
        ExitStack() as stack,
    ):
        first = submit(client, text_request(stream=True)).json()
        alone_s = read_whole(client, first["stream"]["url"])
        second = submit(client, text_request(stream=True, prompt="Again.")).json()
        path = second["stream"]["url"]
        before = gateway.resident_bytes
        for _ in range(readers):
            stack.enter_context(deaf(gateway, path))
        beside_s = read_whole(client, path)
        assert client.get(f"/v1/tasks/{second['id']}", params={"wait": 20}).json()["status"] == "completed"
        after_s = read_whole(client, path)
        more = gateway.resident_bytes - before
        print(
            f"alone {alone_s:.2f} s, beside {readers} {beside_s:.2f} s, then {after_s:.2f} s; {more / 1e6:.0f} MB more"
        )
        assert more < STREAM + readers * MOST_EACH
        stack.close()
        assert read_whole(client, path) > 0
        wait_for(lambda: httpx2.get(f"{gateway.url}/healthz").status_code == 200)
