"""A disk that is full, a disk that fails, a store that is locked: refused at once, nothing lost, mended by itself."""

import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.integration.test_answers import submit, wait_for
from tests.integration.test_hostile import held
from tests.processes import Gateway, Upstream, channel, events, running, text_request

TASKS = 40
SIZE = 12_000_000
LONG = "A long prompt. " * 6_000  # fills what the write-ahead log has of room already
SLOW = {"first_token_ms": 800}
Trouble = Callable[[Gateway], AbstractContextManager[None]]


@contextmanager
def full(gateway: Gateway) -> Iterator[None]:
    """Somebody fills the disk, and makes room again."""
    ballast = gateway.folder / "data" / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65_536))
        except OSError:
            pass
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def failing(gateway: Gateway) -> Iterator[None]:
    """No file of the process grows any more (EFBIG)."""
    _, hard = resource.prlimit(gateway.popen.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(gateway.popen.pid, resource.RLIMIT_FSIZE, (8_192, hard))
    try:
        yield
    finally:
        resource.prlimit(gateway.popen.pid, resource.RLIMIT_FSIZE, (hard, hard))


@pytest.fixture
def own_disk(folder: Path) -> Iterator[bool]:
    """A small one for the data, if the machine lets a test have it."""
    data = folder / "data"
    data.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(data)]
    mounted = shutil.which("mount") is not None and subprocess.run(mount, capture_output=True).returncode == 0
    yield mounted
    if mounted:
        subprocess.run(["umount", "-l", str(data)], check=True)


@pytest.fixture
def own_gateway(folder: Path, own_disk: bool, upstream: Upstream) -> Iterator[Gateway]:
    upstream.behave(**SLOW)
    with running(Gateway(folder, channel(upstream, more="concurrency = 256"))) as gateway:
        yield gateway


@pytest.fixture(params=[full, failing, held], ids=["full", "failing", "locked"])
def trouble(request: pytest.FixtureRequest, own_disk: bool) -> Trouble:
    found: Trouble = request.param
    if found is full and not own_disk:
        pytest.skip("root alone can mount a small disk")
    return found


def refused(client: httpx2.Client, body: dict[str, Any], acknowledged: list[str]) -> httpx2.Response:
    """The first submit that is not taken; those before it found a place."""
    for _ in range(200):
        response = submit(client, body)
        if response.status_code != 200:
            return response
        acknowledged.append(response.json()["id"])
    raise AssertionError("all were taken")


def stored(client: httpx2.Client) -> set[str]:
    found: list[str] = []
    while True:
        page = client.get("/v1/tasks", params={"limit": 100, **({"after": found[-1]} if found else {})}).json()
        found += [task["id"] for task in page["data"]]
        if not page["has_more"]:
            return set(found)


def test_what_is_not_kept_is_not_acknowledged_and_what_runs_ends_once_it_passes(
    own_gateway: Gateway, trouble: Trouble, upstream: Upstream
) -> None:
    with own_gateway.client() as client, ThreadPoolExecutor(16) as pool:
        acknowledged = [
            submit(client, text_request(prompt=f"{n}", stream=n % 2 == 0)).json()["id"] for n in range(TASKS)
        ]
        with trouble(own_gateway):
            answer = refused(client, text_request(prompt=LONG), acknowledged)
            began = time.monotonic()
            many = list(pool.map(lambda _: submit(client, text_request(prompt=LONG)), range(50)))
            print(f"50 refused in {time.monotonic() - began:.2f} s")
            for response in (answer, *many):
                assert (response.status_code, response.json()["error"]["code"]) == (503, "store_unavailable")
                assert int(response.headers["retry-after"]) >= 1
            sync = submit(client, text_request(sync=True, stream=True, prompt=LONG))
            assert (sync.status_code, sync.json()["error"]["code"]) == (503, "store_unavailable")
            assert client.get("/v1/models").status_code == 200  # reading goes on
            assert httpx2.get(f"{own_gateway.url}/healthz").status_code == 200
            assert httpx2.get(f"{own_gateway.url}/readyz").status_code == 503
            wait_for(lambda: upstream.state()["open"] == 0)  # they have come to their ends, which cannot be kept yet
        wait_for(lambda: httpx2.get(f"{own_gateway.url}/readyz").status_code == 200)
        for task_id in acknowledged:
            assert client.get(f"/v1/tasks/{task_id}", params={"wait": 20}).json()["status"] == "completed"
        assert stored(client) == set(acknowledged)
        acknowledged.append(submit(client, text_request()).json()["id"])
        own_gateway.kill()
    with running(Gateway(own_gateway.folder)) as again, again.client() as client:
        assert stored(client) == set(acknowledged)
    lines = (own_gateway.folder / "gateway.log").read_text().splitlines()
    print(f"{len(lines)} lines of log")
    assert len(lines) < 2 * TASKS + 40
    assert not any("Traceback" in line for line in lines)


