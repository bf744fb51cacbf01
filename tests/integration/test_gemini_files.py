"""Uploads to Google's Files API, against a server on a real socket that checks what it is sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from google.genai import types

from reynard.core.errors import GenerationError
from reynard.ports.media import Uploaded
from reynard.providers.gemini.files import GeminiUploader
from reynard.providers.upstream.pool import Pool

EXPIRES = "2026-11-23T06:21:55.123456789Z"
DATA = bytes(range(256)) * 4_000


class Call(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Reply(NamedTuple):
    """`cut`: the connection ends before the whole body was sent."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = {}  # noqa: RUF012
    cut: bool = False


class Google:
    """Answers by script, call by call; keeps what it was sent."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.script: Iterator[Reply] = iter(())
        self.url = ""
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while line := await reader.readline():
                method, path, _ = line.decode().split()
                headers: dict[str, str] = {}
                while (field := await reader.readline()).strip():
                    name, _, value = field.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.calls.append(Call(method, path, headers, body))
                reply = next(self.script, None)
                if reply is None:  # never answers
                    await reader.read()
                    return
                length = len(reply.body) + (10 if reply.cut else 0)
                head = {"content-length": str(length), "content-type": "application/json", **reply.headers}
                lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
                writer.write(f"HTTP/1.1 {reply.status} X\r\n{lines}\r\n".encode() + reply.body)
                await writer.drain()
                if reply.cut:
                    return
        finally:
            writer.close()


@asynccontextmanager
async def running() -> AsyncIterator[Google]:
    served = Google()
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield served
    server.close()
    for writer in served.writers:
        writer.close()
    await server.wait_closed()


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    async with running() as served:
        yield served


class Keys:
    """Two keys that take turns."""

    def __init__(self) -> None:
        self.asked = 0

    async def headers(self, key: int = 0) -> Mapping[str, str]:
        self.asked += 1
        return {"x-goog-api-key": f"AIzaSyA-abcdefghijklm{self.asked}"}


def file(state: str, **more: Any) -> dict[str, Any]:
    said = {"name": "files/abc-1", "mimeType": "video/mp4", "sizeBytes": "1024000", "state": state, **more}
    found = {"uri": "https://generativelanguage.googleapis.com/v1beta/files/abc-1", "expirationTime": EXPIRES, **said}
    types.File.model_validate(found)
    return found


def started(google: Google, path: str = "/upload/v1beta/files?upload_id=7&upload_protocol=resumable") -> Reply:
    return Reply(headers={"x-goog-upload-url": google.url + path, "x-goog-upload-status": "active"})


def sent(state: str, **more: Any) -> Reply:
    return Reply(body=json.dumps({"file": file(state, **more)}).encode(), headers={"x-goog-upload-status": "final"})


def asked(state: str, **more: Any) -> Reply:
    return Reply(body=json.dumps(file(state, **more)).encode())


def error(status: int, word: str) -> Reply:
    said = {"code": status, "message": "for AIzaSyA-abcdefghijklm1", "status": word}
    return Reply(status, json.dumps({"error": said}).encode())


def uploader(google: Google, **more: Any) -> GeminiUploader:
    pool = Pool(5)
    return GeminiUploader(pool, google.url + "/", Keys(), **{"first_pause_s": 0.001, "total_s": 20.0, **more})


async def test_a_file_is_announced_sent_and_waited_for(google: Google) -> None:
    google.script = iter([started(google), sent("PROCESSING"), asked("PROCESSING"), asked("ACTIVE")])
    uploaded = await uploader(google).upload(DATA, "video/mp4")
    assert uploaded == Uploaded(
        uri="https://generativelanguage.googleapis.com/v1beta/files/abc-1", expires=1795414915.123456
    )
    begun, whole, *polls = google.calls
    assert (begun.method, begun.path, json.loads(begun.body)) == ("POST", "/upload/v1beta/files", {"file": {}})
    wanted = {
        "x-goog-upload-protocol": "resumable",
        "x-goog-upload-command": "start",
        "x-goog-upload-header-content-length": str(len(DATA)),
        "x-goog-upload-header-content-type": "video/mp4",
        "content-type": "application/json",
        "x-goog-api-key": "AIzaSyA-abcdefghijklm1",
    }
    assert wanted.items() <= begun.headers.items()
    assert (whole.method, whole.path) == ("POST", "/upload/v1beta/files?upload_id=7&upload_protocol=resumable")
    assert {"x-goog-upload-offset": "0", "x-goog-upload-command": "upload, finalize"}.items() <= whole.headers.items()
    assert whole.body == DATA
    assert "x-goog-api-key" not in whole.headers
    assert [(call.method, call.path) for call in polls] == [("GET", "/v1beta/files/abc-1")] * 2
    assert {call.headers["x-goog-api-key"] for call in polls} == {"AIzaSyA-abcdefghijklm1"}  # the key that owns it


async def test_a_file_that_is_ready_at_once_is_not_asked_after(google: Google) -> None:
    google.script = iter([started(google), sent("ACTIVE")])
    assert (await uploader(google).upload(b"x", "video/quicktime")).uri
    assert len(google.calls) == 2
    assert google.calls[0].headers["x-goog-upload-header-content-type"] == "video/mov"  # as the request will name it


@pytest.mark.parametrize("said", [None, "", "soon", "99999-01-01T00:00:00Z"])
async def test_a_file_of_no_known_end_is_not_used_twice(google: Google, said: str | None) -> None:
    body = {"file": {"name": "files/a", "uri": "https://x", "state": "ACTIVE", "expirationTime": said}}
    google.script = iter([started(google), Reply(body=json.dumps(body).encode())])
    assert (await uploader(google).upload(b"x", "image/png")).expires == 0


Script = Callable[[Google], list[Reply]]
FAILURES: dict[str, tuple[Script, str, bool]] = {
    "a bad key": (lambda g: [error(403, "PERMISSION_DENIED")], "upstream_auth_failed", True),
    "limited at the start": (lambda g: [error(429, "RESOURCE_EXHAUSTED")], "upstream_rate_limited", True),
    "a type that it refuses": (lambda g: [error(400, "INVALID_ARGUMENT")], "invalid_parameters", False),
    "no address": (lambda g: [Reply()], "upstream_error", True),
    "an address elsewhere": (
        lambda g: [Reply(headers={"x-goog-upload-url": "http://127.0.0.1:9/x"})],
        "upstream_error",
        True,
    ),
    "an address that is none": (lambda g: [Reply(headers={"x-goog-upload-url": "http://[x"})], "upstream_error", True),
    "an address without a host": (lambda g: [Reply(headers={"x-goog-upload-url": "/x"})], "upstream_error", True),
    "nearly google's": (
        lambda g: [Reply(headers={"x-goog-upload-url": "https://evilgoogleapis.com/"})],
        "upstream_error",
        True,
    ),
    "google's, in the clear": (
        lambda g: [Reply(headers={"x-goog-upload-url": "http://x.googleapis.com/"})],
        "upstream_error",
        True,
    ),
    "cut at the start": (lambda g: [Reply(cut=True)], "upstream_error", True),
    "a redirect": (lambda g: [Reply(302, headers={"location": "http://127.0.0.1:9/"})], "upstream_error", True),
    "failed while sending": (lambda g: [started(g), error(500, "INTERNAL")], "upstream_error", True),
    "too large": (lambda g: [started(g), Reply(413, b"")], "media_too_large", False),
    "cut while sending": (lambda g: [started(g), Reply(cut=True)], "upstream_error", True),
    "cut in an error": (lambda g: [started(g), Reply(503, cut=True)], "upstream_error", True),
    "no json": (lambda g: [started(g), Reply(body=b"<html>")], "upstream_error", True),
    "no file": (lambda g: [started(g), Reply()], "upstream_error", True),
    "a file of the wrong shape": (lambda g: [started(g), Reply(body=b'{"file": {"uri": 7}}')], "upstream_error", True),
    "nested too deeply": (lambda g: [started(g), Reply(body=b'{"x":' * 10_000)], "upstream_error", True),
    "an answer too long": (lambda g: [started(g), Reply(body=b" " * 100_000)], "upstream_error", True),
    "no address of the file": (lambda g: [started(g), sent("ACTIVE", uri="")], "upstream_error", True),
    "a state that is new": (lambda g: [started(g), Reply(body=b'{"file":{"state":"BORED"}}')], "upstream_error", True),
    "a name that leaves its path": (
        lambda g: [started(g), sent("PROCESSING", name="files/../../x")],
        "upstream_error",
        True,
    ),
    "unreadable": (lambda g: [started(g), sent("FAILED")], "media_fetch_failed", False),
    "unreadable in the end": (lambda g: [started(g), sent("PROCESSING"), asked("FAILED")], "media_fetch_failed", False),
    "gone while it waits": (
        lambda g: [started(g), sent("PROCESSING"), error(404, "NOT_FOUND")],
        "upstream_error",
        True,
    ),
}


@pytest.mark.parametrize(("script", "code", "failover"), FAILURES.values(), ids=FAILURES.keys())
async def test_a_failure_is_one_of_the_task(google: Google, script: Script, code: str, failover: bool) -> None:
    replies = script(google)
    google.script = iter(replies)
    with pytest.raises(GenerationError) as caught:
        await uploader(google).upload(b"x", "video/mp4")
    assert (caught.value.code, caught.value.failover) == (code, failover)
    assert len(google.calls) == len(replies)
    for secret in ("AIza", "127.0.0.1", "http:"):
        assert secret not in caught.value.message


async def test_the_bytes_are_sent_nowhere_else(google: Google) -> None:
    async with running() as other:
        google.script = iter([started(other)])
        other.script = iter([sent("ACTIVE")])
        with pytest.raises(GenerationError) as caught:
            await uploader(google).upload(b"x", "video/mp4")
        assert (caught.value.code, caught.value.failover) == ("upstream_error", True)
        assert other.calls == []


async def test_a_wait_that_google_asks_for_is_kept(google: Google) -> None:
    google.script = iter([Reply(429, b"", {"retry-after": "9"})])
    with pytest.raises(GenerationError) as caught:
        await uploader(google).upload(b"x", "video/mp4")
    assert caught.value.retry_after_s == 9


async def test_a_server_that_nobody_runs_is_a_failure_of_the_provider() -> None:
    served = Google()
    served.url = "http://127.0.0.1:9"
    with pytest.raises(GenerationError) as caught:
        await uploader(served).upload(b"x", "video/mp4")
    assert (caught.value.code, caught.value.failover) == ("upstream_error", True)
    assert "127" not in caught.value.message


def endless(google: Google) -> Iterator[Reply]:
    yield started(google)
    yield sent("PROCESSING")
    while True:
        yield asked("PROCESSING")


SILENT: list[Callable[[Google], Iterator[Reply]]] = [
    lambda g: iter(()),
    lambda g: iter([started(g)]),
    lambda g: iter([started(g), sent("PROCESSING")]),
    endless,
]


@pytest.mark.parametrize("script", SILENT, ids=["at the start", "while sending", "while it waits", "always processing"])
async def test_no_wait_is_without_end(google: Google, script: Callable[[Google], Iterator[Reply]]) -> None:
    google.script = script(google)
    async with asyncio.timeout(5):
        with pytest.raises(GenerationError) as caught:
            await uploader(google, total_s=0.3).upload(b"x", "video/mp4")
    assert (caught.value.code, caught.value.failover) == ("generation_timeout", True)


async def test_the_pauses_grow(google: Google) -> None:
    google.script = endless(google)
    with pytest.raises(GenerationError):
        await uploader(google, total_s=0.5, first_pause_s=0.02).upload(b"x", "video/mp4")
    assert 2 <= len(google.calls) - 2 <= 6  # at an even pace it were over twenty
