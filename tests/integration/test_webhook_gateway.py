"""Webhooks of a real gateway: its own processes, its API and its command line."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.integration.test_answers import wait_for
from tests.processes import Gateway, Upstream, channel, running, text_request
from tests.receiver import Receiver, event, is_signed

from reynard.bootstrap.data_dir import open_store
from reynard.core.task import Status, Task, Terms

CONFIG = "[webhooks]\nallow_private_networks = true\n"
DATA = Path("data")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as opened:
        yield opened


def key_ids(gateway: Gateway) -> dict[str, str]:
    """By name."""
    return {row["name"]: row["id"] for row in json.loads(gateway.command("keys", "list", "--json").stdout)}


def end_task(folder: Path, key_id: str, url: str, number: int = 1) -> str:
    """A task of the key's that has ended, kept by another process; the id of its delivery."""
    now = time.time() + number / 1_000
    task = Task(
        id=f"task-llm-{number:08d}",
        key_id=key_id,
        model="gpt-5.5",
        form="text",
        status=Status.COMPLETED,
        created=now,
        started=now,
        ended=now,
        terms=Terms(callback_url=url),
    )

    async def keep() -> None:
        store = open_store(folder / DATA)
        await store.insert(task, None, b'{"id":"chatcmpl-1"}')
        await store.close()

    asyncio.run(keep())
    return f"msg_{task.id}"


