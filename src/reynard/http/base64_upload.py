"""A file in base64 inside a flat JSON object, read as it comes (sans-I/O).

The one large string, `file_data`, is decoded piece by piece. All else is kept as it stands, with an empty string in the
place of the large one, and decoded at the end as every other body is: the same rules, the same errors.
"""

import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from reynard.core import media
from reynard.core.decoding import decode
from reynard.core.errors import InvalidParam, MalformedBody
from reynard.engine.files import Offered

DATA: Final = "file_data"
LONGEST_REST: Final = 65_536
LONGEST_START: Final = 256  # of a data URI, up to its comma
SHORTEST_ESCAPE: Final = 2
UNICODE_ESCAPE: Final = 6

Name = Annotated[str, Meta(max_length=4_096)]


class Base64Form(Struct, forbid_unknown_fields=True, kw_only=True):
    """`POST /v1/files/upload/base64`: base64, or a data URI."""

    file_data: str
    file_name: Name | None = None
    auto_cleanup: bool = True


_forms = msgspec.json.Decoder(Base64Form)
_strings = msgspec.json.Decoder(str)
_base64 = msgspec.json.Decoder(bytes)  # strict, and twice as fast as binascii
_WHOLE = re.compile(rb'(?:[^"\\]++|\\u[0-9A-Fa-f]{4}|\\[^u])*+', re.DOTALL)
"""Of a JSON string, up to its end or an escape that is not whole. It never goes back: its time is that of one pass."""


class Base64Upload:
    """Feed it bytes cut anywhere; it hands back the file's own, and after `finish` what was said of the file."""

    def __init__(self) -> None:
        self._rest = bytearray()  # the object without the large string
        self._decoder = Base64Decoder()
        self._keys: set[str] = set()
        self._depth = 0
        self._is_key = False  # of the next string of the outer object: whether it is a name
        self._key = ""
        self._string: bytearray | None = None  # a small string under way
        self._escape: bytearray | None = None  # an escape under way in a small string
        self._cut = b""  # the start of an escape in the large string
        self._in_data = False
        self._form: Base64Form | None = None

    def feed(self, data: bytes) -> bytes:
        """The bytes of the file among `data`. Raises `InvalidParam`, `MalformedBody`."""
        found: list[bytes] = []
        position = 0
        while position < len(data):
            if self._in_data:
                position = self._feed_data(data, position, found)
            else:
                self._feed_rest(data[position])
                position += 1
        return b"".join(found)

    def finish(self) -> None:
        """The body has ended. Raises `MalformedBody`, `InvalidParam`."""
        self._form = decode(_forms, bytes(self._rest))
        self._decoder.finish()

    def offered(self) -> Offered:
        """What was said of the file."""
        form = self._form or Base64Form(file_data="")
        return Offered(param=DATA, name=form.file_name, type=self._decoder.type, cleanup=form.auto_cleanup)

    def _feed_data(self, data: bytes, position: int, found: list[bytes]) -> int:
        """A piece of the large string, up to its end or that of `data`."""
        text, begun = self._cut + data[position:], len(self._cut)
        end = _end(text)
        found.append(self._decoder.feed(_meant(text[:end])))
        if text[end : end + 1] == b'"':
            self._in_data, self._key, self._cut = False, "", b""
            self._keep(b'"')
            return position + end + 1 - begun
        self._cut = text[end:]
        if len(self._cut) >= UNICODE_ESCAPE:
            raise _invalid()
        return len(data)

    def _feed_rest(self, byte: int) -> None:
        """One byte outside of the large string. There are few."""
        character = b"%c" % byte
        self._keep(character)
        if self._string is not None:
            self._feed_string(character)
            return
        match character:
            case b'"' if self._depth == 1 and not self._is_key and self._key == DATA:
                self._in_data = True
            case b'"':
                self._string = bytearray()
            case b"{" | b"[":
                self._depth += 1
                self._is_key = self._depth == 1
            case b"}" | b"]":
                self._depth -= 1
            case b"," if self._depth == 1:
                self._is_key, self._key = True, ""
            case b":" if self._depth == 1:
                self._is_key = False
            case _:
                pass

    def _feed_string(self, character: bytes) -> None:
        """A name, or a value that is kept."""
        string = self._string if self._string is not None else bytearray()
        if self._escape is not None:
            self._escape += character
            if len(self._escape) == SHORTEST_ESCAPE:
                self._escape = None  # the rest of a longer one is letters
        elif character == b"\\":
            self._escape = bytearray(character)
        elif character == b'"':
            self._string = None
            if self._depth == 1 and self._is_key:
                self._begin_value(bytes(string))
            return
        string += character

    def _begin_value(self, name: bytes) -> None:
        try:
            self._key = _strings.decode(b'"%b"' % name)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise MalformedBody("The body is not valid JSON: a name is no string.") from None
        if self._key in self._keys:
            raise InvalidParam(f"`{self._key[:100]}` stands twice; send it once.", param=self._key[:100])
        self._keys.add(self._key)

    def _keep(self, data: bytes) -> None:
        self._rest += data
        if len(self._rest) > LONGEST_REST:
            raise InvalidParam(f"The body has more than {LONGEST_REST} bytes beside `{DATA}`.")


class Base64Decoder:
    """Base64 (RFC 4648 section 4, padded), or a data URI of it, cut anywhere; `type` is what a data URI declares."""

    def __init__(self) -> None:
        self.type = ""
        self._start: bytes | None = b""  # as long as it may be that of a data URI
        self._rest = b""
        self._padded = False

    def feed(self, text: bytes) -> bytes:
        """What `text` says. Raises `InvalidParam`."""
        if self._start is None:
            return self._decoded(text)
        self._start += text
        start = self._start
        if start[:5].lower() != b"data:"[: len(start)]:
            self._start = None
            return self._decoded(start)
        head, comma, payload = start.partition(b",")
        if comma:
            declared = media.declared_type((head + comma).decode("latin-1"))
            if declared is None:
                raise _invalid()
            self.type, self._start = declared, None
            return self._decoded(payload)
        if len(start) > LONGEST_START:
            raise _invalid()
        return b""

    def finish(self) -> None:
        """The text has ended. Raises `InvalidParam` if that was in the middle."""
        if self._start or self._rest:
            raise _invalid()

    def _decoded(self, text: bytes) -> bytes:
        text = self._rest + text
        whole = len(text) // 4 * 4
        block, self._rest = text[:whole], text[whole:]
        if not block:
            return b""
        if self._padded or b"\\" in block:
            raise _invalid()
        self._padded = block.endswith(b"=")
        try:
            return _base64.decode(b'"%b"' % block)
        except msgspec.DecodeError:
            raise _invalid() from None


def _end(text: bytes) -> int:
    """Where the string ends, or an escape begins that does not end in `text`; else the length of `text`."""
    quote = text.find(b'"')
    plain = len(text) if quote < 0 else quote
    if text.find(b"\\", 0, plain) < 0:
        return plain
    whole = _WHOLE.match(text)
    return whole.end() if whole else 0


def _meant(text: bytes) -> bytes:
    """`text` without its escapes, all of them at once: PHP writes every `/` as one."""
    if b"\\" not in text:
        return text
    try:
        return _strings.decode(b'"%b"' % text).encode("ascii")
    except (msgspec.DecodeError, UnicodeError):
        raise _invalid() from None


def _invalid() -> InvalidParam:
    return InvalidParam(f"`{DATA}` is not valid base64, or a data URI of it.", param=DATA)
