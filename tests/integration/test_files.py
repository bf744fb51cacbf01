"""Spec section 2.6, against a real gateway: uploads, downloads, and what becomes of both when a line is cut."""

import base64
import json
import os
import re
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.integration.test_answers import submit, wait_for
from tests.processes import Gateway, Process, Upstream, channel, running, text_request

FIVE_KEYS = ["id", "filename", "url", "size", "created"]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
PDF = b"%PDF-1.7\n" + b"x" * 100


def by_form(client: httpx2.Client, data: bytes, name: str | None, **more: str) -> httpx2.Response:
    fields = {**({} if name is None else {"file_name": name}), **more}
    return client.post("/v1/files/upload/stream", files={"file": ("part.bin", data)}, data=fields)


def by_base64(client: httpx2.Client, data: bytes, name: str | None, **more: Any) -> httpx2.Response:
    body = {"file_data": base64.b64encode(data).decode(), **({} if name is None else {"file_name": name}), **more}
    return client.post("/v1/files/upload/base64", json=body)


def by_url(client: httpx2.Client, data: bytes, name: str | None, **more: Any) -> httpx2.Response:
    """Of a file of the gateway's own: the one address that needs no network."""
    source = by_form(client, data, "source.bin").json()["url"]
    return client.post(
        "/v1/files/upload/url", json={"url": source, **({} if name is None else {"file_name": name}), **more}
    )


WAYS = [by_form, by_base64, by_url]
Way = Callable[..., httpx2.Response]


def on_disk(gateway: Gateway) -> list[str]:
    return sorted(path.name for path in (gateway.folder / "data" / "files").iterdir())


def rows(gateway: Gateway) -> int:
    connection = sqlite3.connect(gateway.folder / "data" / "reynard.db")
    try:
        count: int = connection.execute("SELECT count(*) FROM files").fetchone()[0]
        return count
    finally:
        connection.close()


@pytest.mark.parametrize("way", WAYS)
def test_every_upload_answers_the_five_documented_keys(client: httpx2.Client, way: Way) -> None:
    before = int(time.time())
    response = way(client, PNG, "Ünï 1.png")
    file = response.json()
    assert response.status_code == 200
    assert list(file) == FIVE_KEYS
    assert re.fullmatch(r"file-\d{10}-[a-z0-9]{6}", file["id"])
    assert int(file["id"].split("-")[1]) == file["created"] >= before
    assert (file["filename"], file["size"]) == ("Ünï 1.png", len(PNG))
    assert file["url"].startswith(str(client.base_url))
    assert file["url"].endswith(".png")
    served = httpx2.get(file["url"], headers={"origin": "https://app.example"})  # no key
    assert (served.status_code, served.content) == (200, PNG)
    assert served.headers["content-type"] == "image/png"
    assert served.headers["x-content-type-options"] == "nosniff"
    assert served.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_known_is_refused_and_nothing_is_kept(client: httpx2.Client, gateway: Gateway, way: Way) -> None:
    by_form(client, PNG, "source.bin")
    before = len(on_disk(gateway)) + (way is by_url)
    response = way(client, PNG, "a.png", purpose="assistants")
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_param")
    assert response.json()["error"]["param"] == "purpose"
    assert len(on_disk(gateway)) == before


@pytest.mark.parametrize("way", [by_form, by_base64])
def test_an_empty_file_is_refused(client: httpx2.Client, gateway: Gateway, way: Way) -> None:
    before = on_disk(gateway)
    response = way(client, b"", "a.png")
    assert response.status_code == 422
    assert response.json()["error"]["param"] == ("file" if way is by_form else "file_data")
    assert on_disk(gateway) == before


