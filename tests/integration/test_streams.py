"""Spec section 2.5: a stream is a log, not a socket."""

import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from tests.integration.test_answers import submit
from tests.processes import Gateway, Upstream, channel, events, running, text_of, text_request


def path_of(client: httpx2.Client, **fields: object) -> str:
    return str(submit(client, text_request(stream=True, **fields)).json()["stream"]["url"])


def test_a_stream_is_chunks_numbered_from_0_and_done(client: httpx2.Client) -> None:
    path = path_of(client)
    response = client.get(path)
    *chunks, done = events(response.text)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert [name for name, _, _ in chunks] == ["chunk"] * len(chunks)
    assert [int(number) for _, number, _ in chunks] == list(range(len(chunks)))
    assert done == ("done", "", json.dumps({"total_chunks": len(chunks)}))
    decoded = [json.loads(data) for _, _, data in chunks]
    assert {chunk["object"] for chunk in decoded} == {"chat.completion.chunk"}
    task = client.get(f"/v1/tasks/{path.split('/')[4]}").json()
    assert text_of(decoded) == task["results"][0]["choices"][0]["message"]["content"]


def test_the_task_is_completed_when_its_stream_is_done(client: httpx2.Client) -> None:
    for _ in range(20):
        path = path_of(client)
        client.get(path)
        assert client.get(f"/v1/tasks/{path.split('/')[4]}").json()["status"] == "completed"


def test_a_subscriber_that_drops_20_times_reads_byte_for_byte_the_same(
    client: httpx2.Client, upstream: Upstream
) -> None:
    upstream.behave(tokens=400, tokens_per_s=400)
    path = path_of(client)
    with ThreadPoolExecutor(1) as undisturbed:
        whole = undisturbed.submit(lambda: client.get(path).text)
        pieces, drops = [], 0
        offset = 0
        while drops < 20:
            with client.stream("GET", path, params={"offset": offset}) as response:
                text = ""
                for part in response.iter_text():
                    text += part
                    if text.count("\n\n") > random.Random(drops).randint(0, 12):
                        break
            got = [block for block in text.split("\n\n")[:-1] if block.startswith("event: chunk")]
            pieces += got
            offset += len(got)
            drops += 1
        pieces += client.get(path, headers={"last-event-id": str(offset - 1)}).text.strip().split("\n\n")
        assert "\n\n".join(pieces) == whole.result().strip()


def test_fifty_subscribers_read_the_same(client: httpx2.Client, upstream: Upstream) -> None:
    upstream.behave(tokens=60, tokens_per_s=120)
    path = path_of(client)
    with ThreadPoolExecutor(50) as pool:
        texts = set(pool.map(lambda _: client.get(path).text, range(50)))
    assert len(texts) == 1
    assert texts.pop().count("event: chunk") == 62


def test_every_offset_begins_at_its_chunk(client: httpx2.Client) -> None:
    path = path_of(client)
    whole = events(client.get(path).text)
    for offset in (0, 1, len(whole) - 2, len(whole) - 1):
        assert events(client.get(path, params={"offset": offset}).text) == whole[offset:]


@pytest.mark.parametrize("offset", [10_000, 2**53])
def test_an_offset_past_the_end_is_416(client: httpx2.Client, offset: int) -> None:
    path = path_of(client)
    client.get(path)
    response = client.get(path, params={"offset": offset})
    assert (response.status_code, response.json()["error"]["code"]) == (416, "offset_out_of_range")


@pytest.mark.parametrize("query", [{"offset": "-1"}, {"offset": "x"}, {"offset": "1.5"}, {"offset": ""}])
def test_a_bad_offset_is_named(client: httpx2.Client, query: dict[str, str]) -> None:
    response = client.get(path_of(client), params=query)
    assert (response.status_code, response.json()["error"]["param"]) == (422, "offset")


def test_a_bad_last_event_id_is_named(client: httpx2.Client) -> None:
    response = client.get(path_of(client), headers={"last-event-id": "abc"})
    assert (response.status_code, response.json()["error"]["param"]) == (422, "Last-Event-ID")


def test_a_task_without_stream_has_none(client: httpx2.Client) -> None:
    task_id = submit(client, text_request()).json()["id"]
    sync = submit(client, text_request(sync=True, stream=True)).headers["x-task-id"]
    for each in (task_id, sync):
        response = client.get(f"/v1/llm/generations/{each}/stream")
        assert (response.status_code, response.json()["error"]["code"]) == (404, "stream_not_available")


def test_an_expired_stream_is_410_and_the_result_stays(folder: Path, upstream: Upstream) -> None:

    config = channel(upstream) + "[chunks]\nretention_s = 0.000001\n"
    with running(Gateway(folder, config)) as gateway, gateway.client() as client:
        path = path_of(client)
        task_id = path.split("/")[4]
        assert client.get(f"/v1/tasks/{task_id}", params={"wait": 20}).json()["status"] == "completed"
        response = client.get(path)
        assert (response.status_code, response.json()["error"]["code"]) == (410, "stream_expired")
        assert client.get(f"/v1/tasks/{task_id}").json()["results"]


def test_more_streams_than_memory_holds_are_whole_for_who_reads_along_and_who_comes_late(
    folder: Path, upstream: Upstream
) -> None:
    upstream.behave(tokens=600, tokens_per_s=600)
    config = channel(upstream) + "[chunks]\nmax_bytes = 300_000\nmax_stream_bytes = 250_000\n"
    with running(Gateway(folder, config)) as gateway, gateway.client() as client, ThreadPoolExecutor(12) as pool:
        paths = [path_of(client, prompt=f"{number}") for number in range(12)]
        along = list(pool.map(lambda path: events(client.get(path).text), paths))
        for path, read in zip(paths, along, strict=True):
            task = client.get(f"/v1/tasks/{path.split('/')[4]}").json()
            text = text_of([json.loads(data) for name, _, data in read if name == "chunk"])
            assert (task["status"], text) == ("completed", task["results"][0]["choices"][0]["message"]["content"])
            assert events(client.get(path).text) == read
            assert events(client.get(path, params={"offset": 333}).text) == read[333:]


def test_a_stream_longer_than_one_may_be_is_not_worth_a_retry(folder: Path, upstream: Upstream) -> None:
    upstream.behave(tokens=600)
    config = channel(upstream) + "[chunks]\nmax_stream_bytes = 50_000\n"
    with running(Gateway(folder, config)) as gateway, gateway.client() as client:
        path = path_of(client)
        task = client.get(f"/v1/tasks/{path.split('/')[4]}", params={"wait": 20}).json()
        assert (task["status"], task["error"]["code"]) == ("failed", "invalid_parameters")
        assert "fewer tokens" in task["error"]["message"]
        assert events(client.get(path).text)[-1][0] == "error"


def test_the_task_lives_on_when_its_only_subscriber_goes(client: httpx2.Client, upstream: Upstream) -> None:
    upstream.behave(tokens=100, tokens_per_s=200)
    path = path_of(client)
    with client.stream("GET", path) as response:
        next(response.iter_raw())
    assert client.get(f"/v1/tasks/{path.split('/')[4]}", params={"wait": 20}).json()["status"] == "completed"
    assert events(client.get(path).text)[-1][0] == "done"
