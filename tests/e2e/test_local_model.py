"""A new user on a fresh machine: real text from a real model, every way of answering, with no key and no network."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.integration.test_answers import submit, wait_for
from tests.processes import FreshGateway, Gateway, events, running, text_of

COLOURS = ["red", "blue"]
ASK = {"model": "smollm2-135m", "prompt": "What is the capital of France?"}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(FreshGateway(tmp_path_factory.mktemp("local"))) as process:
        yield process


@pytest.fixture
def client(local: Gateway) -> Iterator[httpx2.Client]:
    with local.client(timeout_s=120) as opened:
        yield opened


def test_the_first_start_says_where_it_listens_and_makes_an_admin_key(local: Gateway) -> None:
    assert local.said[0].startswith("admin key")
    assert local.said[1].startswith("sk-")
    assert local.said[2] == f"listening on {local.url}"


def test_as_a_task(client: httpx2.Client) -> None:
    task_id = submit(client, ASK).json()["id"]
    task = client.get(f"/v1/tasks/{task_id}", params={"wait": 60}).json()
    assert is_prose(task["results"][0]["choices"][0]["message"]["content"])


def test_as_a_stream(client: httpx2.Client) -> None:
    path = submit(client, {**ASK, "stream": True}).json()["stream"]["url"]
    *chunks, (end, _, _) = events(client.get(path).text)
    assert end == "done"
    assert is_prose(text_of([json.loads(data) for _, _, data in chunks]))


def test_in_place(client: httpx2.Client) -> None:
    completion = submit(client, {**ASK, "sync": True}).json()
    assert is_prose(completion["choices"][0]["message"]["content"])
    assert completion["usage"]["completion_tokens"] > 0


def test_in_place_and_streamed(client: httpx2.Client) -> None:
    lines = submit(client, {**ASK, "sync": True, "stream": True}).text.strip().split("\n\n")
    assert lines.pop() == "data: [DONE]"
    assert is_prose(text_of([json.loads(line.removeprefix("data: ")) for line in lines]))


def test_json_mode_gives_json(client: httpx2.Client) -> None:
    body = {
        "model": "smollm2-135m",
        "messages": [{"role": "user", "content": "Name a colour."}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "colour",
                "schema": {
                    "type": "object",
                    "properties": {"colour": {"enum": ["red", "blue"]}},
                    "required": ["colour"],
                },
            },
        },
    }
    completion = client.post("/v1/chat/completions", json=body).json()
    assert json.loads(completion["choices"][0]["message"]["content"])["colour"] in COLOURS


def test_a_request_beyond_its_context_is_told_so(client: httpx2.Client) -> None:
    response = submit(client, {**ASK, "prompt": "word " * 5_000, "sync": True})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "context_length_exceeded")


def test_a_crash_of_the_model_leaves_the_gateway_standing(local: Gateway, client: httpx2.Client) -> None:
    submit(client, {**ASK, "sync": True})
    [child] = children(local)
    os.kill(child, signal.SIGKILL)
    assert client.get("/healthz").status_code == 200
    assert submit(client, {**ASK, "sync": True}).status_code == 200
    assert children(local) != [child]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_model_ends_with_the_gateway(folder: Path, end: str) -> None:
    gateway = Gateway(folder)
    with running(gateway), gateway.client(timeout_s=120) as client:
        submit(client, {**ASK, "sync": True})
        [child] = children(gateway)
        getattr(gateway, end)()
        wait_for(lambda: not is_running(child))


def is_prose(text: str) -> bool:
    """What the words are, is the model's affair."""
    return len([word for word in text.split() if word.isalpha()]) >= 3


def is_running(pid: int) -> bool:
    """A zombie, which nobody has reaped, is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(gateway: Gateway) -> list[int]:
    pid = gateway.popen.pid
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found if is_running(int(child))]


def test_a_changed_channel_leaves_no_process_behind(folder: Path) -> None:
    channel = '[[channels]]\nname = "local"\nconcurrency = {}\n'
    with running(Gateway(folder, channel.format(4))) as gateway, gateway.client(timeout_s=120) as client:
        submit(client, {**ASK, "sync": True})
        [child] = children(gateway)
        gateway.config.write_text(channel.format(2))
        wait_for(lambda: not is_running(child))
        assert submit(client, {**ASK, "sync": True}).status_code == 200
        assert len(children(gateway)) == 1