@pytest.mark.parametrize(
    ("path", "content_type", "body", "status", "code"),
    [
        ("stream", "application/json", b"{}", 400, "invalid_multipart"),
        ("stream", "multipart/form-data", b"", 400, "invalid_multipart"),
        ("stream", "multipart/form-data; boundary=x", b"--x\r\nnonsense", 400, "invalid_multipart"),
        ("base64", "text/plain", b"{}", 400, "invalid_json"),
        ("base64", "application/json", b"nonsense", 400, "invalid_json"),
        ("base64", "application/json", b'{"file_data":"!"}', 422, "invalid_param"),
        ("url", "application/json", b"nonsense", 400, "invalid_json"),
        ("url", "application/json", b'{"url":"file:///etc/passwd"}', 422, "invalid_param"),
        ("url", "application/json", b'{"url":"' + b"x" * 140_000 + b'"}', 413, "request_too_large"),
    ],
)
def test_bad_bodies(client: httpx2.Client, path: str, content_type: str, body: bytes, status: int, code: str) -> None:
    response = client.post(f"/v1/files/upload/{path}", content=body, headers={"content-type": content_type})
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/files/upload/stream"),
        ("POST", "/v1/files/upload/base64"),
        ("POST", "/v1/files/upload/url"),
        ("GET", "/v1/files"),
        ("GET", "/v1/files/file-1-aaaaaa"),
        ("DELETE", "/v1/files/file-1-aaaaaa"),
    ],
)
def test_all_but_the_bytes_need_a_key(gateway: Gateway, method: str, path: str) -> None:
    assert httpx2.request(method, gateway.url + path).status_code == 401


def test_ranges_and_conditions(client: httpx2.Client) -> None:
    url = by_form(client, PNG, "a.png").json()["url"]

    def get(**headers: str) -> httpx2.Response:
        return httpx2.get(url, headers={name.replace("_", "-"): value for name, value in headers.items()})

    whole = get()
    etag = whole.headers["etag"]
    assert re.fullmatch(r'"[0-9a-f]{64}"', etag)
    assert whole.headers["accept-ranges"] == "bytes"
    for header, start, end in [("2-5", 2, 6), ("10000-", 10_000, len(PNG)), ("-7", len(PNG) - 7, len(PNG))]:
        part = get(range=f"bytes={header}", if_range=etag)
        assert (part.status_code, part.content) == (206, PNG[start:end])
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{len(PNG)}"
        assert part.headers["content-length"] == str(end - start)
    for passed_over in (
        {"range": "bytes=0-1,4-5"},
        {"range": "bytes=0-1", "if_range": '"other"'},
        {"range": "x=0-1"},
        {"range": "bytes=5-4"},
    ):
        assert (get(**passed_over).status_code, get(**passed_over).content) == (200, PNG)
    beyond = get(range=f"bytes={len(PNG)}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(PNG)}")
    assert beyond.json()["error"]["code"] == "range_not_satisfiable"
    fresh = get(if_none_match=f'"x", W/{etag}')
    assert (fresh.status_code, fresh.content, fresh.headers["etag"]) == (304, b"", etag)
    for asked in ({}, {"range": "bytes=0-3"}, {"range": f"bytes={len(PNG)}-"}):
        head = httpx2.head(url, headers=asked)
        assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(PNG)), b"")
        assert "content-range" not in head.headers


@pytest.mark.parametrize(
    ("data", "name", "media_type", "disposition"),
    [
        (PNG, "a.png", "image/png", 'inline; filename="a.png"'),
        (PDF, "ä.pdf", "application/pdf", "inline; filename=\"_.pdf\"; filename*=UTF-8''%C3%A4.pdf"),
        (b"hello", "a.txt", "text/plain; charset=utf-8", 'inline; filename="a.txt"'),
        (b"<html><script>", "a.png", "text/html; charset=utf-8", 'attachment; filename="a.png"'),
        (b"<svg onload=alert(1)>", "a.svg", "image/svg+xml", 'attachment; filename="a.svg"'),
        (b"hello", "a", "application/octet-stream", 'attachment; filename="a"'),
        (b"hello", 'x"\r\nset-cookie: a=b\r\n.txt', "text/plain; charset=utf-8", None),
    ],
)
def test_a_browser_is_told_how_to_handle_it(
    client: httpx2.Client, data: bytes, name: str, media_type: str, disposition: str | None
) -> None:
    served = httpx2.get(by_base64(client, data, name).json()["url"])
    assert (served.status_code, served.content) == (200, data)
    assert served.headers["content-type"] == media_type
    if disposition is not None:
        assert served.headers["content-disposition"] == disposition
    assert "set-cookie" not in served.headers
    assert "default-src 'none'" in served.headers["content-security-policy"]
    assert "private" in served.headers["cache-control"]


