"""Google's Files API, with its resumable upload: https://ai.google.dev/api/files.

A file is as it says or it fails: one whose bytes are not of its type ends FAILED. Videos are PROCESSING at first, until
somebody has asked once, as their state is worth asking for; all others are ready at once.
"""

import base64
import hashlib
import re
from typing import Final

import msgspec
from msgspec import Struct

from reynard.testing.wires.exchange import Refused, Request, StoredFile, require
from reynard.testing.wires.magic import matches

UPLOAD_PATH: Final = re.compile(r"/upload/v1(?:beta)?/files")
FILE_PATH: Final = re.compile(r"/v1(?:beta)?/files/(?P<name>[a-z0-9-]{1,40})")
MOST_BYTES: Final = 2 * 1024**3  # of one file; what is kept is bounded by MOST_KEPT
MOST_KEPT: Final = 512 * 1024**2
MOST_FILES: Final = 256
CHUNK: Final = 256 * 1024  # pieces of an upload, but for the last, are multiples of it
SINCE: Final = "2026-01-01T00:00:00Z"


class Described(Struct, frozen=True, forbid_unknown_fields=True):
    """What a client says of its file; Google takes both spellings."""

    name: str | None = None
    display_name: str | None = None
    displayName: str | None = None  # noqa: N815
    mimeType: str | None = None  # noqa: N815
    mime_type: str | None = None
    sizeBytes: int | str | None = None  # noqa: N815
    size_bytes: int | str | None = None


class Start(Struct, frozen=True, forbid_unknown_fields=True):
    """The body that begins an upload."""

    file: Described = Described()


class Upload(Struct):
    """An upload under way."""

    name: str
    type: str
    size: int | None
    display_name: str
    data: bytearray


