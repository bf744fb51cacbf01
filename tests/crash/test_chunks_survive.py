"""SIGKILL while streams run: what was written is replayed byte for byte, and then the end that the task came to."""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from tests.integration.test_answers import submit, wait_for
from tests.processes import Gateway, Upstream, channel, events, running, text_of, text_request

from reynard.storage.chunks_written import ROWS_AT_ONCE

SLOW = {"tokens": 400, "tokens_per_s": 100}
WRITE_FIRST = "[chunks]\nwrite_first = true\n"
Event = tuple[str, str, str]


def start(folder: Path, upstream: Upstream, more: str = "") -> Gateway:
    return Gateway(folder, channel(upstream, more="concurrency = 512") + more)


def written(folder: Path, task_id: str) -> int:
    """How many chunks of the stream are on disk."""
    with closing(sqlite3.connect(folder / "data" / "reynard.db")) as connection:
        rows = connection.execute("SELECT first, body FROM chunks WHERE task_id = ?", (task_id,)).fetchall()
        for (entry,) in connection.execute("SELECT body FROM chunk_log"):
            rows += [(first, body) for task, first, body in msgspec.msgpack.decode(entry) if task == task_id]
    return max((first + body.count(b"\n") + 1 for first, body in rows), default=0)


def entries(folder: Path) -> int:
    """How many entries the log has."""
    with closing(sqlite3.connect(folder / "data" / "reynard.db")) as connection:
        count: int = connection.execute("SELECT count(*) FROM chunk_log").fetchone()[0]
    return count


def read_until(client: httpx2.Client, path: str, count: int) -> list[Event]:
    """The first chunks of a stream, as a subscriber that then loses the line."""
    with client.stream("GET", path) as response:
        text = ""
        for part in response.iter_text():
            text += part
            if text.count("\n\n") >= count:
                return events(text[: text.rindex("\n\n") + 2])
    raise AssertionError(text)


def replayed(client: httpx2.Client, path: str, offset: int = 0) -> list[Event]:
    response = client.get(path, params={"offset": offset})
    assert response.status_code == 200, response.text
    return events(response.text)


def at_end(client: httpx2.Client, task_id: str) -> dict[str, Any]:
    task: dict[str, Any] = client.get(f"/v1/tasks/{task_id}", params={"wait": 60}).json()
    return task


@pytest.mark.parametrize("more", ["", WRITE_FIRST], ids=["behind", "first"])
def test_what_was_read_is_replayed_and_then_the_end(folder: Path, upstream: Upstream, more: str) -> None:
    upstream.behave(**SLOW)
    gateway = start(folder, upstream, more)
    with running(gateway), gateway.client() as client:
        task = submit(client, text_request(stream=True)).json()
        path = task["stream"]["url"]
        read = read_until(client, path, 60)
        wait_for(lambda: written(folder, task["id"]) > 20)
        gateway.kill()
    kept = written(folder, task["id"])
    assert kept >= (len(read) if more else 20)

    with running(start(folder, upstream, more)) as gateway, gateway.client() as client:
        for _ in range(2):  # also before anybody has found out, and after
            for offset in (0, 7, kept):
                *chunks, (name, _, data) = replayed(client, path, offset)
                assert (name, json.loads(data)["code"]) == ("error", "stream_interrupted")
                assert [int(number) for _, number, _ in chunks] == list(range(offset, kept))
                common = list(zip(chunks, read[offset:], strict=False))
                assert all(again == before for again, before in common)
                assert common or offset >= min(kept, len(read))
            assert at_end(client, task["id"])["error"]["code"] == "stream_interrupted"
        beyond = replayed(client, path, 10_000)
        assert [(name, json.loads(data)["code"]) for name, _, data in beyond] == [("error", "stream_interrupted")]


def test_of_many_streams_each_is_replayed_as_far_as_it_was_written(folder: Path, upstream: Upstream) -> None:
    """More than get rows of their own at once: what most have is in the log."""
    upstream.behave(tokens=400, tokens_per_s=20)
    gateway = start(folder, upstream)
    with running(gateway), gateway.client() as client:
        tasks = [submit(client, text_request(stream=True)).json() for _ in range(ROWS_AT_ONCE + 30)]
        read = {task["id"]: read_until(client, task["stream"]["url"], 3) for task in tasks}
        wait_for(lambda: min(written(folder, task["id"]) for task in tasks) >= 6)
        gateway.kill()
    kept = {task["id"]: written(folder, task["id"]) for task in tasks}
    assert entries(folder) > 0
    with running(start(folder, upstream)) as gateway, gateway.client() as client:
        for task in tasks:
            *chunks, (name, _, data) = replayed(client, task["stream"]["url"])
            assert (name, json.loads(data)["code"]) == ("error", "stream_interrupted")
            assert [int(number) for _, number, _ in chunks] == list(range(kept[task["id"]]))
            common = min(len(chunks), len(read[task["id"]]))
            assert chunks[:common] == read[task["id"]][:common]
    assert entries(folder) == 0


