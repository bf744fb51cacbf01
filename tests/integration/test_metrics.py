"""`/metrics` of a real gateway: the figures move as they should, stay bounded, and tell no secret."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.exposition import Page, read
from tests.integration.test_answers import submit
from tests.processes import UPSTREAM_KEY, Gateway, Upstream, channel, running, text_request

GENERATIONS = "/v1/llm/generations"


@pytest.fixture
def own(folder: Path, upstream: Upstream) -> Iterator[Gateway]:
    """A gateway that has done nothing yet."""
    with running(Gateway(folder, channel(upstream))) as process:
        yield process


def scrape(gateway: Gateway) -> Page:
    return read(httpx2.get(f"{gateway.url}/metrics").text)


def ended(gateway: Gateway, body: dict[str, Any]) -> dict[str, Any]:
    """An async task, at its end."""
    with gateway.client() as client:
        task_id = submit(client, body).json()["id"]
        task: dict[str, Any] = client.get(f"/v1/tasks/{task_id}?wait=20").json()
        return task


def test_it_is_there_without_a_key_and_in_the_right_type(gateway: Gateway) -> None:
    response = httpx2.get(f"{gateway.url}/metrics")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    page = read(response.text)
    assert page.kinds["process_cpu_seconds_total"] == "counter"
    assert page.value("process_resident_memory_bytes") > 1_000_000
    assert page.value("process_open_fds") > 3
    assert [labels["version"] for labels in page.series("reynard_build_info")] == ["0.1.0"]


def test_answers_tasks_attempts_tokens_and_commits_are_counted(own: Gateway) -> None:
    with own.client() as client:
        usage = submit(client, text_request(sync=True)).json()["usage"]
        submit(client, text_request(sync=True, stream=True)).read()
    assert ended(own, text_request(stream=True))["status"] == "completed"
    page = scrape(own)
    assert page.value("reynard_http_requests_total", route=GENERATIONS, method="POST", status="200") == 3
    assert page.value("reynard_http_request_duration_seconds_count", route=GENERATIONS) == 3
    assert page.value("reynard_tasks_ended_total", model="gpt-5.5", status="completed", code="") == 3
    attempts = page.value("reynard_attempts_total", channel="up", model="gpt-5.5", outcome="completed", code="")
    assert attempts == 3
    assert page.value("reynard_attempt_duration_seconds_count", channel="up", outcome="completed") == 3
    assert page.value("reynard_attempt_first_chunk_seconds_count", channel="up") == 2
    assert page.value("reynard_tokens_total", model="gpt-5.5", kind="prompt") == 3 * usage["prompt_tokens"]
    assert page.value("reynard_tokens_total", model="gpt-5.5", kind="completion") == 3 * usage["completion_tokens"]
    assert page.value("reynard_cost_credits_total", model="gpt-5.5") > 0
    assert page.value("reynard_store_commit_operations_sum") >= 5
    assert page.value("reynard_store_commit_duration_seconds_sum") > 0
    assert (page.value("reynard_streams"), page.value("reynard_stream_bytes") > 0) == (1, True)


def test_a_failure_is_counted_with_its_code_at_the_task_and_at_each_attempt(own: Gateway, upstream: Upstream) -> None:
    upstream.behave(fail={"status": 500, "rate": 1})
    before = upstream.state()["requests"]
    assert ended(own, text_request())["status"] == "failed"
    page = scrape(own)
    [task] = page.series("reynard_tasks_ended_total")
    assert (task["status"], task["code"]) == ("failed", "all_platforms_exhausted")
    [attempt] = page.series("reynard_attempts_total")
    assert (attempt["outcome"], attempt["code"]) == ("failed", "upstream_error")
    assert page.value("reynard_attempts_total", **attempt) == upstream.state()["requests"] - before


def test_what_is_under_way_is_read_at_the_scrape(own: Gateway, upstream: Upstream) -> None:
    upstream.behave(first_token_ms=60_000)
    with own.client() as client:
        running_ids = [submit(client, text_request()).json()["id"] for _ in range(3)]
        page = scrape(own)
        assert page.value("reynard_tasks", state="running") == 3
        for task_id in running_ids:
            client.post(f"/v1/tasks/{task_id}/cancel")
    page = scrape(own)
    assert page.value("reynard_tasks", state="running") == 0
    assert page.value("reynard_tasks_ended_total", model="gpt-5.5", status="cancelled", code="") == 3


def test_errors_limits_and_uploads_are_counted(own: Gateway) -> None:
    with own.client(own.new_key("--rpm", "1")) as client:
        assert submit(client, text_request(sync=True)).status_code == 200
        assert client.post(GENERATIONS, json=text_request(sync=True)).status_code == 429
        client.post("/v1/files/upload/stream", files={"file": b"hello"})
    httpx2.get(f"{own.url}/v1/models")
    page = scrape(own)
    assert page.value("reynard_limits_refused_total", limit="requests") == 1
    assert page.value("reynard_errors_total", code="rate_limit_exceeded") == 1
    assert page.value("reynard_errors_total", code="authentication_error") == 1
    assert (page.value("reynard_uploads_total"), page.value("reynard_upload_bytes_total")) == (1, 5)


def test_an_error_is_counted_once_in_whichever_shape_it_is_told(own: Gateway, upstream: Upstream) -> None:
    upstream.behave(fail={"status": 400, "rate": 1})
    messages = [{"role": "user", "content": "Hello"}]
    with own.client() as client:
        for path, body in (
            (GENERATIONS, text_request(sync=True)),
            (GENERATIONS, text_request(sync=True, stream=True)),
            ("/v1/chat/completions", {"model": "gpt-5.5", "messages": messages}),
            ("/v1/responses", {"model": "gpt-5.5", "input": "Hello"}),
            ("/v1/messages", {"model": "gpt-5.5", "messages": messages, "max_tokens": 99}),
        ):
            assert client.post(path, json=body).status_code == 422
    assert scrape(own).value("reynard_errors_total", code="invalid_parameters") == 5


def test_garbage_makes_no_new_series_and_is_not_repeated(own: Gateway) -> None:
    canary = "canary-7f3a"
    with own.client() as client:

        def garbage(number: int) -> None:
            word = f"{canary}-{number}"
            client.get(f"/{word}")
            client.get(f"/v1/tasks/{word}")
            client.get(f"/v1/models/{word}")
            client.get(f"/files/{word}/{word}")
            client.request(f"X{number}", "/healthz")
            client.post(GENERATIONS, json=text_request(model=word, sync=True))
            client.get("/healthz", headers={"authorization": f"Bearer sk-{word}", "x-request-id": word})

        garbage(0)
        scrape(own)
        before = set(scrape(own).samples)
        for number in range(1, 30):
            garbage(number)
    text = httpx2.get(f"{own.url}/metrics").text
    assert set(read(text).samples) == before
    assert read(text).value("reynard_http_requests_total", route="other", method="GET", status="404") == 30
    assert canary not in text


def test_it_tells_no_secret_no_task_and_no_address(own: Gateway, upstream: Upstream) -> None:
    with own.client() as client:
        task_id = submit(client, text_request(prompt="canary-of-a-prompt")).json()["id"]
        client.get(f"/v1/tasks/{task_id}?wait=20")
        stored = client.post("/v1/files/upload/stream", files={"file": b"hello"}).json()
    text = httpx2.get(f"{own.url}/metrics").text
    for secret in (own.key, UPSTREAM_KEY, task_id, stored["id"], stored["url"], upstream.url, "canary-of-a-prompt"):
        assert secret not in text


@pytest.mark.parametrize(("audience", "statuses"), [("admin", [401, 403, 200]), ("off", [404, 404, 404])])
def test_a_setting_says_who_may_read_it(folder: Path, audience: str, statuses: list[int]) -> None:
    with running(Gateway(folder, f'[server]\nmetrics = "{audience}"\n')) as process:
        got = [httpx2.get(f"{process.url}/metrics").status_code]
        for key in (process.new_key(), process.key):
            with process.client(key) as client:
                got.append(client.get("/metrics").status_code)
    assert got == statuses


async def test_a_client_that_goes_away_is_no_fault(own: Gateway, upstream: Upstream) -> None:
    upstream.behave(first_token_ms=60_000)
    headers = {"authorization": f"Bearer {own.key}"}
    async with httpx2.AsyncClient(base_url=own.url, headers=headers, timeout=30) as client:
        call = asyncio.create_task(client.post(GENERATIONS, json=text_request(sync=True)))
        while not upstream.state()["open"]:
            await asyncio.sleep(0.01)
        call.cancel()
        while not scrape(own).value("reynard_http_requests_total", route=GENERATIONS, method="POST", status="499"):
            await asyncio.sleep(0.01)
