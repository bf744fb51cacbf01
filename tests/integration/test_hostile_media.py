"""Hostile media addresses, against a real gateway: each is refused soon, in little memory, and told to nobody."""

import gzip
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from tests.certificates import self_signed
from tests.media import OK, PNG, MediaServer, Play, drips, floods, media_server, redirects, says, whole
from tests.processes import FreshGateway, Gateway, Upstream, channel, running, text_request

from reynard.providers.fetcher.guarded import FAILED

CATALOGUE = '[[models]]\nid = "eye"\ncapabilities = ["text", "vision", "video", "audio", "file"]\n'
MAX_BYTES = 2_000_000
TIMEOUT_S = 7.0
MOST_MEMORY = 120_000_000
"""At the peak, of the whole process. It starts with some 45 MB, and a bomb of the tests unpacks to 200."""


def config(upstream: Upstream, media: str) -> str:
    return f"[media]\n{media}\n" + CATALOGUE + channel(upstream, models='["eye"]', more="quirks = { fetches = [] }")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream) -> Iterator[Gateway]:
    """As it ships."""
    with running(Gateway(tmp_path_factory.mktemp("guarded"), config(shared_upstream, ""))) as process:
        yield process


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream) -> Iterator[Gateway]:
    """It may fetch from loopback, so that a server of ours can be hostile to it."""
    media = f"allow_private_networks = true\nmax_bytes = {MAX_BYTES}\ntimeout_s = {TIMEOUT_S}"
    with running(FreshGateway(tmp_path_factory.mktemp("unguarded"), config(shared_upstream, media))) as process:
        yield process


@pytest.fixture(scope="module")
def canary() -> Iterator[MediaServer]:
    """Something on loopback that nobody may reach."""
    with media_server({"/a.png": whole(PNG), "/a.mp4": whole(PNG), "/": whole(PNG)}) as server:
        yield server


@pytest.fixture(scope="module")
def hostile() -> Iterator[MediaServer]:
    with media_server(PLAYS) as server:
        yield server


def ask(gateway: Gateway, url: str, kind: str = "image") -> httpx2.Response:
    block = {"type": f"{kind}_url", f"{kind}_url": {"url": url}}
    body = {"model": "eye", "sync": True, "messages": [{"role": "user", "content": [block]}]}
    with gateway.client() as client:
        return client.post("/v1/llm/generations", json=body)


def reason(response: httpx2.Response) -> str:
    """Why the source was not read; in front of it stands which source it was."""
    where, _, said = response.json()["error"]["message"].partition(": ")
    assert where.startswith("`messages[0].content[0].")
    return str(said)


