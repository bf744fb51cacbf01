"""Large files at once: the gateway holds pieces of them, never the whole."""

import base64
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from tests.processes import FreshGateway, Process, running

SIZE = 90_000_000
AT_ONCE = 8
MOST_RESIDENT = 300_000_000
PIECE = 262_144
Upload = Callable[[httpx2.Client], httpx2.Response]


def peak_bytes(process: Process) -> int:
    """The most that the process ever held in memory."""
    status = Path(f"/proc/{process.popen.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


def sent(client: httpx2.Client, path: str, content_type: str, parts: Iterator[bytes]) -> httpx2.Response:
    return client.post(path, content=parts, headers={"content-type": content_type})


def by_form(client: httpx2.Client) -> httpx2.Response:
    piece = os.urandom(PIECE)

    def body() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
        for start in range(0, SIZE, PIECE):
            yield piece[: SIZE - start]
        yield b"\r\n--x--\r\n"

    return sent(client, "/v1/files/upload/stream", "multipart/form-data; boundary=x", body())


def by_base64(client: httpx2.Client) -> httpx2.Response:
    text = base64.b64encode(os.urandom(240_000))

    def body() -> Iterator[bytes]:
        yield b'{"file_data":"'
        for _ in range(SIZE // 240_000):
            yield text
        yield b'"}'

    return sent(client, "/v1/files/upload/base64", "application/json", body())


def by_url(client: httpx2.Client) -> httpx2.Response:
    source = client.get("/v1/files").json()["data"][-1]["url"]
    return client.post("/v1/files/upload/url", json={"url": source})


@pytest.mark.parametrize(
    "upload", [by_form, pytest.param(by_base64, marks=pytest.mark.proof), pytest.param(by_url, marks=pytest.mark.proof)]
)
def test_eight_large_uploads_at_once_and_their_downloads_stay_small(folder: Path, upload: Upload) -> None:
    with (
        running(FreshGateway(folder, "[files]\nquota_bytes = 2000000000\n")) as gateway,
        gateway.client(timeout_s=100) as client,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        assert by_form(client).json()["size"] == SIZE
        files = [response.json() for response in pool.map(upload, [client] * AT_ONCE)]
        assert [file["size"] for file in files] == [SIZE] * AT_ONCE
        uploaded = peak_bytes(gateway)
        assert sum(pool.map(downloaded, [file["url"] for file in files])) == AT_ONCE * SIZE
        figures = f"{upload.__name__}: peak {uploaded / 1e6:.0f} MB, with downloads {peak_bytes(gateway) / 1e6:.0f} MB"
        print(figures)
        assert peak_bytes(gateway) < MOST_RESIDENT, figures


def downloaded(url: str) -> int:
    with httpx2.stream("GET", url, timeout=100) as response:
        return sum(len(part) for part in response.iter_raw())


@pytest.mark.proof
def test_large_uploads_to_an_object_store_stay_small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(Process(["tests.s3"], folder / "s3.log")) as s3:
        for name, value in (("ACCESS_KEY_ID", "AKIDTEST"), ("SECRET_ACCESS_KEY", "hush"), ("ENDPOINT_URL", s3.url)):
            monkeypatch.setenv(f"AWS_{name}", value)
        config = '[files]\nurl = "s3://bucket/here"\nquota_bytes = 2000000000\n'
        with (
            running(FreshGateway(folder, config)) as gateway,
            gateway.client(timeout_s=100) as client,
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            files = [response.json() for response in pool.map(by_form, [client] * AT_ONCE)]
            assert downloaded(files[0]["url"]) == SIZE
            figures = f"object store: peak {peak_bytes(gateway) / 1e6:.0f} MB"
            print(figures)
            assert peak_bytes(gateway) < MOST_RESIDENT, figures
