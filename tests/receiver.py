"""A receiver of webhooks, and the verification of their signatures as Standard Webhooks 1.0 describes it."""

import base64
import hashlib
import hmac
import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self


class Post(NamedTuple):
    """What came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class Receiver:
    """Answers each path as it was told, with 204 by default; a path of `hanging` is answered at the end."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.posts: queue.Queue[Post] = queue.Queue()
        self.count = 0
        self.answers: dict[str, tuple[int, dict[str, str]]] = {}
        self.hanging: set[str] = set()
        self.go_on = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.count += 1
                receiver.posts.put(Post(self.path, headers, body))
                if self.path in receiver.hanging:
                    receiver.go_on.wait(60)
                status, more = receiver.answers.get(self.path, (204, {}))
                try:
                    self.send_response(status)
                    for name, value in more.items():
                        self.send_header(name, value)
                    self.send_header("content-length", "0")
                    self.end_headers()
                except OSError:
                    return  # nobody waits for it any more

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Quiet."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_port
        self.url = f"http://{host}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next(self, timeout_s: float = 20.0) -> Post:
        """The next one that comes."""
        return self.posts.get(timeout=timeout_s)


def is_signed(post: Post, secret: str) -> bool:
    """Whether one of the signatures is by `secret`, as `whsec_…`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{post.id}.{post.headers['webhook-timestamp']}.{post.body.decode()}".encode()
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = [entry.split(",", 1) for entry in post.headers["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(found, wanted) for version, found in given)


def event(post: Post) -> dict[str, Any]:
    """Its body."""
    found: dict[str, Any] = json.loads(post.body)
    return found