@pytest.mark.parametrize("what", ["files", "tasks"])
def test_a_page_behind_nothing_is_refused(gateway: Gateway, client: httpx2.Client, what: str) -> None:
    def made(by: httpx2.Client) -> str:
        if what == "files":
            return str(by_form(by, PNG, "a.png").json()["id"])
        return str(submit(by, text_request(sync=False)).json()["id"])

    with gateway.client(gateway.new_key()) as own:
        gone, foreign = "file-1-aaaaaa", made(client)
        made(own)
        if what == "files":
            gone = made(own)
            own.delete(f"/v1/files/{gone}")
        for after in (gone, foreign, "nope", ""):
            refused = own.get(f"/v1/{what}", params={"after": after})
            assert (refused.status_code, refused.json()["error"]["param"]) == (422, "after")
            assert refused.json()["error"]["code"] == "invalid_param"


@pytest.mark.parametrize(
    "name",
    [
        "e\u200d\u0301.txt",
        "A\ue000\u030a.txt",
        "../../../etc/passwd",
        "C:\\x\\..\\boot.ini",
        "a/b/c",
        "\u202egnp.exe",
        "x" * 999 + ".png",
    ],
)
def test_a_hostile_name_does_no_harm(client: httpx2.Client, name: str) -> None:
    file = by_base64(client, PNG, name).json()
    assert not set(file["filename"]) & set("/\\\u202e")
    assert len(file["filename"].encode()) <= 255
    assert httpx2.get(file["url"]).content == PNG


def test_an_address_that_is_not_one_is_a_plain_404(client: httpx2.Client) -> None:
    url = by_form(client, PNG, "a.png").json()["url"]
    token = url.split("/")[-2]
    for other in (
        url.replace(token, "a" * 32),
        url.replace(token, "short"),
        url.replace("a.png", "b.html"),
        url + "/x",
    ):
        response = httpx2.get(other)
        assert (response.status_code, response.headers["content-type"]) == (404, "application/json")
        assert response.json()["error"]["type"] == "not_found"
        assert token not in response.text


def test_files_are_listed_shown_and_deleted_by_their_key_alone(gateway: Gateway) -> None:
    with gateway.client(gateway.new_key()) as own, gateway.client(gateway.new_key()) as other:
        files = [by_form(own, PNG, f"{number}.png").json() for number in range(3)]
        page = own.get("/v1/files", params={"limit": 2}).json()
        assert [file["id"] for file in page["data"]] == [files[2]["id"], files[1]["id"]]
        assert page["has_more"] is True
        rest = own.get("/v1/files", params={"limit": 2, "after": page["data"][-1]["id"]}).json()
        assert [file["id"] for file in rest["data"]] == [files[0]["id"]]
        assert rest["has_more"] is False
        path = f"/v1/files/{files[0]['id']}"
        shown = own.get(path).json()
        assert {key: shown[key] for key in FIVE_KEYS} == files[0]
        assert (shown["type"], shown["expires"] - shown["created"]) == ("image/png", 259_200)
        assert other.get("/v1/files").json()["data"] == []
        for refused in (other.get(path), other.delete(path)):
            assert (refused.status_code, refused.json()["error"]["code"]) == (404, "file_not_found")
        assert own.delete(path).json() == {"id": files[0]["id"], "object": "file", "deleted": True}
        for gone in (own.get(path), own.delete(path), httpx2.get(files[0]["url"])):
            assert (gone.status_code, gone.json()["error"]["code"]) == (404, "file_not_found")


def test_over_the_quota(folder: Path) -> None:
    with running(Gateway(folder, "[files]\nquota_bytes = 25000\n")) as gateway, gateway.client() as client:
        first = by_form(client, PNG, "1.png").json()
        by_base64(client, PNG, "2.png")
        for refused in (
            by_form(client, PNG, "3.png", auto_cleanup="false"),
            by_base64(client, PNG, "3.png", auto_cleanup=False),
        ):
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "storage_full")
            assert refused.json()["error"]["type"] == "permission_error"
        too_large = by_form(client, b"x" * 25_001, "4.bin")
        assert (too_large.status_code, too_large.json()["error"]["code"]) == (403, "storage_full")
        assert len(on_disk(gateway)) == rows(gateway) == 2
        assert by_form(client, PNG, "3.png").status_code == 200
        wait_for(lambda: len(on_disk(gateway)) == 2)
        assert httpx2.get(first["url"]).status_code == 404


