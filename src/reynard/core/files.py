"""Uploaded files: what is kept of one, how it is named, what type it is of, and the address that it is read at.

Names come from anywhere and go into addresses and headers: they are made harmless here, once.
"""

import re
import unicodedata
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

from msgspec import Struct

from reynard.core.formats import TYPE_OF_FORMAT, type_of
from reynard.core.ids import ALPHABET, Below, spelled

ID_SUFFIX_LENGTH: Final = 6
TOKEN_LENGTH: Final = 32  # of [a-z0-9]: 165 bits
LONGEST_NAME: Final = 255  # bytes of UTF-8, as file systems have it
LONGEST_EXTENSION: Final = 16
MOST_PASSES: Final = 8  # two are enough for every name that was tried
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
DEFAULT_NAME: Final = "file"
UNKNOWN_TYPE: Final = "application/octet-stream"
SNIFFED: Final = 64  # bytes from the start of a file, enough to tell its type

EXTENSION_OF_TYPE: Final[dict[str, str]] = {
    **{media_type: extension for extension, media_type in reversed(TYPE_OF_FORMAT.items())},
    "audio/mp4": "m4a",
}
ZIPPED: Final = frozenset({"docx", "xlsx", "pptx", "odt", "ods", "odp", "epub"})
SHOWN: Final = ("image/", "video/", "audio/", "application/pdf", "text/plain")
NOT_SHOWN: Final = frozenset({"image/svg+xml"})  # holds scripts

_FORBIDDEN: Final = frozenset('/\\"<>|:*?%;')
"""Not control characters, and yet a name in an address, a header or a file system is better off without them."""

_TOKEN = re.compile(rf"[a-z0-9]{{{TOKEN_LENGTH}}}")
_BLOB = re.compile(rf"([a-z0-9]{{{TOKEN_LENGTH}}})\.blob(?:\.\w+)?")


class File(Struct, frozen=True, kw_only=True):
    """An uploaded file, as a store keeps it. `size` in bytes, `sha256` in hex, times in Unix seconds.

    `token` is the secret of its address, and names its bytes in the blob store.
    """

    id: str
    key_id: str
    name: str
    type: str
    size: int
    sha256: str
    token: str
    created: float
    expires: float

    @property
    def path(self) -> str:
        """Of its address; it ends in the name, so that the extension is seen (spec section 1)."""
        return f"/files/{self.token}/{quote(self.name, safe='')}"

    @property
    def blob(self) -> str:
        """The name of its bytes in the blob store."""
        return blob_of(self.token)

    @property
    def is_shown(self) -> bool:
        """Whether a browser may show it in place: what can hold no script of its own."""
        return self.type.startswith(SHOWN) and self.type not in NOT_SHOWN


def file_id(now: float, below: Below) -> str:
    """`file-{Unix seconds}-{6 of [a-z0-9]}` (spec section 2.6)."""
    return f"file-{int(now)}-{spelled(below(36**ID_SUFFIX_LENGTH), ALPHABET, ID_SUFFIX_LENGTH)}"


def token(below: Below) -> str:
    """The unguessable part of an address."""
    return spelled(below(36**TOKEN_LENGTH), ALPHABET, TOKEN_LENGTH)


def is_token(text: str) -> bool:
    """Whether `text` can be one at all."""
    return _TOKEN.fullmatch(text) is not None


def blob_of(token: str) -> str:
    """The name of the bytes of the file with this token; it tells them from what else a bucket may hold."""
    return f"{token}.blob"


def token_of_blob(name: str) -> str | None:
    """The token that a blob, or what is left of one half written, was named by; None for what is not of here."""
    found = _BLOB.fullmatch(name)
    return None if found is None else found[1]


def token_of(url: str, public_url: str) -> str | None:
    """The token in an address under `public_url`; None if it is not one of a file here.

    Scheme and host are the same in either case, and with their port or without (RFC 3986 6.2).
    """
    try:
        asked, own = urlsplit(url), urlsplit(public_url)
        is_own = asked.scheme == own.scheme and asked.username is None and _place(asked) == _place(own)
    except ValueError:
        return None
    start = f"{own.path}/files/"
    if not is_own or not asked.path.startswith(start):
        return None
    found = asked.path[len(start) :].partition("/")[0]
    return found if is_token(found) else None


def _place(url: SplitResult) -> tuple[str | None, int | None]:
    """Host and port. Raises `ValueError`."""
    return url.hostname, url.port or DEFAULT_PORTS.get(url.scheme)


def name_of(said: str | None, media_type: str) -> str:
    """A harmless name made of `said`, which may be a path, hostile, or nothing at all."""
    name = safe_name(said or "")
    if name:
        return name
    extension = EXTENSION_OF_TYPE.get(media_type)
    return f"{DEFAULT_NAME}.{extension}" if extension else DEFAULT_NAME


def safe_name(said: str) -> str:
    """The last part of a path, NFC, with no control, format (bidi) or separator character, at most 255 bytes.

    Too long a name is cut before its extension. Empty if nothing is left. A safe name is its own: what is taken out may
    bring together what NFC composes, and so may the cut; therefore it is all done again until nothing changes.
    """
    name = _safer(re.split(r"[/\\]", said)[-1])
    for _ in range(MOST_PASSES):
        before, name = name, _safer(name)
        if name == before:
            break
    return name


def _safer(said: str) -> str:
    name = "".join(map(_safe, unicodedata.normalize("NFC", said)))
    return _cut(" ".join(unicodedata.normalize("NFC", name).split()).strip(". "))


def name_in(url: str) -> str:
    """The name that an address ends in."""
    try:
        return unquote(urlsplit(url).path.rpartition("/")[2])
    except ValueError:
        return ""


def extension_of(name: str) -> str:
    """Lower case, without the dot; empty if it has none."""
    stem, dot, extension = name.rpartition(".")
    return extension.lower() if dot and stem and len(extension) <= LONGEST_EXTENSION else ""


def media_type_of(head: bytes, name: str, declared: str = "") -> str:
    """The type of a file: by its first bytes, else by its name, else as it was declared if that is a known type.

    A container of many formats (ZIP; MP4, which holds audio too) is told apart by the name.
    """
    extension = extension_of(name)
    by_name = TYPE_OF_FORMAT.get(extension)
    found = type_of(head, "audio" if by_name is not None and by_name.startswith("audio/") else "file")
    if found == "application/zip" and extension in ZIPPED:
        found = None
    if found is not None or by_name is not None:
        return found or by_name or UNKNOWN_TYPE
    declared = declared.partition(";")[0].strip().lower()
    return declared if declared in EXTENSION_OF_TYPE else UNKNOWN_TYPE


def _safe(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Zs", "Zl", "Zp") or character in "\t\n\r":
        return " "
    if category.startswith("C"):  # controls, bidi and zero-width formats, surrogates, private and unassigned
        return ""
    return "_" if character in _FORBIDDEN else character


def _cut(name: str) -> str:
    if len(name.encode()) <= LONGEST_NAME:
        return name
    extension = extension_of(name)
    end = f".{extension}" if extension else ""
    room = LONGEST_NAME - len(end.encode())
    return name.encode()[:room].decode("utf-8", "ignore").rstrip(". ") + end
