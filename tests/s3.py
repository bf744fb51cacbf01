"""A small S3-compatible store: `python -m tests.s3`. Objects in memory; signatures are looked at, not verified.

`GET /_state` tells what it holds: objects, and multipart uploads that are neither complete nor given up.
"""

import asyncio
import hashlib
import json
import re
import socket
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

import uvicorn

BUCKET = "bucket"


class S3:
    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.uploads: dict[str, tuple[str, dict[int, bytes]]] = {}
        self.aborted = 0
        self.down = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        query = {key: values[0] for key, values in parse_qs(scope["query_string"].decode(), True).items()}
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        status, answer, extra = self.answer(scope["method"], unquote(scope["path"]), query, headers, body)
        lines = [(name.encode(), value.encode()) for name, value in extra.items()]
        if scope["method"] != "HEAD":
            lines.append((b"content-length", str(len(answer)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer})

    def answer(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        if path == "/_state":
            state = {"objects": list(self.objects), "uploads": list(self.uploads), "aborted": self.aborted}
            return 200, json.dumps(state).encode(), {}
        if path == "/_down":
            self.down = body == b"true"
            return 200, b"", {}
        if self.down:
            return 403, b"<Error><Code>AccessDenied</Code></Error>", {}
        if "Credential=AKIDTEST/" not in headers.get("authorization", ""):
            return 403, b"<Error><Code>InvalidAccessKeyId</Code></Error>", {}
        name = path.removeprefix(f"/{BUCKET}").lstrip("/")
        if method == "POST" and "delete" in query:
            return self.delete_many(body)
        if "uploads" in query or "uploadId" in query:
            return self.multipart(method, name, query, body)
        if method == "GET" and not name:
            return self.list(query.get("prefix", ""))
        if method == "PUT":
            self.objects[name] = (body, datetime.now(UTC))
            return 200, b"", {"etag": etag(body)}
        if method == "DELETE":
            self.objects.pop(name, None)
            return 204, b"", {}
        return self.read(name, headers.get("range"))

    def read(self, name: str, wanted: str | None) -> tuple[int, bytes, dict[str, str]]:
        if name not in self.objects:
            return 404, b"<Error><Code>NoSuchKey</Code></Error>", {}
        data, modified = self.objects[name]
        extra = {"etag": etag(data), "last-modified": format_datetime(modified, usegmt=True)}
        if wanted is None:
            return 200, data, {**extra, "content-length": str(len(data))}
        start, end = map(int, wanted.removeprefix("bytes=").split("-"))
        part = data[start : end + 1]
        return 206, part, {**extra, "content-range": f"bytes {start}-{start + len(part) - 1}/{len(data)}"}

    def multipart(
        self, method: str, name: str, query: dict[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        if method == "POST" and "uploads" in query:
            upload_id = f"upload-{len(self.uploads) + self.aborted}"
            self.uploads[upload_id] = (name, {})
            answer = f"<InitiateMultipartUploadResult><UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>"
            return 200, answer.encode(), {}
        upload_id = query["uploadId"]
        name, parts = self.uploads[upload_id]
        if method == "PUT":
            parts[int(query["partNumber"])] = body
            return 200, b"", {"etag": etag(body)}
        del self.uploads[upload_id]
        if method == "DELETE":
            self.aborted += 1
            return 204, b"", {}
        data = b"".join(parts[number] for number in sorted(parts))
        assert all(len(parts[number]) >= 5 * 1024 * 1024 for number in sorted(parts)[:-1])
        self.objects[name] = (data, datetime.now(UTC))
        return (
            200,
            f"<CompleteMultipartUploadResult><ETag>{etag(data)}</ETag></CompleteMultipartUploadResult>".encode(),
            {},
        )

    def delete_many(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        names = re.findall(r"<Key>(.*?)</Key>", body.decode())
        for name in names:
            self.objects.pop(name, None)
        gone = "".join(f"<Deleted><Key>{escape(name)}</Key></Deleted>" for name in names)
        return 200, f"<DeleteResult>{gone}</DeleteResult>".encode(), {}

    def list(self, prefix: str) -> tuple[int, bytes, dict[str, str]]:
        rows = "".join(
            f"<Contents><Key>{escape(name)}</Key><LastModified>{modified.isoformat()}</LastModified>"
            f"<ETag>{etag(data)}</ETag><Size>{len(data)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for name, (data, modified) in sorted(self.objects.items())
            if name.startswith(prefix)
        )
        answer = f"<ListBucketResult><Name>{BUCKET}</Name><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
        return 200, answer.encode(), {"content-type": "application/xml"}


@lru_cache(64)
def etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def main() -> None:
    bound = socket.create_server(("127.0.0.1", 0))
    print(f"listening on http://127.0.0.1:{bound.getsockname()[1]}", flush=True)
    server = uvicorn.Server(uvicorn.Config(S3(), lifespan="off", log_level="error"))
    asyncio.run(server.serve([bound]))


if __name__ == "__main__":
    main()
