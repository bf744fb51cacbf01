"""A key with many tasks does not keep another's one waiting, at a full channel and in the store."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.processes import Gateway, Upstream, channel, running, text_request

MANY = 40


@pytest.mark.parametrize(("more", "engine"), [("concurrency = 1", ""), ("", "[engine]\nmax_running = 1\n")])
def test_one_task_does_not_wait_for_all_of_another_key(
    folder: Path, upstream: Upstream, more: str, engine: str
) -> None:
    upstream.behave(first_token_ms=60_000)
    with running(Gateway(folder, channel(upstream, more=more) + engine)) as gateway:
        other = gateway.new_key("--name", "other")
        with gateway.client() as greedy, gateway.client(other) as modest:
            first, *_ = [greedy.post("/v1/llm/generations", json=text_request()).json()["id"] for _ in range(MANY)]
            mine = modest.post("/v1/llm/generations", json=text_request()).json()["id"]
            upstream.behave(first_token_ms=20)
            greedy.post(f"/v1/tasks/{first}/cancel")  # which all others wait for
            assert modest.get(f"/v1/tasks/{mine}", params={"wait": 30}).json()["status"] == "completed"
            last = greedy.get("/v1/tasks", params={"limit": 1}).json()["data"][0]["id"]
            assert greedy.get(f"/v1/tasks/{last}", params={"wait": 30}).json()["status"] == "completed"
        gateway.stop()
    with closing(sqlite3.connect(folder / "data" / "reynard.db")) as store:
        [(created, ended)] = store.execute("SELECT created, ended FROM tasks WHERE id = ?", (mine,)).fetchall()
        between = "SELECT count(*) FROM tasks WHERE id <> ? AND ended > ? AND ended < ?"
        overtaken = store.execute(between, (mine, created, ended)).fetchone()[0]
        later = store.execute("SELECT count(*) FROM tasks WHERE ended > ?", (ended,)).fetchone()[0]
    assert overtaken <= 3  # what ran, what was next, and one more
    assert later >= MANY // 4  # or there was no line to stand in
