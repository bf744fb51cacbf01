"""Media types and formats: the words of spec section 1, and what the first bytes of a file tell."""

from typing import Final, Literal

Kind = Literal["image", "video", "audio", "file"]

VIDEO_EXTENSIONS: Final = ("mp4", "mpeg", "mpg", "mov", "webm")
FORMAT_OF_TYPE: Final[dict[str, str]] = {
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/vnd.wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/aiff": "aiff",
    "audio/x-aiff": "aiff",
    "audio/aac": "aac",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
    "audio/x-flac": "flac",
    "audio/mp4": "m4a",
    "audio/x-m4a": "m4a",
    "audio/m4a": "m4a",
    "video/mp4": "mp4",
    "video/mpeg": "mpeg",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/mov": "mov",
    "video/mpg": "mpg",
    "video/x-msvideo": "avi",
    "video/avi": "avi",
    "video/x-flv": "flv",
    "video/x-ms-wmv": "wmv",
    "video/wmv": "wmv",
    "application/pdf": "pdf",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/md": "md",
    "text/csv": "csv",
    "text/html": "html",
    "application/json": "json",
    "application/xml": "xml",
    "text/xml": "xml",
    "text/css": "css",
    "text/javascript": "js",
    "application/javascript": "js",
    "application/x-javascript": "js",
    "text/x-python": "py",
    "application/x-python": "py",
    "application/rtf": "rtf",
    "text/rtf": "rtf",
    "application/yaml": "yaml",
    "text/yaml": "yaml",
    "image/tiff": "tiff",
    "image/svg+xml": "svg",
    "video/x-matroska": "mkv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
}
TYPE_OF_FORMAT: Final[dict[str, str]] = {
    **{word: media_type for media_type, word in reversed(FORMAT_OF_TYPE.items())},
    "jpg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "mpg": "video/mpeg",
    "aif": "audio/aiff",
    "bmp": "image/bmp",
    "tif": "image/tiff",
    "avif": "image/avif",
    "m4v": "video/mp4",
    "oga": "audio/ogg",
    "opus": "audio/opus",
    "htm": "text/html",
    "xhtml": "application/xhtml+xml",
    "text": "text/plain",
    "log": "text/plain",
    "yml": "application/yaml",
    "jsonl": "application/jsonl",
    "zip": "application/zip",
    "gz": "application/gzip",
    "epub": "application/epub+zip",
    "odt": "application/vnd.oasis.opendocument.text",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "xls": "application/vnd.ms-excel",
    "ppt": "application/vnd.ms-powerpoint",
}
"""The media type of a format or file extension (lower case, no dot)."""

_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    *((b"\xff" + bytes([second]), "audio/mpeg") for second in (0xFB, 0xFA, 0xF3, 0xF2, 0xE3, 0xE2)),
    *((b"\xff" + bytes([second]), "audio/aac") for second in (0xF1, 0xF9)),  # ADTS
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
    (b"\x00\x00\x01\xb3", "video/mpeg"),
    (b"PK\x03\x04", "application/zip"),
    (b"<!DOCTYPE html", "text/html"),
    (b"<!doctype html", "text/html"),
    (b"<html", "text/html"),
)
_BRIEFLY_TOLD: Final = frozenset({"image/bmp", "audio/mpeg", "audio/aac"})
_RIFF: Final = {b"WAVE": "audio/wav", b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}
_BRANDS: Final = {
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"qt  ": "video/quicktime",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"avif": "image/avif",
}


def format_of(media_type: str) -> str:
    """The word of spec section 1 for a media type; the subtype, where it has none."""
    return FORMAT_OF_TYPE.get(media_type, media_type.partition("/")[2])


def type_of(head: bytes, kind: Kind) -> str | None:
    """The media type that the first bytes of a file tell (its "magic"), or None if they tell nothing.

    A container that holds audio or video alike is what it is sent as. Sources: https://mimesniff.spec.whatwg.org, and
    the containers' own specifications (RIFF, ISO BMFF, EBML, ID3).
    """
    found = _type_of(head)
    if kind == "file" and found in _BRIEFLY_TOLD:
        return None  # by two or three bytes, which a text may begin with as well
    if kind == "audio" and found in ("video/mp4", "video/webm"):
        return found.replace("video/", "audio/")
    return found


def _type_of(head: bytes) -> str | None:
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "audio/aiff"
    return next((media_type for magic, media_type in _MAGIC if head.startswith(magic)), None)
