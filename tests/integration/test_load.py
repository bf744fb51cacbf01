"""Many at once, in one process: none lost, memory bounded."""

import asyncio
from pathlib import Path

import httpx2
from tests.processes import Gateway, Upstream, channel, running, text_request

TASKS, CONNECTIONS = 1_000, 32
MOST_MEMORY = 300_000_000


async def test_a_thousand_tasks_over_32_connections_all_end(folder: Path, upstream: Upstream) -> None:
    upstream.behave(first_token_ms=20)
    refused = upstream.state()["refused"]
    with running(Gateway(folder, channel(upstream) + "[engine]\nmax_running = 300\n")) as gateway:
        headers = {"authorization": f"Bearer {gateway.key}"}
        limits = httpx2.Limits(max_connections=CONNECTIONS)
        async with httpx2.AsyncClient(base_url=gateway.url, headers=headers, limits=limits, timeout=60) as client:

            async def submit(number: int) -> str:
                body = text_request(prompt=f"number {number}", stream=number % 3 == 0)
                response = await client.post("/v1/llm/generations", json=body)
                return str(response.json()["id"])

            async def end(task_id: str) -> str:
                while True:
                    response = await client.get(f"/v1/tasks/{task_id}", params={"wait": 30})
                    if response.json()["status"] not in ("pending", "processing"):
                        return str(response.json()["status"])

            ids = await asyncio.gather(*(submit(number) for number in range(TASKS)))
            assert len(set(ids)) == TASKS
            assert await asyncio.gather(*(end(task_id) for task_id in ids)) == ["completed"] * TASKS
        assert gateway.resident_bytes < MOST_MEMORY
        assert upstream.state()["refused"] == refused


async def test_beyond_what_it_keeps_the_gateway_says_so_at_once(folder: Path, upstream: Upstream) -> None:
    upstream.behave(first_token_ms=60_000)
    config = channel(upstream) + "[engine]\nmax_running = 2\nmax_pending = 4\nmax_sync = 1\n"
    with running(Gateway(folder, config)) as gateway, gateway.client() as client:
        answers = [client.post("/v1/llm/generations", json=text_request()) for _ in range(7)]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert {answer.status_code for answer in refused} == {503}
        assert all(answer.json()["error"]["code"] == "overloaded" for answer in refused)
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        kept = [answer.json()["id"] for answer in answers if answer.status_code == 200]
        assert len(kept) == 5  # of those that wait, a key has three quarters at the most
        with gateway.client(gateway.new_key()) as other:
            statuses = [other.post("/v1/llm/generations", json=text_request()).status_code for _ in range(2)]
            assert statuses == [200, 503]
        assert [task["id"] for task in client.get("/v1/tasks").json()["data"]] == kept[::-1]
