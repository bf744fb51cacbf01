"""Secrets in every place that takes one, failures of every kind, and a search for the secrets wherever anything is
written: answers, logs, every byte of the data directory, the documents, and what the commands print."""

import base64
import itertools
import json
import os
import resource
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.forks import Forked
from tests.processes import FORGIVING, Gateway, events, running

MARK = "kanarienvogel"
"""In every secret, so that one search finds them all."""
KEYS = {
    "inline": f"sk-{MARK}-inline-4711",
    "env": f"{MARK}variable",  # no shape that could be known by its looks
    "file": f"{MARK} file with spaces",
}
USER, PASSWORD, PATH_TOKEN = f"{MARK}user", f"{MARK}password", f"{MARK}path"
DIALECTS = ("openai", "anthropic", "gemini")
STATUSES = (400, 401, 403, 404, 413, 422, 429, 500)
MODES = (*map(str, STATUSES), "garbage", "event", "cut")
FORMS: tuple[dict[str, Any], ...] = ({"sync": True}, {"sync": True, "stream": True}, {"stream": True})


class Parrot(BaseHTTPRequestHandler):
    """A provider that fails as its path says, and repeats all that it was sent, headers and address above all."""

    def do_POST(self) -> None:
        mode = next(part for part in self.path.split("/") if part in MODES)
        self.rfile.read(int(self.headers["content-length"]))
        said = " ".join(
            [self.path, *(f"{name}: {value}" for name, value in self.headers.items() if name != "content-length")]
        )
        error = {
            "type": "invalid_request_error",
            "code": said,
            "message": f"Wrong: {said}",
            "status": "INVALID_ARGUMENT",
        }
        body = json.dumps({"type": "error", "error": error}).encode()
        match mode:
            case "garbage":
                self._answer(200, "application/json", b"{" + body)
            case "event":
                self._answer(200, "text/event-stream", b"event: error\ndata: " + body + b"\n\n")
            case "cut":
                self._answer(200, "application/json", body[:-20], len(body))
            case status:
                self._answer(int(status), "application/json", body)

    def _answer(self, status: int, kind: str, body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(length or len(body)))
        self.send_header("connection", "close")
        self.send_header("x-echo", self.path)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def do_GET(self) -> None:
        self._answer(200, "image/png", b"\x89PNG\r\n\x1a\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet."""


@pytest.fixture
def parrot() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Parrot)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def model_of(dialect: str, mode: str) -> str:
    return f"{dialect}-{mode}"


def config(parrot: str, folder: Path) -> str:
    """A channel and a model for each way to fail, each with another kind of secret."""
    (folder / "key.txt").write_text(KEYS["file"])
    written = itertools.cycle([KEYS["inline"], "env:PLACE", f"file:{folder / 'key.txt'}"])
    before = itertools.cycle(["", f"{USER}:{PASSWORD}@"])
    rows = ["[media]\nallow_private_networks = true\n"]
    for dialect, mode in itertools.product(DIALECTS, MODES):
        name = model_of(dialect, mode)
        rows.append(f'[[models]]\nid = "{name}"\n')
        rows.append(
            f'[[channels]]\nname = "{name}"\ndialect = "{dialect}"\nmodels = ["{name}"]\n'
            f'base_url = "http://{next(before)}{parrot}/{mode}/{PATH_TOKEN}"\napi_key = "{next(written)}"\n{FORGIVING}'
        )
    return "\n".join(rows)


class Search:
    """What was written somewhere, and where the mark is in it."""

    NEEDLES = tuple(
        needle.lower()
        for needle in (
            MARK.encode(),
            *(base64.b64encode(secret.encode())[2:-4] for secret in (*KEYS.values(), f"{USER}:{PASSWORD}")),
            *(secret.encode().hex().encode() for secret in KEYS.values()),
            *(secret.encode("utf-16-le") for secret in KEYS.values()),
        )
    )

    def __init__(self) -> None:
        self.places = 0
        self.found: list[str] = []

    def look(self, where: str, what: bytes | str, *more: str) -> None:
        """At `what`, for the mark and `more`."""
        self.places += 1
        raw = (what.encode() if isinstance(what, str) else what).lower()
        for needle in (*self.NEEDLES, *(secret.encode().lower() for secret in more)):
            at = raw.find(needle)
            if at >= 0:
                self.found.append(f"{where}: …{raw[max(0, at - 80) : at + 60]!r}…")

    def look_at(self, where: str, response: httpx2.Response, *more: str) -> None:
        """At an answer, its headers too."""
        self.look(f"{where} ({response.status_code})", str(dict(response.headers)) + response.text, *more)