def delivery(client: httpx2.Client, delivery_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/webhooks/deliveries/{delivery_id}").raise_for_status().json()
    return found


def test_a_kill_between_send_and_record_sends_it_again(folder: Path, receiver: Receiver) -> None:
    receiver.hanging = {"/"}
    with running(Gateway(folder, CONFIG)) as gateway:
        delivery_id = end_task(folder, key_ids(gateway)["admin"], receiver.url + "/")
        first = receiver.next()
        gateway.kill()
    receiver.hanging = set()
    with running(Gateway(folder, CONFIG)) as gateway, gateway.client() as client:
        second = receiver.next()
        assert (second.id, second.body) == (first.id, first.body) == (delivery_id, first.body)
        wait_for(lambda: delivery(client, delivery_id)["state"] == "delivered")
        [one] = delivery(client, delivery_id)["tries"]
        assert (one["status"], one["error"]) == (204, None)
        secret = client.get("/v1/webhooks/secret").json()["data"][0]["secret"]
        assert is_signed(first, secret)
        assert is_signed(second, secret)


def test_what_is_told_is_what_a_query_shows(folder: Path, receiver: Receiver) -> None:
    with running(Gateway(folder, CONFIG)) as gateway:
        end_task(folder, key_ids(gateway)["admin"], receiver.url)
        with gateway.client() as client:
            told = event(receiver.next())
            assert told["data"] == client.get("/v1/tasks/task-llm-00000001").json()


def test_a_key_sees_and_redelivers_its_own(folder: Path, receiver: Receiver) -> None:
    with running(Gateway(folder, CONFIG)) as gateway:
        other = gateway.new_key("--name", "other")
        ids = key_ids(gateway)
        made = [end_task(folder, ids["admin"], receiver.url, number) for number in (1, 2, 3)]
        foreign = end_task(folder, ids["other"], receiver.url, 4)
        with gateway.client() as client, gateway.client(other) as stranger:
            wait_for(lambda: receiver.count == 4)
            page = client.get("/v1/webhooks/deliveries", params={"limit": 2}).json()
            assert ([row["id"] for row in page["data"]], page["has_more"]) == (made[:0:-1], True)
            rest = client.get("/v1/webhooks/deliveries", params={"after": made[1]}).json()
            assert ([row["id"] for row in rest["data"]], rest["has_more"]) == (made[:1], False)
            one = client.get("/v1/webhooks/deliveries", params={"task_id": "task-llm-00000002"}).json()
            assert [row["id"] for row in one["data"]] == [made[1]]
            wait_for(lambda: delivery(client, made[0])["state"] == "delivered")
            assert client.get("/v1/webhooks/deliveries", params={"state": "failed"}).json()["data"] == []
            for wrong in ({"state": "done"}, {"limit": 0}, {"after": foreign}):
                assert client.get("/v1/webhooks/deliveries", params=wrong).status_code == 422

            path = f"/v1/webhooks/deliveries/{made[0]}"
            for refused in (stranger.get(path), stranger.post(path + "/redeliver"), client.get(path + "x")):
                assert (refused.status_code, refused.json()["error"]["code"]) == (404, "delivery_not_found")
            back = client.post(path + "/redeliver").json()
            assert (back["id"], back["state"], back["attempt"]) == (made[0], "pending", 0)
            wait_for(lambda: receiver.count == 5)
            wait_for(lambda: len(delivery(client, made[0])["tries"]) == 2)


def test_a_secret_is_rotated_and_the_old_one_signs_for_a_day(folder: Path, receiver: Receiver) -> None:
    with running(Gateway(folder, CONFIG)) as gateway, gateway.client() as client:
        [old] = client.get("/v1/webhooks/secret").json()["data"]
        answer = client.post("/v1/webhooks/secret/rotate")
        assert answer.headers["cache-control"] == "no-store"
        new, still = answer.json()["data"]
        assert (still["secret"], new["expires"]) == (old["secret"], None)
        assert answer.json() == client.get("/v1/webhooks/secret").json()
        key_id = key_ids(gateway)["admin"]
        end_task(folder, key_id, receiver.url)
        post = receiver.next()
        assert is_signed(post, new["secret"])
        assert is_signed(post, old["secret"])
        said = json.loads(gateway.command("webhooks", "secret", key_id, "--json").stdout)
        assert said == answer.json()["data"]
        rotated = json.loads(gateway.command("webhooks", "rotate", key_id, "--json").stdout)
        assert rotated == client.get("/v1/webhooks/secret").json()["data"]
        assert rotated[1]["secret"] == new["secret"]
        for path in (folder / DATA).iterdir():
            assert new["secret"][6:].encode() not in (path.read_bytes() if path.is_file() else b"")
        assert "whsec_" not in (folder / "gateway.log").read_text()


def test_private_networks_are_closed_by_default(folder: Path, receiver: Receiver) -> None:
    with running(Gateway(folder)) as gateway, gateway.client() as client:
        key_id = key_ids(gateway)["admin"]
        by_number = end_task(folder, key_id, receiver.url, 1)
        by_name = end_task(folder, key_id, f"http://localhost:{receiver.port}/", 2)
        for delivery_id in (by_number, by_name):
            wait_for(lambda name=delivery_id: delivery(client, name)["tries"])
            assert delivery(client, delivery_id)["tries"][0]["error"] == "unreachable"
        assert receiver.count == 0


def test_the_command_line_sees_and_redelivers(folder: Path, receiver: Receiver) -> None:
    with running(Gateway(folder, CONFIG)) as gateway:
        made = end_task(folder, key_ids(gateway)["admin"], receiver.url)
        receiver.next()

        def shown() -> dict[str, Any]:
            found: dict[str, Any] = json.loads(gateway.command("webhooks", "show", made, "--json").stdout)
            return found

        wait_for(lambda: shown()["state"] == "delivered")
        [row] = json.loads(gateway.command("webhooks", "list", "--state", "delivered", "--json").stdout)
        assert row["id"] == made
        assert made in gateway.command("webhooks", "list").stdout
        assert "204" in gateway.command("webhooks", "show", made).stdout
        gateway.command("webhooks", "redeliver", made)
        assert receiver.next().id == made


def test_a_key_has_an_address_of_its_own(folder: Path) -> None:
    with running(Gateway(folder)) as gateway:
        gateway.new_key("--name", "own", "--callback-url", "https://example.com/hook")
        key_id = key_ids(gateway)["own"]

        def address() -> Any:
            return json.loads(gateway.command("keys", "show", key_id, "--json").stdout)["callback_url"]

        assert address() == "https://example.com/hook"
        gateway.command("keys", "update", key_id, "--callback-url", "none")
        assert address() is None


def test_no_gateway_starts_with_a_secret_that_is_not_whole(folder: Path) -> None:
    with running(Gateway(folder)) as gateway:
        pass
    (folder / DATA / "webhooks.secret").write_bytes(b"too short")
    refused = gateway.refused("serve", "--port", "0")
    assert refused.returncode == 1
    assert "webhooks.secret does not hold 32 bytes" in refused.stderr
    assert "Traceback" not in refused.stderr
    told = gateway.refused("doctor")
    assert told.returncode == 1
    assert "does not hold 32 bytes" in told.stdout


def test_the_secret_is_made_by_the_gateway_alone_and_anew_not_silently(folder: Path, receiver: Receiver) -> None:
    secret, log = folder / DATA / "webhooks.secret", folder / "gateway.log"
    with running(Gateway(folder, CONFIG)) as gateway:
        assert secret.exists()
        key_id = key_ids(gateway)["admin"]
        end_task(folder, key_id, receiver.url)
        receiver.next()
    assert "made anew" not in log.read_text()
    secret.unlink()
    for command in ("secret", "rotate"):
        refused = gateway.refused("webhooks", command, key_id)
        assert (refused.returncode, secret.exists()) == (1, False)
        assert "start the gateway first" in refused.stderr
    assert "put it back" in gateway.refused("doctor").stdout
    with running(Gateway(folder, CONFIG)) as gateway:
        assert "made anew" in log.read_text()
        [one] = json.loads(gateway.command("webhooks", "secret", key_id, "--json").stdout)
        assert one["expires"] is None  # it was not rotated


# from the request to the receiver


@pytest.fixture
def ours(folder: Path, upstream: Upstream) -> Iterator[Gateway]:
    with running(Gateway(folder, channel(upstream) + CONFIG)) as gateway:
        yield gateway


@pytest.mark.parametrize("more", [{}, {"stream": True}, {"sync": True}, {"sync": True, "stream": True}])
def test_who_asks_to_be_told_is_told(ours: Gateway, receiver: Receiver, more: dict[str, Any]) -> None:
    with ours.client() as client:
        answer = client.post("/v1/llm/generations", json=text_request(callback_url=receiver.url + "/hook", **more))
        assert answer.status_code == 200
        task_id = answer.headers.get("x-task-id") or answer.json()["id"]
        post = receiver.next()
        told = event(post)
        assert (told["type"], told["data"]["id"], post.id) == ("generation.completed", task_id, f"msg_{task_id}")
        assert told["data"] == client.get(f"/v1/tasks/{task_id}").json()
        assert is_signed(post, client.get("/v1/webhooks/secret").json()["data"][0]["secret"])


def test_failures_and_cancels_are_told(ours: Gateway, upstream: Upstream, receiver: Receiver) -> None:
    with ours.client() as client:
        upstream.behave(fail={"status": 400, "rate": 1})
        client.post("/v1/llm/generations", json=text_request(callback_url=receiver.url)).raise_for_status()
        assert event(receiver.next())["type"] == "generation.failed"
        upstream.behave(first_token_ms=60_000)
        task = client.post("/v1/llm/generations", json=text_request(callback_url=receiver.url)).json()
        client.post(f"/v1/tasks/{task['id']}/cancel").raise_for_status()
        told = event(receiver.next())
        assert (told["type"], told["data"]["id"]) == ("generation.cancelled", task["id"])


def test_the_address_of_the_key_is_told_of_what_names_no_other(ours: Gateway, receiver: Receiver) -> None:
    config = str(ours.config)
    key = ours.new_key("--callback-url", receiver.url + "/key", "--config", config)
    with ours.client(key) as client:
        client.post("/v1/llm/generations", json=text_request()).raise_for_status()
        assert receiver.next().path == "/key"
        client.post("/v1/llm/generations", json=text_request(callback_url=receiver.url + "/own")).raise_for_status()
        assert receiver.next().path == "/own"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://user:secret@example.com/", "ftp://example.com/", "x"])
def test_an_address_that_is_not_posted_to_is_refused_at_once(client: httpx2.Client, url: str) -> None:
    answer = client.post("/v1/llm/generations", json=text_request(callback_url=url))
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "callback_url")
    assert "secret" not in answer.text


def test_an_end_that_was_told_by_nobody_is_told_after_a_kill(
    folder: Path, upstream: Upstream, receiver: Receiver
) -> None:
    """The task ends in the next process, with its delivery in the same commit."""
    upstream.behave(first_token_ms=60_000)
    with running(Gateway(folder, channel(upstream) + CONFIG)) as gateway, gateway.client() as client:
        request = text_request(callback_url=receiver.url)
        task = client.post("/v1/llm/generations", json=request).json()
        wait_for(lambda: upstream.state()["open"] == 1)
        gateway.kill()
    upstream.behave()
    with running(Gateway(folder, channel(upstream) + CONFIG)):
        assert receiver.next().id == f"msg_{task['id']}"
