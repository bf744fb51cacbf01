"""SIGKILL while tasks run: every one of them reaches an end by itself, and nothing is told twice or otherwise."""

import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from tests.crash.load import Rounds
from tests.integration.test_answers import submit, wait_for
from tests.processes import Gateway, Upstream, channel, events, running, text_of, text_request
from tests.receiver import Receiver

TASKS = 200
SLOW = {"tokens": 40, "tokens_per_s": 20}  # two seconds each
CHANNEL = "concurrency = 512"


def start(folder: Path, upstream: Upstream, more: str = "") -> Gateway:
    return Gateway(folder, channel(upstream, more=CHANNEL) + more)


def all_ended(client: httpx2.Client, ids: list[str]) -> dict[str, dict[str, object]]:
    """Each task at its end."""
    ended = {}
    for task_id in ids:
        task = client.get(f"/v1/tasks/{task_id}", params={"wait": 60}).json()
        assert task["status"] in ("completed", "failed"), task
        ended[task_id] = task
    return ended


def test_kill_while_200_tasks_run(folder: Path, upstream: Upstream) -> None:
    upstream.behave()
    gateway = start(folder, upstream)
    with running(gateway), gateway.client() as client:
        early = [submit(client, text_request(prompt=f"early {n}")).json()["id"] for n in range(20)]
        before = {task_id: client.get(f"/v1/tasks/{task_id}", params={"wait": 20}).json() for task_id in early}
        upstream.behave(**SLOW)
        with ThreadPoolExecutor(16) as pool:
            tasks = list(
                pool.map(lambda n: submit(client, text_request(prompt=f"{n}", stream=n % 2 == 0)).json(), range(TASKS))
            )
        wait_for(lambda: upstream.state()["open"] == TASKS)
        read_task = next(task for task in tasks if task["stream"])
        read = read_some(client, read_task["stream"]["url"], 3)
        gateway.kill()

    answered = upstream.state()["requests"]
    upstream.behave()
    with running(start(folder, upstream)) as gateway, gateway.client() as client:
        ended = all_ended(client, [task["id"] for task in tasks])
        statuses = Counter(str(task["status"]) for task in ended.values())
        assert statuses == {"completed": TASKS - 1, "failed": 1}
        lost = ended[read_task["id"]]
        assert lost["error"]["code"] == "stream_interrupted"  # type: ignore[index]
        for offset in (0, len(read)):  # never other text
            *replayed, (name, _, data) = events(client.get(read_task["stream"]["url"], params={"offset": offset}).text)
            assert (name, json.loads(data)["code"]) == ("error", "stream_interrupted")
            known = [events(block)[0] for block in read[offset:]]
            assert all(one == other for one, other in zip(replayed, known, strict=False))
        for task in tasks[2::40]:  # those that nobody had read begin again, whole
            if task["stream"]:
                chunks = [
                    json.loads(d) for name, _, d in events(client.get(task["stream"]["url"]).text) if name == "chunk"
                ]
                assert text_of(chunks) == ended[task["id"]]["results"][0]["choices"][0]["message"]["content"]  # type: ignore[index]
        assert {task_id: client.get(f"/v1/tasks/{task_id}").json() for task_id in early} == before
        assert upstream.state()["requests"] - answered == TASKS - 1  # what was completed did not run again


def read_some(client: httpx2.Client, path: str, count: int) -> list[str]:
    """The first chunks of a stream, as a subscriber that then loses the line."""
    with client.stream("GET", path) as response:
        text = ""
        for part in response.iter_text():
            text += part
            if text.count("\n\n") >= count:
                return [block for block in text.split("\n\n")[:-1] if block.startswith("event: chunk")]
    raise AssertionError(text)


def test_kills_at_random_moments_under_load(folder: Path, upstream: Upstream, receiver: Receiver) -> None:
    Rounds(folder, upstream, receiver, seed=random.randrange(1_000_000)).run(10)


@pytest.mark.proof
@pytest.mark.timeout(7200)
def test_five_hundred_kills_at_random_moments_under_load(folder: Path, upstream: Upstream, receiver: Receiver) -> None:
    Rounds(folder, upstream, receiver, seed=random.randrange(1_000_000)).run(500)


def test_a_response_that_was_read_tells_its_end_behind_what_was_read(folder: Path, upstream: Upstream) -> None:
    upstream.behave(**SLOW)
    body = {"model": "gpt-5.5", "input": "Hi", "background": True, "stream": True}
    gateway = start(folder, upstream)
    with running(gateway), gateway.client() as client, client.stream("POST", "/v1/responses", json=body) as response:
        task_id = response.headers["x-task-id"]
        seen = ""
        for part in response.iter_text():
            seen += part
            if seen.count("\n\n") >= 12:
                break
        gateway.kill()
    last = json.loads(events(seen[: seen.rindex("\n\n") + 2])[-1][2])["sequence_number"]
    with running(start(folder, upstream)) as gateway, gateway.client() as client:
        all_ended(client, [task_id])
        answer = client.get(f"/v1/responses/resp_{task_id}", params={"stream": "true", "starting_after": last})
        told = events(answer.raise_for_status().text)
        name, _, data = told[-1]
        assert name == "response.failed"
        numbers = [json.loads(data)["sequence_number"] for _, _, data in told]
        assert numbers == list(range(last + 1, last + 1 + len(told)))
        assert json.loads(data)["response"]["error"]["type"] == "stream_interrupted"


def test_a_gateway_that_is_told_to_stop_gives_its_tasks_back(folder: Path, upstream: Upstream) -> None:
    upstream.behave(first_token_ms=60_000)
    gateway = start(folder, upstream, "[server]\ndrain_s = 0.2\n")
    with running(gateway), gateway.client() as client:
        ids = [submit(client, text_request()).json()["id"] for _ in range(10)]
        wait_for(lambda: upstream.state()["open"] == 10)
        assert gateway.stop() == 0
    wait_for(lambda: upstream.state()["open"] == 0)
    upstream.behave()
    with running(start(folder, upstream)) as gateway, gateway.client() as client:
        assert {task["status"] for task in all_ended(client, ids).values()} == {"completed"}


def test_two_gateways_never_share_a_data_directory(folder: Path, upstream: Upstream) -> None:
    with running(start(folder, upstream)), pytest.raises(AssertionError, match="another gateway runs on"):
        start(folder, upstream)