@pytest.fixture
def search() -> Search:
    return Search()


def provoke(client: httpx2.Client, search: Search, modes: Sequence[str]) -> None:
    """Failures of a provider, in every form of answer."""

    def ask(case: tuple[str, str, dict[str, Any]]) -> None:
        dialect, mode, form = case
        body = {"model": model_of(dialect, mode), "prompt": "Hello", "max_tokens": 20, **form}
        answer = client.post("/v1/llm/generations", json=body)
        search.look_at(f"{dialect} {mode} {form}", answer)
        if not form.get("sync"):
            task = answer.json()
            ended = client.get(f"/v1/tasks/{task['id']}", params={"wait": 30})
            assert ended.json()["status"] == "failed", ended.text
            search.look_at(f"{dialect} {mode} task", ended)
            stream = client.get(task["stream"]["url"])
            assert events(stream.text)[-1][0] == "error"
            search.look_at(f"{dialect} {mode} stream", stream)

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(ask, itertools.product(DIALECTS, modes, FORMS)))
    for path, body in (
        ("/v1/chat/completions", {"model": "openai-400", "messages": [{"role": "user", "content": "Hello"}]}),
        ("/v1/messages", {"model": "openai-400", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}),
        ("/v1/responses", {"model": "openai-400", "input": "Hello"}),
    ):
        search.look_at(path, client.post(path, json=body))