class Reply(Struct, frozen=True):
    """An answer with headers of its own."""

    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Files:
    """The files of one upstream, and the uploads under way; the oldest give way to new ones."""

    def __init__(self) -> None:
        self.stored: dict[str, StoredFile] = {}
        self.uploads: dict[str, Upload] = {}
        self._begun = 0

    def serves(self, request: Request) -> bool:
        """Whether the path is of this API."""
        return any(pattern.fullmatch(request.path) for pattern in (UPLOAD_PATH, FILE_PATH))

    def needs_key(self, request: Request) -> bool:
        """The address that an upload was given is its own key."""
        return FILE_PATH.fullmatch(request.path) is not None or "upload_id" not in request.query

    def answer(self, request: Request) -> Reply:
        """What the request comes to. Raises `Refused`, or `msgspec.DecodeError`."""
        found = FILE_PATH.fullmatch(request.path)
        if found is not None:
            return self._look(request, found["name"])
        upload_id = request.query.get("upload_id")
        if upload_id is None:
            require(request.method == "POST", "Method not allowed", 405)
            return self._start(request)
        require(request.method in ("POST", "PUT"), "Method not allowed", 405)
        return self._take(request, upload_id)

    def _look(self, request: Request, name: str) -> Reply:
        file = self.stored.get(name)
        if file is None:
            raise Refused(f"You do not have permission to access the File {name} or it may not exist.", 403)
        match request.method:
            case "GET":
                shown = Reply(msgspec.json.encode(described(file, _base(request))))
                file.looks += 1
                return shown
            case "DELETE":
                del self.stored[name]
                return Reply(b"{}")
            case _:
                raise Refused("Method not allowed", 405)

    def _start(self, request: Request) -> Reply:
        require(request.header(b"x-goog-upload-protocol") == "resumable", "only resumable uploads are served here")
        require(request.header(b"x-goog-upload-command") == "start", "X-Goog-Upload-Command: start is needed")
        said = msgspec.json.decode(request.body, type=Start).file if request.body else Described()
        declared = request.header(b"x-goog-upload-header-content-type") or said.mimeType or said.mime_type
        if declared is None:
            raise Refused("Unable to determine the mime type of the file")
        length = request.header(b"x-goog-upload-header-content-length")
        require(length is None or length.isdigit(), "X-Goog-Upload-Header-Content-Length is no number")
        size = None if length is None else int(length)
        require(size is None or 0 < size <= MOST_BYTES, f"a file of {size} bytes is not taken")
        self._begun += 1
        name = (said.name or f"files/sim{self._begun:09d}").removeprefix("files/")
        require(FILE_PATH.fullmatch(f"/v1beta/files/{name}") is not None, f"{name} is no name of a file")
        require(name not in self.stored, f"The file {name} already exists", 409)
        upload_id = hashlib.blake2b(f"{self._begun} {name}".encode(), digest_size=16).hexdigest()
        self.uploads[upload_id] = Upload(
            name, declared.partition(";")[0], size, said.displayName or said.display_name or "", bytearray()
        )
        while len(self.uploads) > MOST_FILES:
            del self.uploads[next(iter(self.uploads))]
        url = f"{_base(request)}{request.path}?upload_id={upload_id}&upload_protocol=resumable"
        headers = (("x-goog-upload-url", url), ("x-goog-upload-status", "active"))
        return Reply(b"", (*headers, ("x-goog-upload-chunk-granularity", str(CHUNK))))

    def _take(self, request: Request, upload_id: str) -> Reply:
        upload = self.uploads.get(upload_id)
        if upload is None:
            raise Refused("Upload not found or already finalized", 404)
        commands = [word.strip() for word in (request.header(b"x-goog-upload-command") or "").split(",")]
        require(set(commands) <= {"upload", "finalize", "query"}, f"unknown upload command {commands}")
        if commands == ["query"]:
            received = ("x-goog-upload-size-received", str(len(upload.data)))
            return Reply(b"", (("x-goog-upload-status", "active"), received))
        if "upload" in commands:
            self._add(upload, request, last="finalize" in commands)
        if "finalize" not in commands:
            return Reply(b"", (("x-goog-upload-status", "active"),))
        said = upload.size
        require(said is None or said == len(upload.data), f"{said} bytes were promised, {len(upload.data)} came")
        del self.uploads[upload_id]
        file = self.store(StoredFile(upload.name, upload.type, bytes(upload.data), upload.display_name))
        body = msgspec.json.encode({"file": described(file, _base(request))})
        return Reply(body, (("x-goog-upload-status", "final"),))

    def _add(self, upload: Upload, request: Request, *, last: bool) -> None:
        offset = request.header(b"x-goog-upload-offset")
        require(offset == str(len(upload.data)), f"the offset is {len(upload.data)}, not {offset}")
        whole = last or len(request.body) % CHUNK == 0
        require(whole, f"a piece that is not the last must be a multiple of {CHUNK} bytes")
        require(len(upload.data) + len(request.body) <= MOST_KEPT, "the file is too large for this upstream", 413)
        upload.data += request.body

    def store(self, file: StoredFile) -> StoredFile:
        """Keeps a file; the oldest ones go when there are too many."""
        self.stored[file.name] = file
        while len(self.stored) > MOST_FILES or sum(len(kept.data) for kept in self.stored.values()) > MOST_KEPT:
            del self.stored[next(iter(self.stored))]
        return file


def state_of(file: StoredFile) -> str:
    """PROCESSING, ACTIVE or FAILED."""
    if file.type.startswith("video/") and file.looks == 0:
        return "PROCESSING"
    return "ACTIVE" if matches(file.data, file.type) else "FAILED"


def described(file: StoredFile, base: str) -> dict[str, object]:
    """The `File` resource."""
    state = state_of(file)
    shown: dict[str, object] = {
        "name": f"files/{file.name}",
        "displayName": file.display_name,
        "mimeType": file.type,
        "sizeBytes": str(len(file.data)),
        "createTime": SINCE,
        "updateTime": SINCE,
        "expirationTime": "2099-01-01T00:00:00Z",
        "sha256Hash": base64.b64encode(hashlib.sha256(file.data).hexdigest().encode()).decode(),
        "uri": f"{base}/v1beta/files/{file.name}",
        "state": state,
        "source": "UPLOADED",
    }
    if state == "FAILED":
        shown["error"] = {"code": 3, "message": f"The bytes are not {file.type}."}
    return shown


def _base(request: Request) -> str:
    return f"http://{request.header(b'host') or 'localhost'}"
