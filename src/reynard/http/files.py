"""`/v1/files`: a key's own files. `/files/{token}/{name}`: the bytes of one, for whoever has the address."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal
from urllib.parse import quote

import msgspec
from msgspec import Struct

from reynard.core import ranges
from reynard.core.files import File
from reynard.http.answers import Answer, Bodiless, Responder, raw
from reynard.http.asgi import ClientGone, Send
from reynard.http.presence import WhilePresent
from reynard.http.request import Request
from reynard.http.requests import caller_of, number
from reynard.http.uploads import FileView, view

MOST_LISTED: Final = 100
POLICY: Final = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'"
SANDBOX: Final = f"{POLICY}; sandbox"
NOT_SANDBOXED: Final = "application/pdf"  # browsers show none in a sandbox


class FileDetails(FileView, kw_only=True):
    """A file, with its media type, and when it is gone (Unix seconds)."""

    type: str
    expires: int


class FileList(Struct, kw_only=True):
    """A page of files, newest first."""

    object: Literal["list"] = "list"
    data: list[FileDetails]
    has_more: bool


class FileDeleted(Struct, kw_only=True):
    """The file is gone."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


async def list_files(request: Request) -> Answer:
    """The caller's own, newest first."""
    caller = await caller_of(request)
    limit: int = number(request, "limit", 20, least=1, most=MOST_LISTED, whole=True)
    page = await request.services.engine.files.list(caller, request.query_params.get("after"), limit)
    found = FileList(data=[_details(request, file) for file in page.files], has_more=page.has_more)
    return Answer(msgspec.json.encode(found))


async def one_file(request: Request) -> Answer:
    """One of the caller's own: shown, or deleted before its time."""
    caller = await caller_of(request)
    files, file_id = request.services.engine.files, request.path_params["file_id"]
    if request.method == "DELETE":
        await files.delete(file_id, caller)
        return Answer(msgspec.json.encode(FileDeleted(id=file_id)))
    return Answer(msgspec.json.encode(_details(request, await files.find(file_id, caller))))


async def read_file(request: Request) -> Responder:
    """The bytes, whole or a range of them (RFC 9110 14); no key is needed."""
    file = await request.services.engine.files.public(request.path_params["token"], request.path_params["name"])
    etag = f'"{file.sha256}"'
    headers = {"etag": etag, "cache-control": "private, max-age=3600"}
    if ranges.matches(request.header(b"if-none-match"), etag):
        return Bodiless(304, headers)
    is_part = request.method == "GET" and ranges.is_current(
        request.header(b"if-range"), etag
    )  # RFC 9110 14.2: only there
    wanted = ranges.wanted(request.header(b"range"), file.size) if is_part else None
    start, end = wanted or (0, file.size)
    headers |= _described(file) | {"accept-ranges": "bytes", "content-length": str(end - start)}
    if wanted is not None:
        headers["content-range"] = f"bytes {start}-{end - 1}/{file.size}"
    status = 200 if wanted is None else 206
    if request.method == "HEAD":
        return Bodiless(status, headers)
    return Download(status, headers, request.services.engine.files.read(file, start, end))


class Download:
    """Bytes as fast as the client takes them; nothing is read ahead of it."""

    def __init__(
        self,
        status: int,
        headers: dict[str, str],
        opened: AbstractAsyncContextManager[AsyncGenerator[bytes, None]],
    ) -> None:
        self._status = status
        self._headers = headers
        self._opened = opened

    async def __call__(self, request: Request, send: Send) -> None:
        """Opens first, so that what is missing is still a plain error."""
        try:
            with WhilePresent(request):
                async with self._opened as pieces:
                    await send(request.start(self._status, raw(self._headers)))
                    async for piece in pieces:
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
        except ClientGone:
            return


def _details(request: Request, file: File) -> FileDetails:
    base = view(request, file)
    return FileDetails(**msgspec.structs.asdict(base), type=file.type, expires=int(file.expires))


def _described(file: File) -> dict[str, str]:
    """What a browser must know to do no harm with it."""
    text = "; charset=utf-8" if file.type.startswith("text/") else ""
    return {
        "content-type": file.type + text,
        "x-content-type-options": "nosniff",
        "content-disposition": disposition(file),
        "content-security-policy": POLICY if file.type == NOT_SANDBOXED else SANDBOX,
    }


def disposition(file: File) -> str:
    """`Content-Disposition` (RFC 6266), with the whole name as RFC 8187 has it where ASCII does not hold it."""
    kind = "inline" if file.is_shown else "attachment"
    plain = file.name.encode("ascii", "replace").decode().replace("?", "_")
    extended = "" if plain == file.name else f"; filename*=UTF-8''{quote(file.name, safe='')}"
    return f'{kind}; filename="{plain}"{extended}'