@pytest.mark.parametrize("write_first", [False, True], ids=["written behind", "written first"])
def test_a_stream_under_way_goes_on_when_the_disk_is_back(
    own_disk: bool, folder: Path, trouble: Trouble, upstream: Upstream, write_first: bool
) -> None:
    upstream.behave(tokens=400, tokens_per_s=200)
    config = channel(upstream) + f"[chunks]\nwrite_first = {str(write_first).lower()}\n"
    with running(Gateway(folder, config)) as gateway, gateway.client() as client, ThreadPoolExecutor(4) as pool:
        tasks = [submit(client, text_request(stream=True, prompt=f"{n}")).json() for n in range(4)]
        read = [pool.submit(client.get, task["stream"]["url"]) for task in tasks]
        wait_for(lambda: upstream.state()["open"] == 4)
        time.sleep(0.3)  # some of it is read
        with trouble(gateway):
            wait_for(lambda: httpx2.get(f"{gateway.url}/readyz").status_code == 503)
            time.sleep(1.0)
        for task, response in zip(tasks, read, strict=True):
            assert client.get(f"/v1/tasks/{task['id']}", params={"wait": 20}).json()["status"] == "completed"
            text = response.result().text
            assert events(text) == events(client.get(task["stream"]["url"]).text)
            assert events(text)[-1][0] == "done"
    assert "Traceback" not in (folder / "gateway.log").read_text()


def test_a_subscriber_that_cannot_be_marked_yet_stays_connected(own_gateway: Gateway, trouble: Trouble) -> None:
    with own_gateway.client() as client, ThreadPoolExecutor(1) as pool:
        task = submit(client, text_request(stream=True)).json()
        read = pool.submit(client.get, task["stream"]["url"])
        with trouble(own_gateway):
            wait_for(lambda: httpx2.get(f"{own_gateway.url}/readyz").status_code == 503)
            time.sleep(1.5)  # the first chunk comes meanwhile
        *chunks, end = events(read.result().text)
        assert (end[0], len(chunks) > 1) == ("done", True)
    assert "Traceback" not in (own_gateway.folder / "gateway.log").read_text()


def test_an_upload_that_finds_no_room_leaves_nothing(own_gateway: Gateway, trouble: Trouble) -> None:
    small, large = b"x" * 9_000, b"x" * 900_000
    files = own_gateway.folder / "data" / "files"
    with own_gateway.client() as client:
        with trouble(own_gateway):
            for content in (small, large):
                response = client.post("/v1/files/upload/stream", files={"file": ("a.bin", content)})
                assert (response.status_code, response.json()["error"]["code"]) == (503, "store_unavailable")
            assert client.get("/v1/files").json()["data"] == []
            assert list(files.iterdir()) == []
        wait_for(lambda: httpx2.get(f"{own_gateway.url}/readyz").status_code == 200)
        for content in (small, large):
            kept = client.post("/v1/files/upload/stream", files={"file": ("a.bin", content)}).json()
            assert httpx2.get(kept["url"]).content == content
        assert len(list(files.iterdir())) == 2


def test_a_lock_that_stays_keeps_nobody_waiting_but_the_first(own_gateway: Gateway) -> None:
    with own_gateway.client() as client, held(own_gateway):
        answers = [submit(client, text_request()) for _ in range(20)]
        took = [answer.elapsed.total_seconds() for answer in answers]
        print(f"first {took[0]:.2f} s, then at the most {max(took[1:]):.2f} s")
        assert {answer.status_code for answer in answers} == {503}
        assert sum(took) < 12