def peak_bytes(gateway: Gateway) -> int:
    status = Path(f"/proc/{gateway.popen.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def log_of(gateway: Gateway) -> str:
    return (gateway.folder / "gateway.log").read_text()


def assert_told_to_nobody(gateway: Gateway, response: httpx2.Response, *secrets: str) -> None:
    with gateway.client() as client:
        task = client.get(f"/v1/tasks/{response.headers['x-task-id']}")
    assert task.json()["error"]["code"] == response.json()["error"]["code"]
    for secret in secrets:
        for where in (response.text, str(dict(response.headers)), task.text, log_of(gateway)):
            assert secret not in where


PRIVATE = [
    "http://127.0.0.1:{port}/a.png",
    "http://127.0.0.1.:{port}/a.png",
    "http://127.1:{port}/a.png",
    "http://127.0.1:{port}/a.png",
    "http://2130706433:{port}/a.png",
    "http://0x7f000001:{port}/a.png",
    "http://0X7F.1:{port}/a.png",
    "http://0177.0.0.1:{port}/a.png",
    "http://017700000001:{port}/a.png",
    "http://0:{port}/a.png",
    "http://0.0.0.0:{port}/a.png",
    "http://１２７.０.０.１:{port}/a.png",
    "http://127。0。0。1:{port}/a.png",
    "http://①②⑦.⓪.⓪.①:{port}/a.png",
    "http://%31%32%37.0.0.1:{port}/a.png",
    "http://127.0.0.1%00.example.org:{port}/a.png",
    "http://[::1]:{port}/a.png",
    "http://[::]:{port}/a.png",
    "http://[0:0:0:0:0:0:0:1]:{port}/a.png",
    "http://[::ffff:127.0.0.1]:{port}/a.png",
    "http://[::ffff:7f00:1]:{port}/a.png",
    "http://[::127.0.0.1]:{port}/a.png",
    "http://[64:ff9b::127.0.0.1]:{port}/a.png",
    "http://[2002:7f00:1::]:{port}/a.png",
    "http://[fe80::1%25lo]:{port}/a.png",
    "http://localhost:{port}/a.png",
    "http://LOCALHOST.:{port}/a.png",
    "http://ｌｏｃａｌｈｏｓｔ:{port}/a.png",
    "http://a.localhost:{port}/a.png",
    "http://localhost.localdomain:{port}/a.png",
    "http://127.0.0.1\\.example.org:{port}/a.png",
    "http://127.0.0.1\t:{port}/a.png",
    "https://127.0.0.1:{port}/a.png",
    "http://127.0.0.2:{port}/a.png",
    "http://127.255.255.254:{port}/a.png",
    "http://169.254.169.254/latest/meta-data/iam/a.png",
    "http://2852039166/latest/a.png",
    "http://0xa9fea9fe/latest/a.png",
    "http://[::ffff:a9fe:a9fe]/latest/a.png",
    "http://[fd00:ec2::254]/latest/a.png",
    "http://metadata.google.internal/computeMetadata/v1/a.png",
    "http://100.100.100.200/latest/a.png",
    "http://168.63.129.16/metadata/a.png",
    "http://192.0.0.192/opc/a.png",
    "http://10.0.0.1/a.png",
    "http://172.16.0.1/a.png",
    "http://192.168.1.1/a.png",
    "http://100.64.0.1/a.png",
    "http://198.18.0.1/a.png",
    "http://192.0.2.1/a.png",
    "http://224.0.0.1/a.png",
    "http://255.255.255.255/a.png",
    "http://240.0.0.1/a.png",
    "http://[fc00::1]/a.png",
    "http://[fe80::1]/a.png",
    "http://[fec0::1]/a.png",
    "http://[ff02::1]/a.png",
    "http://8.8.8.8:22/a.png",
    "http://1.2.3.4.5/a.png",
    "http://999.1/a.png",
]


@pytest.mark.parametrize("url", PRIVATE)
def test_no_private_address_is_reached(guarded: Gateway, canary: MediaServer, url: str) -> None:
    before, began = canary.accepted, time.monotonic()
    response = ask(guarded, url.format(port=canary.port))
    assert time.monotonic() - began < 4
    assert (response.status_code, response.json()["error"]["code"]) == (422, "media_fetch_failed")
    assert reason(response) == FAILED  # the same for all, whatever the address is
    authority = url.split("/")[2].format(port=canary.port)
    assert_told_to_nobody(guarded, response, authority, str(canary.port), "127.0.0.1\\", "169.254", "a.png", "latest")
    assert canary.accepted == before


@pytest.mark.parametrize("kind", ["video", "audio", "file"])
def test_of_no_kind(guarded: Gateway, canary: MediaServer, kind: str) -> None:
    response = ask(guarded, f"http://127.0.0.1:{canary.port}/a.mp4", kind)
    assert (response.status_code, reason(response)) == (422, FAILED)
    assert canary.accepted == 0


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "ftp://127.0.0.1/a.png",
        "dict://127.0.0.1:11211/stat",
        "jar:http://127.0.0.1!/a.png",
        "http://user:hunter2@127.0.0.1/a.png",
        "http://@127.0.0.1/a.png",
        "http://example.org\\@127.0.0.1/a.png",
        "http://127.0.0.1:80@/a.png",
        "http:///a.png",
        "http://[::1/a.png",
        "//127.0.0.1/a.png",
    ],
)
def test_some_are_refused_before_anything_is_stored(guarded: Gateway, url: str) -> None:
    response = ask(guarded, url)
    assert response.status_code == 422
    assert response.json()["error"]["code"] == "invalid_param"
    assert "hunter2" not in response.text
    assert "127.0.0.1" not in response.text
    assert "x-task-id" not in response.headers


CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
BOMB = gzip.compress(b"\0" * 200_000_000, 9)
DEFLATED = zlib.compress(PNG * 100)
FAR = "http://127.0.0.1:1/"