def test_no_secret_of_the_operator_is_ever_told(
    folder: Path, parrot: str, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", KEYS["env"])
    for stop, modes in ((signal.SIGABRT, MODES), (signal.SIGKILL, ("400", "event"))):
        with running(Gateway(folder, config(parrot, folder))) as gateway, gateway.client(timeout_s=60) as client:
            resource.prlimit(gateway.popen.pid, resource.RLIMIT_CORE, (0, 0))  # that would hold them all
            provoke(client, search, modes)
            for path in (
                "/openapi.json",
                "/docs",
                "/llms.txt",
                "/v1/models",
                "/v1/tasks?limit=100",
                "/readyz",
                "/metrics",
                "/nowhere",
            ):
                search.look_at(path, client.get(path))
            gateway.config.write_text(gateway.config.read_text() + "\nnonsense = [")
            gateway.popen.send_signal(signal.SIGHUP)
            client.get("/healthz")
            gateway.popen.send_signal(stop)
            gateway.close()
        on_disk(gateway, search)
    for command in (["doctor"], ["doctor", "--json"], ["config", "check"]):
        folder.joinpath("reynard.toml").write_text(config(parrot, folder))
        search.look(" ".join(command), commanded(gateway, *command))
    assert search.places > len(DIALECTS) * len(MODES) * len(FORMS)
    assert search.found == []


def on_disk(gateway: Gateway, search: Search, *more: str) -> None:
    """Every byte that the gateway wrote: log, store, write-ahead log, files."""
    search.look("log", (gateway.folder / "gateway.log").read_bytes(), *more)
    written = [path for path in (gateway.folder / "data").rglob("*") if path.is_file()]
    assert any(path.name == "reynard.db" for path in written)
    for path in written:
        search.look(path.name, path.read_bytes(), *more)


def commanded(gateway: Gateway, *words: str) -> str:
    """What a command prints, whether it likes the settings or not."""
    done = gateway.refused(*words, "--config", str(gateway.config))
    assert done.stdout + done.stderr
    return done.stdout + done.stderr


WRONG = {
    "no TOML": f'[[channels]]\nname = "a"\napi_key = "{KEYS["inline"]}\nmodels = []\n',
    "no quotes": f"[[channels]]\napi_key = {KEYS['inline']}\n",
    "a table": f'[[channels]]\nname = "a"\ndialect = "openai"\nbase_url = "https://x.example"\nmodels = []\n'
    f'api_key = {{ key = "{KEYS["inline"]}" }}\n',
    "in the list": f'[[channels]]\nname = "a"\ndialect = "openai"\nbase_url = "https://x.example"\nmodels = []\n'
    f'api_key = ["{KEYS["inline"]}", 5]\n',
    "as the way to show it": f'[[channels]]\nname = "a"\nauth = "{KEYS["inline"]}"\nmodels = []\n',
    "as a variable": '[[channels]]\nname = "a"\ndialect = "openai"\nbase_url = "https://x.example"\nmodels = []\n'
    f'api_key = "env:{KEYS["inline"]}"\n',
    "no address": '[[channels]]\nname = "a"\ndialect = "openai"\nmodels = []\n'
    f'base_url = "ftp://{USER}:{PASSWORD}@x"\n',
    "a blank": f'[[channels]]\nname = "a"\ndialect = "openai"\nmodels = []\n'
    f'base_url = "https://{USER}:{PASSWORD}@LOCATION.example/{PATH_TOKEN}"\n',
    "a slash": f'[[channels]]\nname = "a"\ndialect = "openai"\nmodels = []\nbase_url = "https://{USER}:{PASSWORD}/word@x"\n',
    "no account": f'[[channels]]\nname = "a"\ndialect = "gemini"\nbase_url = "https://x.example"\nauth = "google"\n'
    f'models = []\napi_key = "{{\\"private_key\\": \\"{KEYS["inline"]}\\"}}"\n',
}


@pytest.mark.parametrize("fault", WRONG)
def test_settings_that_are_wrong_are_not_quoted(folder: Path, search: Search, fault: str) -> None:
    file, log = folder / "reynard.toml", folder / "log"
    file.write_text(WRONG[fault])
    for words in (["config", "check"], ["doctor"], ["serve", "--port", "0"]):
        command = [*words, "--config", str(file), "--data", str(folder / "data")]
        process = Forked(command, log, os.environ)
        assert process.stdout is not None
        with process.stdout as stdout:
            said = ""
            for line in stdout:
                said += line
                if line.startswith("listening"):
                    process.send_signal(signal.SIGTERM)
        process.wait()
        search.look(" ".join(words), said + log.read_text())
    assert search.found == []


def test_a_callers_secrets_stay_with_the_caller(folder: Path, parrot: str, search: Search) -> None:
    with running(Gateway(folder, config(parrot, folder).replace("env:PLACE", "x"))) as gateway:
        mine = gateway.new_key()
        shown = (mine, gateway.key)
        wrong = {"authorization": f"Bearer sk-{MARK}"}
        with gateway.client(mine) as client:
            calls: list[tuple[str, str, dict[str, Any]]] = [
                ("GET", "/v1/models", {"headers": wrong}),
                ("GET", "/v1/models", {"headers": {"authorization": f"Basic {MARK}"}}),
                ("POST", "/v1/messages", {"headers": {"authorization": "", "x-api-key": MARK}, "json": {}}),
                ("GET", f"/v1/tasks?api_key={MARK}&key={mine}", {}),
                ("POST", "/v1/llm/generations", {"content": f'{{"model": "openai-400", "prompt": "{MARK}'}),
                ("POST", "/v1/llm/generations", {"content": f'"{MARK}"'}),
                ("POST", "/v1/llm/generations", {"json": {"model": 5, "prompt": MARK}}),
                ("POST", "/v1/llm/generations", {"json": {"model": "openai-400", "prompt": [MARK]}}),
                ("POST", "/v1/llm/generations", {"json": {"model": "openai-500", "prompt": MARK, "sync": True}}),
                ("POST", "/v1/files/upload/url", {"json": {"url": f"http://{parrot}/a.png?token={MARK}"}}),
                ("POST", "/v1/files/upload/url", {"json": {"url": f"http://{USER}:{MARK}@{parrot}/a.png#{MARK}"}}),
                ("POST", "/v1/files/upload/url", {"json": {"url": f"http://127.0.0.1:1/a.png?token={MARK}"}}),
                ("POST", "/v1/files/upload/url", {"json": {"url": f"gopher://{USER}:{MARK}@x/"}}),
                ("POST", "/v1/files/upload/base64", {"json": {"file_data": f"!!{MARK}"}}),
                (
                    "POST",
                    "/v1/files/upload/stream",
                    {"content": MARK, "headers": {"content-type": "multipart/form-data"}},
                ),
                ("POST", f"/v1/{MARK}", {"json": {}}),
            ]
            for method, path, options in calls:
                search.look_at(
                    f"{method} {path.split('?')[0]} {options}"[:70], client.request(method, path, **options), *shown
                )
            search.look_at("files", client.get("/v1/files"), *shown)
        gateway.kill()
    on_disk(gateway, search, *shown)
    search.look("keys list", gateway.command("keys", "list").stdout, *shown)
    assert search.found == []
