"""`POST /v1/files/upload/{stream,base64,url}` (spec section 2.6). Bodies are read, and kept, as they come."""

from collections.abc import AsyncGenerator
from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta, Struct

from reynard.core.decoding import decode
from reynard.core.errors import UploadStalled
from reynard.core.files import File
from reynard.core.keys import Key
from reynard.engine.files import Offered, too_large
from reynard.http.answers import Answer
from reynard.http.base64_upload import Base64Upload, Name
from reynard.http.bodies import Incoming
from reynard.http.presence import WhilePresent
from reynard.http.request import Request
from reynard.http.requests import announced_bytes, caller_of, check_json, check_plain, json_body

OVERHEAD_BYTES: Final = 65_536
LARGEST_URL_BODY: Final = 131_072  # an address of 8,192 characters, each escaped as JSON may


class UrlForm(Struct, forbid_unknown_fields=True, kw_only=True):
    """`POST /v1/files/upload/url`: what the gateway is to fetch."""

    url: Annotated[str, Meta(min_length=1, max_length=8_192)]
    file_name: Name | None = None
    auto_cleanup: bool = True


class FileView(Struct, kw_only=True):
    """An uploaded file; `size` in bytes, `created` in Unix seconds."""

    id: str
    filename: str
    url: str
    size: int
    created: int


class Form(Protocol):
    """A body that holds one file: feed it bytes, get the file's own."""

    def feed(self, data: bytes) -> bytes:
        """See `MultipartUpload`, `Base64Upload`."""
        ...

    def finish(self) -> None:
        """See there."""
        ...

    def offered(self) -> Offered:
        """See there."""
        ...


_url_forms = msgspec.json.Decoder(UrlForm)


async def upload_stream(request: Request) -> Answer:
    """A multipart form."""
    from reynard.http.multipart import MultipartUpload  # here: its parser is some per cent of a start

    caller = await caller_of(request)
    form = MultipartUpload(request.header(b"content-type", ""))
    return await _taken(request, form, caller, request.services.engine.files.limits.max_bytes + OVERHEAD_BYTES)


async def upload_base64(request: Request) -> Answer:
    """JSON with the file in base64; its escapes may make it longer than it need be."""
    caller = await caller_of(request)
    check_json(request)
    most = 2 * request.services.engine.files.limits.max_bytes + OVERHEAD_BYTES
    return await _taken(request, Base64Upload(), caller, most)


async def upload_url(request: Request) -> Answer:
    """The gateway fetches the file; a client that goes away ends that."""
    caller = await caller_of(request)
    form = decode(_url_forms, await json_body(request, LARGEST_URL_BODY))
    offered = Offered(param="url", name=form.file_name, cleanup=form.auto_cleanup)
    with WhilePresent(request):
        file = await request.services.engine.files.upload_url(form.url, offered, caller)
    return _answer(request, file)


def view(request: Request, file: File) -> FileView:
    """The five documented keys."""
    url = request.services.engine.files.url(file)
    return FileView(id=file.id, filename=file.name, url=url, size=file.size, created=int(file.created))


async def _taken(request: Request, form: Form, caller: Key, most: int) -> Answer:
    check_plain(request)
    files = request.services.engine.files
    announced = announced_bytes(request)
    if announced is not None and announced > most:
        raise too_large(files.limits.max_bytes)
    return _answer(request, await files.upload(_parts(request, form, most), form.offered, caller))


async def _parts(request: Request, form: Form, most: int) -> AsyncGenerator[bytes, None]:
    """The file's bytes, asked for one message after the other: the client is read no faster than they are kept."""
    incoming = Incoming(request.receive, UploadStalled)
    size, more = 0, True
    while more:
        body, more = await incoming.next()
        size += len(body)
        if size > most:
            raise too_large(request.services.engine.files.limits.max_bytes)
        if part := form.feed(body):
            yield part
    form.finish()


def _answer(request: Request, file: File) -> Answer:
    return Answer(msgspec.json.encode(view(request, file)))
