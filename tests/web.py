"""A small web server that media is fetched from."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class Web:
    """Serves what it was given, on loopback."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[bytes, str]] = {}
        found = self._found

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body, media_type = found.get(self.path, (b"", ""))
                self.send_response(200 if self.path in found else 404)
                self.send_header("content-type", media_type)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def put(self, name: str, body: bytes, media_type: str) -> str:
        """Serves `body`; its address."""
        path = f"/{len(self._found)}/{name}"
        self._found[path] = body, media_type
        return f"http://127.0.0.1:{self._server.server_port}{path}"
