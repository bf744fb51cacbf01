"""What a key may: its credits, its limits, its repetitions, its deadlines; on a real gateway, seen from outside."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.integration.test_answers import submit, wait_for
from tests.processes import Gateway, Upstream, channel, events, running, text_of, text_request

PRICED = """
[[models]]
id = "gpt-5.5"
price = { input = 1_000, output = 2_000 }

[[models]]
id = "without-a-channel"
price = { input = 3_000, output = 1 }
"""
OUTPUT = 2_000  # micro-credits a token
IN_THE_BACKGROUND = {"model": "gpt-5.5", "input": "Hi", "background": True}


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream) -> Iterator[Gateway]:
    with running(Gateway(tmp_path_factory.mktemp("priced"), channel(shared_upstream) + PRICED)) as process:
        yield process


def ledger(gateway: Gateway) -> dict[str, list[tuple[int, int]]]:
    """`(amount, cost)` of the entries of each task, by kind."""
    import sqlite3

    with sqlite3.connect(gateway.folder / "data" / "reynard.db") as connection:
        rows = connection.execute("SELECT task_id, kind, amount, cost FROM ledger WHERE task_id IS NOT NULL").fetchall()
    connection.close()
    found: dict[str, list[tuple[int, int]]] = {}
    for task_id, kind, amount, cost in rows:
        found.setdefault(f"{kind} {task_id}", []).append((amount, cost))
    return found


@pytest.mark.parametrize("fields", [{"sync": True}, {}, {"stream": True}, {"sync": True, "stream": True}])
def test_what_was_used_is_settled_once(priced: Gateway, upstream: Upstream, fields: dict[str, Any]) -> None:
    upstream.behave(tokens=30)
    with priced.client() as client:
        response = submit(client, text_request(max_tokens=100, **fields))
        response.read()
        task = client.get(f"/v1/tasks/{response.headers['x-task-id']}", params={"wait": 20}).json()
        usage = task["results"][0]["usage"]
        cost = usage["prompt_tokens"] * 1_000 + usage["completion_tokens"] * OUTPUT
        [(held, _)] = ledger(priced)[f"hold {task['id']}"]
        assert ledger(priced)[f"settlement {task['id']}"] == [(-held - cost, cost)]
        assert -held >= 100 * OUTPUT
        assert task["usage"]["credits_used"] == cost / 1_000_000
        assert (task["usage"]["prompt_tokens"], task["usage"]["completion_tokens"]) == (
            usage["prompt_tokens"],
            usage["completion_tokens"],
        )


def test_a_model_that_stands_in_has_its_own_price(priced: Gateway, upstream: Upstream) -> None:
    upstream.behave(tokens=30)
    with priced.client() as client:
        asked = text_request(model="without-a-channel", fallback_models=["gpt-5.5"], max_tokens=100, sync=True)
        response = submit(client, asked)
        usage, task_id = response.json()["usage"], response.headers["x-task-id"]
        cost = usage["prompt_tokens"] * 1_000 + usage["completion_tokens"] * OUTPUT
        [(held, _)] = ledger(priced)[f"hold {task_id}"]
        assert -held >= 100 * OUTPUT
        assert ledger(priced)[f"settlement {task_id}"] == [(-held - cost, cost)]


def test_while_it_runs_its_reservation_is_shown(priced: Gateway, upstream: Upstream) -> None:
    upstream.behave(first_token_ms=60_000)
    with priced.client() as client:
        task_id = submit(client, text_request(max_tokens=100)).json()["id"]
        assert client.get(f"/v1/tasks/{task_id}").json()["usage"]["credits_reserved"] >= 0.2
        client.post(f"/v1/tasks/{task_id}/cancel")
        ended = client.get(f"/v1/tasks/{task_id}").json()["usage"]
        assert (ended["credits_reserved"], ended["credits_used"]) == (0, 0)
        assert f"refund {task_id}" in ledger(priced)


def test_nothing_produced_is_refunded_in_full(priced: Gateway, upstream: Upstream) -> None:
    upstream.behave(fail={"status": 400, "rate": 1})
    with priced.client() as client:
        response = submit(client, text_request(max_tokens=100, sync=True))
        task_id = response.headers["x-task-id"]
        [(held, _)] = ledger(priced)[f"hold {task_id}"]
        assert ledger(priced)[f"refund {task_id}"] == [(-held, 0)]


def test_a_stream_that_broke_is_paid_for_as_far_as_it_came(priced: Gateway, upstream: Upstream) -> None:
    upstream.behave(tokens=40, fail={"cut_stream_rate": 1})
    with priced.client() as client:
        response = submit(client, text_request(max_tokens=100, sync=True, stream=True))
        read = text_of([json.loads(line[6:]) for line in response.text.split("\n\n") if line.startswith('data: {"id"')])
        assert read
        task = client.get(f"/v1/tasks/{response.headers['x-task-id']}", params={"include": "partial,attempts"}).json()
        assert (task["status"], task["results"]) == ("failed", None)
        [choice] = task["partial"]["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == (read, "error")
        assert task["usage"]["estimated"] is True
        [(_, cost)] = ledger(priced)[f"settlement {task['id']}"]
        assert cost == task["usage"]["prompt_tokens"] * 1_000 + task["usage"]["completion_tokens"] * OUTPUT
        assert 0 < task["usage"]["completion_tokens"] <= 100
        assert {attempt["outcome"] for attempt in task["attempts"]} == {"failed"}


def test_what_a_reader_saw_before_a_kill_is_paid_for(folder: Path, upstream: Upstream) -> None:
    upstream.behave(tokens=500, tokens_per_s=100)
    config = channel(upstream) + PRICED
    with running(Gateway(folder, config)) as gateway, gateway.client() as client:
        task = submit(client, text_request(stream=True)).json()
        with client.stream("GET", task["stream"]["url"]) as response:
            text = ""
            for part in response.iter_text():
                text += part
                if text.count("\n\n") > 60:  # more than what is written behind
                    break
            gateway.kill()
    upstream.behave()
    with running(Gateway(folder)) as gateway, gateway.client() as client:
        ended = client.get(f"/v1/tasks/{task['id']}", params={"wait": 20, "include": "partial"}).json()
        assert ended["error"]["code"] == "stream_interrupted"
        kept = events(client.get(task["stream"]["url"]).text)
        produced = ended["partial"]["choices"][0]["message"]["content"]
        assert produced == text_of([json.loads(data) for name, _, data in kept if name == "chunk"]) != ""
        [(_, cost)] = ledger(gateway)[f"settlement {task['id']}"]
        assert cost == ended["usage"]["prompt_tokens"] * 1_000 + ended["usage"]["completion_tokens"] * OUTPUT > 0


def test_a_deadline_cuts_the_upstream_call(priced: Gateway, upstream: Upstream) -> None:
    upstream.behave(first_token_ms=60_000)
    cut = upstream.state()["cut"]
    with priced.client() as client:
        response = submit(client, text_request(sync=True, timeout_s=0.2))
        assert (response.status_code, response.json()["error"]["code"]) == (504, "generation_timeout")
        task = submit(client, text_request(timeout_s=0.2, stream=True)).json()
        ended = client.get(f"/v1/tasks/{task['id']}", params={"wait": 20}).json()
        assert ended["error"]["code"] == "generation_timeout"
        assert events(client.get(task["stream"]["url"]).text)[-1][0] == "error"
        wait_for(lambda: upstream.state()["cut"] == cut + 2, within_s=1)


@pytest.mark.parametrize(("value", "status"), [(0, 422), (-1, 422), ("soon", 422), (86_401, 422), (60, 200)])
def test_a_timeout_is_a_number_of_seconds(priced: Gateway, upstream: Upstream, value: Any, status: int) -> None:
    with priced.client() as client:
        assert submit(client, text_request(sync=True, timeout_s=value)).status_code == status


def test_the_same_key_and_body_start_one_task(priced: Gateway, upstream: Upstream) -> None:
    requests = upstream.state()["requests"]
    with priced.client() as client:
        named = {"idempotency-key": "one"}
        first = client.post("/v1/llm/generations", json=text_request(stream=True), headers=named)
        client.get(f"/v1/tasks/{first.json()['id']}", params={"wait": 20})
        again = client.post("/v1/llm/generations", json=text_request(stream=True), headers=named)
        assert again.json() == first.json()
        assert (again.headers["idempotent-replayed"], "idempotent-replayed" in first.headers) == ("true", False)
        assert upstream.state()["requests"] == requests + 1
        other = client.post("/v1/llm/generations", json=text_request(), headers=named)
        assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_mismatch")
    with priced.client(priced.new_key()) as stranger:
        own = stranger.post("/v1/llm/generations", json=text_request(stream=True), headers=named)
        assert own.json()["id"] != first.json()["id"]


@pytest.mark.parametrize("path", ["/v1/llm/generations", "/v1/chat/completions"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_in_place_is_answered_again(priced: Gateway, upstream: Upstream, path: str, stream: bool) -> None:
    requests = upstream.state()["requests"]
    body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    if path.endswith("generations"):
        body["sync"] = True
    with priced.client() as client:
        named = {"idempotency-key": f"again {path} {stream}"}
        first, again = (client.post(path, json=body, headers=named) for _ in range(2))
        assert (first.status_code, again.status_code) == (200, 200)
        assert first.headers["x-task-id"] == again.headers["x-task-id"]
        if stream:
            texts = [
                text_of([json.loads(line[6:]) for line in answer.text.split("\n\n")[:-2]]) for answer in (first, again)
            ]
            assert texts[0] == texts[1] != ""
            assert again.text.endswith("data: [DONE]\n\n")
        else:
            assert first.content == again.content
        assert upstream.state()["requests"] == requests + 1


def test_a_response_in_the_background_is_answered_again_as_it_was(priced: Gateway, upstream: Upstream) -> None:
    requests = upstream.state()["requests"]
    named = {"idempotency-key": "background"}
    with priced.client(priced.new_key("--rpm", "10")) as client:
        first = client.post("/v1/responses", json=IN_THE_BACKGROUND, headers=named)
        client.get(f"/v1/tasks/{first.headers['x-task-id']}", params={"wait": 20})
        again = client.post("/v1/responses", json=IN_THE_BACKGROUND, headers=named)
        assert (first.status_code, again.status_code) == (200, 200)
        assert again.json() == first.json()
        assert first.json()["status"] == "queued"
        assert (again.headers["idempotent-replayed"], "idempotent-replayed" in first.headers) == ("true", False)
        assert first.headers["x-ratelimit-remaining-requests"] == "9"
        assert upstream.state()["requests"] == requests + 1


def test_an_answer_that_is_no_longer_kept_says_so(folder: Path, upstream: Upstream) -> None:
    config = channel(upstream) + "[retention]\nresults_s = 1\n"
    with running(Gateway(folder, config)) as gateway, gateway.client() as client:
        named = {"idempotency-key": "swept"}
        first = client.post("/v1/llm/generations", json=text_request(sync=True), headers=named)
        of_it = f"/v1/tasks/{first.headers['x-task-id']}"
        wait_for(lambda: client.get(of_it).json()["results"] is None, within_s=20)
        again = client.post("/v1/llm/generations", json=text_request(sync=True), headers=named)
        assert (again.status_code, again.json()["error"]["code"]) == (410, "result_expired")


def test_a_hundred_at_once_under_one_key_are_one(priced: Gateway, upstream: Upstream) -> None:
    upstream.behave(first_token_ms=300)
    requests = upstream.state()["requests"]
    with priced.client() as client, ThreadPoolExecutor(16) as pool:

        def send(number: int) -> httpx2.Response:
            fields = {"sync": number % 2 == 0}
            headers = {"idempotency-key": f"many {fields['sync']}"}
            return client.post("/v1/llm/generations", json=text_request(**fields), headers=headers)

        answers = list(pool.map(send, range(100)))
        tasks = {answer.headers["x-task-id"] for answer in answers if "x-task-id" in answer.headers}
        assert len(tasks) == 2
        assert {answer.status_code for answer in answers} <= {200, 409}
        refused = {answer.json()["error"]["code"] for answer in answers if answer.status_code == 409}
        assert refused <= {"idempotency_in_progress"}
        wait_for(lambda: upstream.state()["requests"] == requests + 2)


@pytest.mark.parametrize("name", ["", "x" * 256, "é"])
def test_an_idempotency_key_is_short_and_printable(priced: Gateway, upstream: Upstream, name: str) -> None:
    with priced.client() as client:
        headers = [(b"idempotency-key", name.encode())]
        response = client.post("/v1/llm/generations", json=text_request(), headers=headers)
        assert (response.status_code, response.json()["error"]["param"]) == (422, "Idempotency-Key")


def test_a_fallback_that_there_is_not_is_named(priced: Gateway, upstream: Upstream) -> None:
    with priced.client() as client:
        response = submit(client, text_request(fallback_models=["gpt-5.4", "no-such"]))
        assert response.status_code == 422
        assert response.json()["error"]["param"] == "fallback_models[1]"


def test_a_deadline_holds_for_what_waits_too(folder: Path, upstream: Upstream) -> None:
    upstream.behave(first_token_ms=60_000)
    config = channel(upstream) + "[engine]\nmax_running = 1\n"
    with running(Gateway(folder, config)) as gateway, gateway.client() as client:
        running_id = submit(client, text_request()).json()["id"]
        waiting = submit(client, text_request(timeout_s=0.1)).json()
        ended = client.get(f"/v1/tasks/{waiting['id']}", params={"wait": 5}).json()
        assert (ended["status"], ended["error"]["code"]) == ("failed", "generation_timeout")
        assert client.get(f"/v1/tasks/{running_id}").json()["status"] == "processing"


def test_a_key_has_its_requests_a_minute(priced: Gateway, upstream: Upstream) -> None:
    with priced.client(priced.new_key("--rpm", "3")) as client:
        answers = [submit(client, text_request(sync=True)) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        left = [answer.headers["x-ratelimit-remaining-requests"] for answer in answers]
        assert left == ["2", "1", "0", "0"]
        refused = answers[-1]
        assert (refused.json()["error"]["type"], refused.headers["x-ratelimit-limit-requests"]) == (
            "rate_limit_error",
            "3",
        )
        assert 1 <= int(refused.headers["retry-after"]) <= 61
        assert len(client.get("/v1/tasks").json()["data"]) == 3


def test_a_key_has_its_tokens_a_minute_and_only_what_was_used_counts(priced: Gateway, upstream: Upstream) -> None:
    upstream.behave(tokens=10)
    with priced.client(priced.new_key("--tpm", "1000")) as client:
        first = submit(client, text_request(sync=True, max_tokens=900))
        second = submit(client, text_request(sync=True, max_tokens=900))
        assert (first.status_code, second.status_code) == (200, 200)
        usage = first.json()["usage"]["total_tokens"] + second.json()["usage"]["total_tokens"]
        refused = submit(client, text_request(sync=True, max_tokens=1000 - usage))
        assert (refused.status_code, refused.headers["x-ratelimit-remaining-tokens"]) == (429, str(1000 - usage))
        never = submit(client, text_request(sync=True, max_tokens=5_000))
        assert (never.status_code, "retry-after" in never.headers) == (429, False)


def test_a_key_has_its_tasks_at_once_also_after_a_restart(folder: Path, upstream: Upstream) -> None:
    upstream.behave(first_token_ms=60_000)
    with running(Gateway(folder, channel(upstream))) as gateway:
        key = gateway.new_key("--concurrency", "2")
        with gateway.client(key) as client:
            ids = [submit(client, text_request()).json()["id"] for _ in range(2)]
            assert submit(client, text_request(sync=True)).status_code == 429
            gateway.kill()
    with running(Gateway(folder)) as gateway, gateway.client(key) as client:
        assert submit(client, text_request()).status_code == 429
        client.post(f"/v1/tasks/{ids[0]}/cancel")
        assert submit(client, text_request()).status_code == 200
        assert submit(client, text_request()).status_code == 429


@pytest.mark.parametrize("fields", [{}, {"sync": True}])
@pytest.mark.parametrize("option", [("--credits", "0.25"), ("--concurrency", "1"), ("--rpm", "1")])
def test_repetitions_at_once_are_not_measured_by_what_the_first_one_took(
    priced: Gateway, upstream: Upstream, option: tuple[str, str], fields: dict[str, Any]
) -> None:
    upstream.behave(first_token_ms=500)
    key = priced.new_key(*option)
    body, named = text_request(max_tokens=100, **fields), {"idempotency-key": "at once"}
    with priced.client(key) as client, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: client.post("/v1/llm/generations", json=body, headers=named), range(6)))
        told = {(a.status_code, a.json().get("error") and a.json()["error"]["code"]) for a in answers}
        assert told <= {(200, None), (409, "idempotency_in_progress")}
        assert (200, None) in told
        assert len({answer.headers["x-task-id"] for answer in answers}) == 1


def test_credits_are_never_spent_twice(priced: Gateway, upstream: Upstream) -> None:
    """A hundred calls at once for credits that cover a few, in all four ways."""
    upstream.behave(tokens=30, first_token_ms=200)
    key = priced.new_key("--credits", "1")
    ways: list[dict[str, Any]] = [{"sync": True}, {}, {"stream": True}, {"sync": True, "stream": True}]
    with priced.client(key) as client, ThreadPoolExecutor(16) as pool:

        def send(number: int) -> httpx2.Response:
            response = submit(client, text_request(max_tokens=100, **ways[number % 4]))
            response.read()
            return response

        answers = list(pool.map(send, range(100)))
        assert {answer.status_code for answer in answers} == {200, 402}
        refused = next(answer for answer in answers if answer.status_code == 402).json()["error"]
        assert (refused["type"], refused["code"]) == ("insufficient_quota", "insufficient_quota")
        assert "missing" in refused["message"]
        ids = [answer.headers["x-task-id"] for answer in answers if answer.status_code == 200]
        used = sum(
            client.get(f"/v1/tasks/{task_id}", params={"wait": 20}).json()["usage"]["credits_used"] for task_id in ids
        )
        token = client.get("/v1/account/credits").json()["data"]["token"]
        assert round(token["remaining_credits"] + used, 6) == 1
        assert token["remaining_credits"] >= 0
        assert round(token["used_credits"], 6) == round(used, 6)
    assert priced.command("ledger", "verify").returncode == 0
