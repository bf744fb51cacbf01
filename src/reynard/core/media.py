"""Media sources as a client writes them: what kind they are, what they say of themselves, and whether they can be read.

Nothing is fetched here. Formats are the words of spec section 1.
"""

import binascii
import re
from typing import Final, Literal
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

from reynard.core.errors import InvalidParam
from reynard.core.generation import Generation
from reynard.core.messages import AudioBlock, Block, FileBlock, FileLinkBlock, ImageBlock, InputAudioBlock, VideoBlock

Kind = Literal["image", "video", "audio", "file"]
Origin = Literal["url", "data", "youtube", "upload"]

VIDEO_EXTENSIONS: Final = ("mp4", "mpeg", "mpg", "mov", "webm")
FORMAT_OF_TYPE: Final[dict[str, str]] = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
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
}

_DATA_URI = re.compile(r"data:([a-zA-Z0-9.+-]+/[a-zA-Z0-9.+-]+)(?:;[a-zA-Z0-9-]+=[^;,]*)*;base64,")
_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{6,20}")
_LONGEST_DATA_PREFIX = 256


class MediaSource(Struct, frozen=True):
    """One piece of media in a request. `format` and `size` (bytes) are None when the source does not tell."""

    param: str
    kind: Kind
    origin: Origin
    format: str | None
    size: int | None


def sources(generation: Generation) -> list[MediaSource]:
    """Every media source of the request, in order. Raises `InvalidParam` for one that cannot be read."""
    found: list[MediaSource] = []
    for index, message in enumerate(generation.messages):
        content = message.content
        if content is None or isinstance(content, str):
            continue
        for position, block in enumerate(content):
            source = _source(block, f"messages[{index}].content[{position}]")  # type: ignore[arg-type]
            if source is not None:
                found.append(source)
    return found


def _source(block: Block, param: str) -> MediaSource | None:
    match block:
        case ImageBlock():
            return _link(block.image_url.url, "image", f"{param}.image_url.url")
        case VideoBlock():
            return _link(block.video_url.url, "video", f"{param}.video_url.url")
        case AudioBlock():
            return _link(block.audio_url.url, "audio", f"{param}.audio_url.url")
        case FileLinkBlock():
            return _link(block.file_url.url, "file", f"{param}.file_url.url")
        case InputAudioBlock():
            size = _base64_size(block.input_audio.data, f"{param}.input_audio.data")
            return MediaSource(param, "audio", "data", block.input_audio.format, size)
        case FileBlock():
            return _file(block, param)
        case _:
            return None


def _file(block: FileBlock, param: str) -> MediaSource:
    data, file_id = block.file.file_data, block.file.file_id
    if (data is None) == (file_id is None):
        raise InvalidParam(f"`{param}.file` takes either `file_data` or `file_id`.", param=f"{param}.file")
    if data is None:
        return MediaSource(param, "file", "upload", None, None)
    if data.startswith("data:"):
        return _data(data, "file", f"{param}.file.file_data")
    return MediaSource(param, "file", "data", None, _base64_size(data, f"{param}.file.file_data"))


def _link(url: str, kind: Kind, param: str) -> MediaSource:
    if url[:5].lower() == "data:":
        return _data(url, kind, param)
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https"):
        raise InvalidParam(
            f"`{param}` must be a public http(s) URL or a data URI (`data:<type>/<subtype>;base64,<payload>`).",
            param=param,
        )
    if parts.username is not None or parts.password is not None:
        raise InvalidParam(f"`{param}` must not carry a user name or a password.", param=param)
    if kind == "video" and host in ("youtube.com", "www.youtube.com", "m.youtube.com", "youtu.be"):
        _check_youtube(url, param)
        return MediaSource(param, kind, "youtube", None, None)
    return MediaSource(param, kind, "url", _extension(parts.path), None)


def _check_youtube(url: str, param: str) -> None:
    parts = urlsplit(url)
    if parts.hostname == "youtu.be":
        video = parts.path.strip("/")
    else:
        video = parse_qs(parts.query).get("v", [""])[0] if parts.path == "/watch" else ""
    if not _YOUTUBE_ID.fullmatch(video):
        raise InvalidParam(
            f"`{param}` must be a YouTube `watch?v=` or `youtu.be/` address; Shorts and playlists are not taken.",
            param=param,
        )


def _data(uri: str, kind: Kind, param: str) -> MediaSource:
    head = _DATA_URI.match(uri[:_LONGEST_DATA_PREFIX])
    if head is None:
        raise InvalidParam(
            f"`{param}` is not a data URI of the form `data:<type>/<subtype>;base64,<payload>`.", param=param
        )
    media_type = head.group(1).lower()
    if kind != "file" and not media_type.startswith(f"{kind}/"):
        raise InvalidParam(f"`{param}` takes a data URI of type `{kind}/…`, not `{media_type}`.", param=param)
    size = _base64_size(uri[head.end() :], param)
    return MediaSource(param, kind, "data", FORMAT_OF_TYPE.get(media_type, media_type.partition("/")[2]), size)


def _base64_size(payload: str, param: str) -> int:
    """Bytes in `payload`, checked to be base64."""
    try:
        size = len(binascii.a2b_base64(payload, strict_mode=True))
    except ValueError:
        size = -1
    if size != len(payload) / 4 * 3 - payload[-4:].count("="):  # Python 3.11 lets padding after a whole group pass
        raise InvalidParam(f"`{param}` is not valid base64.", param=param)
    if size == 0:
        raise InvalidParam(f"`{param}` is empty.", param=param)
    return size


def _extension(path: str) -> str | None:
    name = path.rpartition("/")[2]
    stem, dot, extension = name.rpartition(".")
    return extension.lower() if dot and stem and len(extension) <= 5 else None