BAD: dict[str, tuple[Play, str]] = {
    "/announced-10-gb": (says(OK + b"content-length: 10000000000\r\n\r\n" + PNG), "media_too_large"),
    "/unannounced-10-gb": (floods(OK + b"\r\n", PNG), "media_too_large"),
    "/chunked-10-gb": (floods(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n"), "media_too_large"),
    "/one-byte-too-many": (whole(b"\x89PNG\r\n\x1a\n" + b"x" * (MAX_BYTES - 7)), "media_too_large"),
    "/length-beyond-numbers": (says(OK + b"content-length: 99999999999999999999999\r\n\r\nx"), "media_fetch_failed"),
    "/length-below-zero": (says(OK + b"content-length: -1\r\n\r\nx"), "media_fetch_failed"),
    "/length-of-two-kinds": (says(OK + b"content-length: 3\r\ncontent-length: 9\r\n\r\nxyz"), "media_fetch_failed"),
    "/cut": (says(OK + b"content-length: 1000\r\n\r\n" + PNG), "media_fetch_failed"),
    "/cut-in-a-chunk": (says(CHUNKED + b"ff\r\n" + PNG), "media_fetch_failed"),
    "/cut-before-the-last-chunk": (says(CHUNKED + b"%x\r\n%b\r\n" % (len(PNG), PNG)), "media_fetch_failed"),
    "/no-chunk": (says(CHUNKED + b"zz\r\nhello\r\n"), "media_fetch_failed"),
    "/crumbs": (floods(CHUNKED, b"1\r\nx\r\n"), "media_fetch_failed"),
    "/chunk-extension-without-end": (floods(CHUNKED + b"5;", b"x"), "media_fetch_failed"),
    "/trailers-without-end": (floods(CHUNKED + b"1\r\nx\r\n0\r\n", b"a: b\r\n"), "media_fetch_failed"),
    "/empty": (whole(b""), "media_fetch_failed"),
    "/empty-unannounced": (says(OK + b"\r\n"), "media_fetch_failed"),
    "/headers-without-end": (floods(OK, b"x-a: b\r\n"), "media_fetch_failed"),
    "/header-without-end": (floods(OK + b"x-a: ", b"b"), "media_fetch_failed"),
    "/status-line-without-end": (floods(b"HTTP/1.1 200 ", b"b"), "media_fetch_failed"),
    "/gzip-bomb": (whole(BOMB, OK + b"content-encoding: gzip\r\n"), "media_fetch_failed"),
    "/gzip-bomb-twice": (whole(BOMB, OK + b"content-encoding: GZIP, gzip\r\n"), "media_fetch_failed"),
    "/gzip-in-the-second-header": (
        whole(BOMB, OK + b"content-encoding: identity\r\ncontent-encoding: gzip\r\n"),
        "media_fetch_failed",
    ),
    "/gzip-on-the-way": (says(OK + b"transfer-encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n"), "media_fetch_failed"),
    "/deflate": (whole(DEFLATED, OK + b"content-encoding: deflate\r\n"), "media_fetch_failed"),
    "/br": (whole(b"\x0b\x02\x80hello\x03", OK + b"content-encoding: br\r\n"), "media_fetch_failed"),
    "/zstd": (whole(b"\x28\xb5\x2f\xfd\x04\x00", OK + b"content-encoding: zstd\r\n"), "media_fetch_failed"),
    "/html": (whole(b"<html>login</html>", b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n"), "media_fetch_failed"),
    "/html-as-an-image": (whole(b"<!DOCTYPE html><p>login"), "media_fetch_failed"),
    "/no-http": (says(b"SSH-2.0-OpenSSH_9.9\r\n"), "media_fetch_failed"),
    "/nothing": (says(b""), "media_fetch_failed"),
    "/half-a-head": (says(b"HTTP/1.1 200 OK\r\ncontent-"), "media_fetch_failed"),
    "/head-of-garbage": (says(b"HTTP/1.1 200 OK\r\n\xff\x00\xfe: \x01\r\n\r\n" + PNG), "media_fetch_failed"),
    "/switching": (says(b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\n\r\n" + PNG), "media_fetch_failed"),
    "/204": (says(b"HTTP/1.1 204 No Content\r\n\r\n"), "media_fetch_failed"),
    "/206": (whole(PNG, b"HTTP/1.1 206 Partial\r\ncontent-range: bytes 0-9/99\r\n"), "media_fetch_failed"),
    "/304": (says(b"HTTP/1.1 304 Not Modified\r\n\r\n"), "media_fetch_failed"),
    "/401": (whole(PNG, b"HTTP/1.1 401 No\r\nwww-authenticate: Basic\r\n"), "media_fetch_failed"),
    "/404": (whole(PNG, b"HTTP/1.1 404 No upstream-secret\r\n"), "media_fetch_failed"),
    "/500": (whole(b"upstream-secret", b"HTTP/1.1 500 No\r\n"), "media_fetch_failed"),
    "/to-file": (redirects("file:///etc/passwd"), "media_fetch_failed"),
    "/to-gopher": (redirects("gopher://127.0.0.1:6379/_FLUSHALL"), "media_fetch_failed"),
    "/to-ftp": (redirects("ftp://127.0.0.1/a.png"), "media_fetch_failed"),
    "/to-data": (redirects("data:image/png;base64,AAAA"), "media_fetch_failed"),
    "/to-credentials": (redirects("http://a:upstream-secret@127.0.0.1/"), "media_fetch_failed"),
    "/to-ssh": (redirects("http://127.0.0.1:22/"), "media_fetch_failed"),
    "/to-nowhere": (redirects(FAR + "upstream-secret"), "media_fetch_failed"),
    "/to-nothing": (says(b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n"), "media_fetch_failed"),
    "/to-a-long-place": (redirects("/" + "a" * 9_000), "media_fetch_failed"),
    "/loop": (redirects("/loop", 307), "media_fetch_failed"),
    "/ping": (redirects("/pong", 301), "media_fetch_failed"),
    "/pong": (redirects("/ping", 308), "media_fetch_failed"),
    **{f"/hop{n}": (redirects(f"/hop{n - 1}", 303), "media_fetch_failed") for n in range(6, 9)},
    "/with-a-body-without-end": (
        floods(b"HTTP/1.1 302 Found\r\nlocation: /with-a-body-without-end\r\n\r\n", b"x"),
        "media_fetch_failed",
    ),
}
SLOW: dict[str, Play] = {
    "/a-byte-a-minute": drips(OK + b"content-length: 1000\r\n\r\n" + PNG, b"x", 60),
    "/a-byte-now-and-then": drips(OK + b"content-length: 1000\r\n\r\n" + PNG, b"x", 0.1),
    "/a-chunk-now-and-then": drips(CHUNKED, b"1\r\nx\r\n", 0.1),
    "/silence-at-once": drips(b"", b"", 60),
    "/silence-after-the-head": drips(OK + b"content-length: 1000\r\n\r\n", b"", 60),
    "/a-header-now-and-then": drips(OK, b"x-a: b\r\n", 0.1),
    "/a-byte-of-the-head-now-and-then": drips(b"", b"H", 0.5),
    "/continues-without-end": drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.1),
    "/hints-without-end": floods(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
}
GOOD: dict[str, Play] = {
    "/good.png": whole(PNG),
    "/exactly": whole(b"\x89PNG\r\n\x1a\n" + b"x" * (MAX_BYTES - 8)),
    "/chunked": says(CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(PNG), PNG)),
    "/old": says(b"HTTP/1.0 200 OK\r\n\r\n" + PNG),
    "/identity": whole(PNG, OK + b"content-encoding: identity\r\nset-cookie: a=b\r\n"),
    "/continued": says(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"content-length: %d\r\n\r\n" % len(PNG) + PNG),
    "/hop0": whole(PNG),
    **{f"/hop{n}": redirects(f"/hop{n - 1}", 302) for n in range(1, 6)},
}
PLAYS: dict[str, Play] = {path: play for path, (play, _) in BAD.items()} | SLOW | GOOD


@pytest.mark.parametrize("path", GOOD)
def test_what_is_well_behaved_is_read(unguarded: Gateway, hostile: MediaServer, upstream: Upstream, path: str) -> None:
    response = ask(unguarded, hostile.url + path)
    assert response.status_code == 200, response.text
    sent = upstream.state()["bodies"][-1]["messages"][0]["content"][0]["image_url"]["url"]
    assert sent.startswith("data:image/png;base64,iVBORw0KGg")


def test_a_request_carries_nothing_of_the_gateway(unguarded: Gateway, hostile: MediaServer, upstream: Upstream) -> None:
    ask(unguarded, hostile.url + "/identity?a=b#c")
    ask(unguarded, hostile.url + "/identity")
    first, second = (set(head.lower().strip().split("\r\n")) for head in hostile.seen[-2:])
    names = {f"host: 127.0.0.1:{hostile.port}", "accept: */*", "accept-encoding: identity", "user-agent: reynard"}
    assert first == {"get /identity?a=b http/1.1", *names}
    assert second == {"get /identity http/1.1", *names}


@pytest.mark.parametrize("path", BAD)
def test_what_is_ill_behaved_is_refused(unguarded: Gateway, hostile: MediaServer, path: str) -> None:
    began = time.monotonic()
    response = ask(unguarded, hostile.url + path)
    assert time.monotonic() - began < 6
    assert (response.status_code, response.json()["error"]["code"]) == (422, BAD[path][1]), response.text
    secrets = (str(hostile.port), "127.0.0.1:", "169.254", "upstream-secret", "passwd", "gopher", path)
    assert_told_to_nobody(unguarded, response, *secrets)
    assert peak_bytes(unguarded) < MOST_MEMORY


def test_five_redirects_and_no_more(unguarded: Gateway, hostile: MediaServer) -> None:
    before = len(hostile.seen)
    assert ask(unguarded, hostile.url + "/loop").status_code == 422
    assert len(hostile.seen) - before == 6


def test_the_slow_are_given_up_and_hold_up_nobody(unguarded: Gateway, hostile: MediaServer) -> None:
    ended: dict[str, float] = {}

    def one(path: str) -> httpx2.Response:
        began = time.monotonic()
        response = ask(unguarded, hostile.url + path)
        ended[path] = time.monotonic() - began
        return response

    paths = list(SLOW)[:8]  # as many as are fetched at once
    with ThreadPoolExecutor(len(paths)) as pool:
        calls = {path: pool.submit(one, path) for path in paths}
        began = time.monotonic()
        with unguarded.client() as client:
            assert client.post("/v1/llm/generations", json=text_request(model="eye", sync=True)).status_code == 200
        assert time.monotonic() - began < 4  # before the first of them has ended
        for path, call in calls.items():
            response = call.result()
            assert (path, response.status_code) == (path, 422)
            assert reason(response) == FAILED
            assert_told_to_nobody(unguarded, response, str(hostile.port), path)
    for path in ("/a-byte-a-minute", "/a-byte-now-and-then", "/a-chunk-now-and-then", "/silence-after-the-head"):
        assert ended[path] < TIMEOUT_S - 0.5, ended  # the pace, not the whole time
    assert max(ended.values()) < TIMEOUT_S + 4, ended


@pytest.mark.proof
def test_hints_without_end(unguarded: Gateway, hostile: MediaServer) -> None:
    began = time.monotonic()
    assert reason(ask(unguarded, hostile.url + "/hints-without-end")) == FAILED
    assert time.monotonic() - began < TIMEOUT_S + 4


def test_nothing_is_left_behind(unguarded: Gateway, hostile: MediaServer) -> None:
    descriptors = Path(f"/proc/{unguarded.popen.pid}/fd")
    ask(unguarded, hostile.url + "/good.png")
    before = len(list(descriptors.iterdir()))
    with ThreadPoolExecutor(8) as pool:
        paths = ["/unannounced-10-gb", "/announced-10-gb", "/gzip-bomb", "/with-a-body-without-end", "/404"] * 8
        assert {
            response.status_code for response in pool.map(lambda path: ask(unguarded, hostile.url + path), paths)
        } == {422}
    assert len(list(descriptors.iterdir())) <= before + 8  # the client's own, kept alive
    assert peak_bytes(unguarded) < MOST_MEMORY
    assert "Traceback" not in log_of(unguarded)


def test_a_certificate_of_nobody(unguarded: Gateway, folder: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    context.load_cert_chain(self_signed(folder))
    read: list[bytes] = []

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        try:
            with context.wrap_socket(connection, server_side=True) as wrapped:
                read.append(wrapped.recv(1))
        except OSError:
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        response = ask(unguarded, f"https://localhost:{listening.getsockname()[1]}/a.png")
        thread.join(10)
    assert reason(response) == FAILED
    assert names == ["localhost"]
    assert read == []


def test_no_tls_at_all(unguarded: Gateway, canary: MediaServer) -> None:
    response = ask(unguarded, f"https://localhost:{canary.port}/a.png")
    assert reason(response) == FAILED