def test_a_file_has_a_largest_size(folder: Path) -> None:
    with running(Gateway(folder, "[files]\nmax_bytes = 300000\n")) as gateway, gateway.client() as client:
        for size, status in ((300_000, 200), (300_001, 413), (1_000_000, 413)):
            for way in (by_form, by_base64):
                response = way(client, b"x" * size, "a.bin")
                assert response.status_code == status
                if status == 413:
                    assert response.json()["error"]["code"] == "request_too_large"

        def endless() -> Iterator[bytes]:
            yield b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
            for _ in range(100):
                yield b"y" * 10_000

        headers = {"content-type": "multipart/form-data; boundary=x"}
        assert client.post("/v1/files/upload/stream", content=endless(), headers=headers).status_code == 413
        assert len(on_disk(gateway)) == rows(gateway) == 2


def test_what_has_expired_goes_by_itself(folder: Path) -> None:
    with running(Gateway(folder, "[files]\nretention_s = 1\n")) as gateway, gateway.client() as client:
        file = by_form(client, PNG, "a.png").json()
        assert httpx2.get(file["url"]).status_code == 200
        wait_for(lambda: on_disk(gateway) == [] and rows(gateway) == 0)
        assert httpx2.get(file["url"]).status_code == 404
        assert client.get("/v1/files").json()["data"] == []


def begin(gateway: Gateway, path: str, content_type: str, body: bytes, length: int = 50_000_000) -> socket.socket:
    """An upload that has begun, and has much more to come."""
    host, port = gateway.url.removeprefix("http://").split(":")
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n"
        f"content-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
    )
    connection = socket.create_connection((host, int(port)), 10)
    connection.sendall(head.encode() + body)
    return connection


FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n' + b"y" * 2_000_000
BASE64 = b'{"file_name":"a.bin","file_data":"' + b"QUJD" * 500_000
BEGUN = [
    ("/v1/files/upload/stream", "multipart/form-data; boundary=x", FORM),
    ("/v1/files/upload/base64", "application/json", BASE64),
]


@pytest.mark.parametrize(("path", "content_type", "body"), BEGUN)
def test_a_client_that_goes_away_leaves_nothing(folder: Path, path: str, content_type: str, body: bytes) -> None:
    with running(Gateway(folder)) as gateway:
        connections = [begin(gateway, path, content_type, body) for _ in range(5)]
        wait_for(lambda: len(on_disk(gateway)) == 5)
        for connection in connections:
            connection.close()
        wait_for(lambda: on_disk(gateway) == [])
        assert rows(gateway) == 0
        assert "Traceback" not in (folder / "gateway.log").read_text()


@pytest.mark.parametrize(("path", "content_type", "body"), BEGUN)
def test_a_gateway_that_is_killed_leaves_nothing_for_long(
    folder: Path, path: str, content_type: str, body: bytes
) -> None:
    with running(Gateway(folder)) as gateway, gateway.client() as client:
        kept = by_form(client, PNG, "a.png").json()
        with begin(gateway, path, content_type, body):
            wait_for(lambda: len(on_disk(gateway)) == 2)
            gateway.kill()
    (folder / "data" / "files" / ("o" * 32 + ".blob")).write_text("bytes whose row was never written")
    with running(Gateway(folder)) as gateway, gateway.client() as client:
        wait_for(lambda: len(on_disk(gateway)) == 1)
        [found] = client.get("/v1/files").json()["data"]
        assert found["id"] == kept["id"]
        assert httpx2.get(found["url"]).content == PNG


def test_a_reader_that_goes_away_is_not_read_for(folder: Path) -> None:
    with running(Gateway(folder)) as gateway, gateway.client() as client:
        url = by_form(client, os.urandom(20_000_000), "a.bin").json()["url"]
        for _ in range(20):
            with httpx2.stream("GET", url) as response:
                next(response.iter_raw())
        wait_for(lambda: not any("/data/files/" in path for path in opened_by(gateway)))
        assert "Traceback" not in (folder / "gateway.log").read_text()


def opened_by(gateway: Gateway) -> list[str]:
    links = Path(f"/proc/{gateway.popen.pid}/fd").iterdir()
    return [str(link.readlink()) for link in links if link.is_symlink()]


