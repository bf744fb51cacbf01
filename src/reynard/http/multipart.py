"""A `multipart/form-data` upload, read as it comes: one file, and what is said of it, in any order (sans-I/O)."""

from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from reynard.core.errors import InvalidMultipart, InvalidParam
from reynard.engine.files import Offered

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FILE: Final = "file"
FIELDS: Final = ("file_name", "auto_cleanup")
LONGEST_FIELD: Final = 4_096
LONGEST_BOUNDARY: Final = 200  # RFC 2046 5.1.1 has 70
MOST_HEADERS: Final = 8
LONGEST_HEADER: Final = 4_096
TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False}


class MultipartUpload:
    """Feed it bytes cut anywhere; it hands back the file's own, and after `finish` what was said of the file."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not 0 < len(boundary) <= LONGEST_BOUNDARY:
            raise InvalidMultipart("The body must be a form: send `Content-Type: multipart/form-data; boundary=…`.")
        self._said: dict[str, bytes] = {}
        self._seen: set[str] = set()
        self._filename: str | None = None
        self._type = ""
        self._ended = False
        self._parser = self._made(boundary)
        self._begin_part()

    def feed(self, data: bytes) -> bytes:
        """The bytes of the file among `data`. Raises `InvalidMultipart`, `InvalidParam`."""
        self._pieces: list[bytes] = []
        try:
            self._parser.write(data)
        except FormParserError:
            raise InvalidMultipart("The body is not a well-formed multipart form.") from None
        return b"".join(self._pieces)

    def finish(self) -> None:
        """The body has ended. Raises `InvalidMultipart` if that was too early, `InvalidParam`."""
        if not self._ended:
            raise InvalidMultipart("The body ends before its last boundary.")
        if FILE not in self._seen:
            raise InvalidParam("`file` is required and missing.", param=FILE)
        self.offered()

    def offered(self) -> Offered:
        """What was said of the file. Raises `InvalidParam`."""
        name = self._said.get("file_name")
        cleanup = self._said.get("auto_cleanup", b"true").decode("latin-1").strip().lower()
        if cleanup not in TRUTHS:
            raise InvalidParam("`auto_cleanup` must be true or false.", param="auto_cleanup")
        return Offered(
            param=FILE,
            name=self._filename if not name else name.decode("utf-8", "replace"),
            type=self._type,
            cleanup=TRUTHS[cleanup],
        )

    def _made(self, boundary: bytes) -> MultipartParser:
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin_part,
            "on_header_begin": self._begin_header,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_end": self._on_end,
        }
        return MultipartParser(boundary, callbacks, max_header_count=MOST_HEADERS, max_header_size=LONGEST_HEADER)

    def _begin_part(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._begin_header()

    def _begin_header(self) -> None:
        self._header = b""
        self._value = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header.lower()] = self._value

    def _on_headers_finished(self) -> None:
        """Which field this is. Raises `InvalidParam` for one that is not taken, or stands twice."""
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = self._name = options.get(b"name", b"").decode("utf-8", "replace")[:100]
        if kind != b"form-data" or not name:
            raise InvalidMultipart("A part of the form has no `Content-Disposition: form-data` with a `name`.")
        if name != FILE and name not in FIELDS:
            raise InvalidParam(
                f"`{name}` is not a field that is taken here. Remove it, or check its spelling.", param=name
            )
        if name in self._seen:
            raise InvalidParam(f"`{name}` stands twice; send it once.", param=name)
        self._seen.add(name)
        if name == FILE:
            self._filename = options.get(b"filename", b"").decode("utf-8", "replace") or None
            self._type = self._headers.get(b"content-type", b"").decode("latin-1")
        else:
            self._said[name] = b""

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == FILE:
            self._pieces.append(data[start:end])
            return
        if len(self._said[self._name]) + end - start > LONGEST_FIELD:
            raise InvalidParam(f"`{self._name}` has more than {LONGEST_FIELD} bytes.", param=self._name)
        self._said[self._name] += data[start:end]

    def _on_end(self) -> None:
        self._ended = True