def test_a_completed_stream_is_whole_after_a_kill(folder: Path, upstream: Upstream) -> None:
    upstream.behave(tokens=300)
    gateway = start(folder, upstream, "[chunks]\nwrite_delay_ms = 60000\n")  # only its end has it written
    with running(gateway), gateway.client() as client:
        task = submit(client, text_request(stream=True)).json()
        path = task["stream"]["url"]
        before = client.get(path).text
        unread = submit(client, text_request(stream=True)).json()
        wait_for(lambda: at_end(client, unread["id"])["status"] == "completed")
        gateway.kill()
    with running(start(folder, upstream)) as gateway, gateway.client() as client:
        assert client.get(path).text == before
        assert json.loads(events(before)[-1][2]) == {"total_chunks": len(events(before)) - 1}
        assert client.get(path, params={"offset": 5}).text == before[before.index("event: chunk\nid: 5\n") :]
        assert client.get(path, params={"offset": 10_000}).status_code == 416
        *chunks, (name, _, data) = replayed(client, unread["stream"]["url"])
        assert (name, json.loads(data)) == ("done", {"total_chunks": len(chunks)})
        whole = at_end(client, unread["id"])["results"][0]["choices"][0]["message"]["content"]
        assert text_of([json.loads(chunk) for _, _, chunk in chunks]) == whole


def test_past_its_time_a_stream_is_gone_from_the_disk_too(folder: Path, upstream: Upstream) -> None:
    upstream.behave()
    more = "[chunks]\nretention_s = 1\n"
    gateway = start(folder, upstream, more)
    with running(gateway), gateway.client() as client:
        task = submit(client, text_request(stream=True)).json()
        assert at_end(client, task["id"])["status"] == "completed"
        gateway.kill()
    assert written(folder, task["id"]) > 0
    with running(start(folder, upstream, more)) as gateway, gateway.client() as client:
        wait_for(lambda: client.get(task["stream"]["url"]).status_code == 410)
        assert client.get(task["stream"]["url"]).json()["error"]["code"] == "stream_expired"
        wait_for(lambda: written(folder, task["id"]) == 0)
        assert at_end(client, task["id"])["results"] is not None


def test_a_stream_that_nobody_read_begins_anew_with_nothing_of_before(folder: Path, upstream: Upstream) -> None:
    upstream.behave(**SLOW)
    gateway = start(folder, upstream)
    with running(gateway), gateway.client() as client:
        task = submit(client, text_request(stream=True)).json()
        wait_for(lambda: written(folder, task["id"]) > 30)
        gateway.kill()
    upstream.behave(tokens=5)
    for _ in range(2):
        with running(start(folder, upstream)) as gateway, gateway.client() as client:
            ended = at_end(client, task["id"])
            assert ended["status"] == "completed"
            *chunks, (name, _, _) = replayed(client, task["stream"]["url"])
            assert name == "done"
            assert len(chunks) < 20
            message = ended["results"][0]["choices"][0]["message"]["content"]
            assert text_of([json.loads(chunk) for _, _, chunk in chunks]) == message
            gateway.kill()


def test_no_kill_around_the_end_makes_a_success_of_less(folder: Path, upstream: Upstream) -> None:
    """Streams that end all the time, killed at many moments: whichever is completed then has every chunk on disk."""
    upstream.behave(tokens=20, tokens_per_s=400)
    ids: list[str] = []
    for turn in range(4):
        gateway = start(folder, upstream, "[chunks]\nwrite_delay_ms = 60000\n")
        with running(gateway), gateway.client() as client:
            ids += [submit(client, text_request(stream=True)).json()["id"] for _ in range(40)]
            time.sleep(0.02 * turn)
            gateway.kill()
        with closing(sqlite3.connect(folder / "data" / "reynard.db")) as connection:
            completed = dict(connection.execute("SELECT id, result FROM tasks WHERE status = 'completed'"))
            for task_id, result in completed.items():
                rows = connection.execute("SELECT body FROM chunks WHERE task_id = ? ORDER BY first", (task_id,))
                chunks = [json.loads(line) for (body,) in rows for line in body.split(b"\n")]
                assert text_of(chunks) == json.loads(result)["choices"][0]["message"]["content"]
    with running(start(folder, upstream)) as gateway, gateway.client() as client:
        assert {at_end(client, task_id)["status"] for task_id in ids} == {"completed"}