def test_a_file_can_stand_in_a_request_by_address_and_by_id(
    gateway: Gateway, client: httpx2.Client, upstream: Upstream
) -> None:
    image, document = by_form(client, PNG, "a.png").json(), by_form(client, PDF, "a.pdf").json()
    content = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": image["url"]}}]
    assert submit(client, chat("gpt-5.5", content)).status_code == 200
    sent = upstream.state()["bodies"][-1]["messages"][0]["content"][1]["image_url"]["url"]
    assert sent == "data:image/png;base64," + base64.b64encode(PNG).decode()
    by_id = [{"type": "file", "file": {"file_id": document["id"]}}]
    for sync in (True, False):
        assert submit(client, {**chat("gemini-2.5-pro", by_id), "sync": sync}).status_code == 200
    streamed = {**chat("gemini-2.5-pro", by_id), "stream": True}
    assert client.post("/v1/chat/completions", json=streamed).status_code == 200


def test_a_file_by_id_reaches_the_provider(folder: Path, upstream: Upstream) -> None:
    config = channel(upstream) + '[[models]]\nid = "gpt-5.5"\ncapabilities = ["text", "file"]\n'
    with running(Gateway(folder, config)) as gateway, gateway.client() as client:
        document = by_form(client, PDF, "a.pdf").json()
        content = [{"type": "text", "text": "Read"}, {"type": "file", "file": {"file_id": document["id"]}}]
        assert submit(client, chat("gpt-5.5", content)).status_code == 200
        [_, sent] = upstream.state()["bodies"][-1]["messages"][0]["content"]
        assert sent["type"] == "file"
        assert sent["file"]["file_data"] == "data:application/pdf;base64," + base64.b64encode(PDF).decode()


def test_a_file_of_another_key_is_not_to_be_had_by_id(gateway: Gateway, client: httpx2.Client) -> None:
    foreign = by_form(client, PDF, "a.pdf").json()["id"]
    with gateway.client(gateway.new_key()) as other:
        for file_id in (foreign, "file-1-aaaaaa", ""):
            for sync in (True, False):
                content = [{"type": "text", "text": "x"}, {"type": "file", "file": {"file_id": file_id}}]
                refused = submit(other, {**chat("gemini-2.5-pro", content), "sync": sync})
                assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_param")
                assert refused.json()["error"]["param"] == "messages[0].content[1].file.file_id"
        assert other.get("/v1/tasks").json()["data"] == []


def chat(model: str, content: Sequence[Any]) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": content}], "sync": True}


def test_addresses_are_built_from_the_setting(folder: Path) -> None:
    config = '[server]\npublic_url = "https://files.example/gate/"\n'
    with running(Gateway(folder, config)) as gateway, gateway.client() as client:
        url = by_form(client, PNG, "a.png").json()["url"]
        assert url.startswith("https://files.example/gate/files/")
        assert httpx2.get(gateway.url + url.removeprefix("https://files.example/gate")).content == PNG
        assert client.post("/v1/files/upload/url", json={"url": url}).status_code == 200  # it is known as its own


def test_files_in_an_object_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(Process(["tests.s3"], folder / "s3.log")) as s3:
        for name, value in (("ACCESS_KEY_ID", "AKIDTEST"), ("SECRET_ACCESS_KEY", "hush"), ("ENDPOINT_URL", s3.url)):
            monkeypatch.setenv(f"AWS_{name}", value)
        config = '[files]\nurl = "s3://bucket/here"\nretention_s = 60\nquota_bytes = 40000000\n'
        with running(Gateway(folder, config)) as gateway, gateway.client() as client:
            large = os.urandom(20_000_000)
            for way in (by_form, by_base64):
                file = way(client, large, "a.bin").json()
                assert httpx2.get(file["url"]).content == large
                part = httpx2.get(file["url"], headers={"range": "bytes=1048570-1048590"})
                assert (part.status_code, part.content) == (206, large[1_048_570:1_048_591])
            by_form(client, PNG, "b.png")  # the oldest goes
            wait_for(lambda: len(s3_state(s3)["objects"]) == 2)
            assert client.delete(f"/v1/files/{file['id']}").status_code == 200
            assert len(s3_state(s3)["objects"]) == 1
            with begin(gateway, *BEGUN[0][:2], FORM * 4):
                wait_for(lambda: len(s3_state(s3)["uploads"]) == 1)
            wait_for(lambda: s3_state(s3)["uploads"] == [])
            httpx2.post(f"{s3.url}/_down", content=b"true")
            refused = by_form(client, PNG, "c.png")
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
            assert s3.url.removeprefix("http://") not in refused.text
        log = (folder / "gateway.log").read_text()
        assert "hush" not in log
        assert "Traceback" not in log


def s3_state(s3: Process) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(httpx2.get(f"{s3.url}/_state").content)
    return state
