"""Media sources as a client writes them, and media as a codec finds it: resolved into what the channel takes.

Nothing is fetched here.
"""

import binascii
import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import Struct

from reynard.core.addresses import is_name_open
from reynard.core.errors import InvalidParam
from reynard.core.formats import TYPE_OF_FORMAT, Kind, format_of, type_of
from reynard.core.generation import Generation
from reynard.core.messages import (
    AudioBlock,
    Block,
    FileBlock,
    FileLinkBlock,
    ImageBlock,
    InputAudioBlock,
    TextBlock,
    VideoBlock,
)

Origin = Literal["url", "data", "youtube", "upload"]

_DATA_URI = re.compile(r"data:([a-zA-Z0-9.+-]+/[a-zA-Z0-9.+-]+)(?:;[a-zA-Z0-9-]+=[^;,]*)*;base64,")
_DISPUTED = re.compile(r"[\x00-\x20\x7f\\]")  # dropped by some parsers, a slash to others
_AUTHORITY = re.compile(r"([a-z0-9._-]+)(?::[0-9]{0,5})?")
_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{6,20}")
_LONGEST_DATA_PREFIX = 256
_SNIFFED_BASE64 = 64


class MediaSource(Struct, frozen=True):
    """One piece of media in a request. `said` is the source as it stands there: an address, a data URI, base64, an id.

    `format` and `size` (bytes) are None when the source does not tell. `begin`: of the base64, where there is any.
    """

    param: str
    kind: Kind
    origin: Origin
    said: str
    format: str | None
    size: int | None
    begin: int = 0


class Media(Struct, frozen=True, kw_only=True):
    """A media source, resolved: an address that the provider reads (`url`), or the bytes in base64 (`data`).

    `type` is the media type, by content where the bytes were seen; empty for an address that nobody has looked at.
    """

    kind: Kind
    type: str
    url: str | None = None
    data: str | None = None

    @property
    def uri(self) -> str:
        """As one text: the address, or a data URI."""
        return self.url if self.url is not None else f"data:{self.type};base64,{self.data}"

    @property
    def format(self) -> str:
        """The word of spec section 1 for its type: `mp3`, `png`, `pdf`."""
        return format_of(self.type)


Resolved = Mapping[str, Media]
"""The media of a request by what its sources said."""


class Intake(Struct, frozen=True, kw_only=True):
    """How a channel takes media.

    `fetches`: the kinds whose https address the provider reads itself; of those in `formats`, only what its address
    says to be of such a format. `youtube`: it knows that site's addresses.
    `blind`: nobody looks at addresses (the simulated dialect). `inline_bytes`: how much base64 a request may hold; what
    is more is uploaded where there is a way to, else refused.
    """

    fetches: frozenset[Kind] = frozenset()
    formats: Mapping[Kind, tuple[str, ...]] = {}
    youtube: bool = False
    blind: bool = False
    inline_bytes: int


def sources(generation: Generation) -> list[MediaSource]:
    """Every media source of the request, in order; of base64 only the first bytes are looked at, see `check_payload`.

    Raises `InvalidParam` for one that cannot be read.
    """
    found: list[MediaSource] = []
    for index, message in enumerate(generation.messages):
        content = message.content
        if content is None or isinstance(content, str):
            continue
        for position, block in enumerate(content):
            if isinstance(block, TextBlock):  # as most are
                continue
            source = _source(block, f"messages[{index}].content[{position}]")  # type: ignore[arg-type]
            if source is not None:
                found.append(source)
    return found


def check_payload(source: MediaSource) -> None:
    """Decodes what is inline, once in a request's life: it is slow where it is large. Raises `InvalidParam`."""
    if source.origin != "data":
        return
    try:
        msgspec.convert(source.said[source.begin :], bytes)
    except msgspec.ValidationError:
        raise InvalidParam(f"`{source.param}` is not valid base64.", param=source.param) from None
    if source.size == 0:
        raise InvalidParam(f"`{source.param}` is empty.", param=source.param)


def _decoded_size(said: str, begin: int) -> int:
    """Bytes in the base64 from `begin` on."""
    padding = 2 if said.endswith("==") else 1 if said.endswith("=") else 0
    return max(0, (len(said) - begin) // 4 * 3 - padding)


def as_said(source: MediaSource) -> Media:
    """The media of a source as it stands, with nothing fetched: for an address, itself."""
    if source.origin != "data":
        return Media(kind=source.kind, type=TYPE_OF_FORMAT.get(source.format or "", ""), url=source.said)
    head, comma, payload = source.said[:_LONGEST_DATA_PREFIX].partition(",")
    if comma and head[:5].lower() == "data:":
        payload = source.said[len(head) + 1 :]
        declared = head[5:].partition(";")[0].lower()
    else:
        payload = source.said
        declared = TYPE_OF_FORMAT.get(source.format or "", f"{source.kind}/{source.format}" if source.format else "")
    return Media(kind=source.kind, type=_type_in(payload, source.kind) or declared, data=payload)


def _type_in(begin: str, kind: Kind) -> str | None:
    """By the content of base64, of which this is the beginning; None, too, for what is none."""
    try:
        return type_of(binascii.a2b_base64(begin[:_SNIFFED_BASE64]), kind)
    except ValueError:
        return None


def declared_type(head: str) -> str | None:
    """The media type in the start of a data URI, up to and with its comma; None if that is no such start."""
    found = _DATA_URI.fullmatch(head.lower()) if len(head) <= _LONGEST_DATA_PREFIX else None
    return None if found is None else found.group(1)


def address(url: str, param: str) -> MediaSource:
    """A web address of a file. Raises `InvalidParam` for what is none, data URIs too."""
    if url[:5].lower() == "data:":
        raise InvalidParam(f"`{param}` must be a public http(s) URL.", param=param)
    return _link(url, "file", param)


def is_public(url: str) -> bool:
    """Whether an address may be handed to a provider to read: https, and a name in the public domain name system.

    Addresses in numbers, of any spelling, are not passed on: what they lead to, only the guarded fetcher may find out.
    Nor is any address that two parsers may read as two hosts (white space, a backslash, credentials, percent signs or
    letters beyond ASCII in the host): the provider's parser is not this one.
    """
    if _DISPUTED.search(url):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    host = _AUTHORITY.fullmatch(parts.netloc.lower())
    return parts.scheme == "https" and host is not None and is_name_open(host[1].removesuffix("."))


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
            sound = block.input_audio
            size = _decoded_size(sound.data, 0)
            return MediaSource(f"{param}.input_audio.data", "audio", "data", sound.data, sound.format, size)
        case FileBlock():
            return _file(block, param)
        case _:
            return None


def _file(block: FileBlock, param: str) -> MediaSource:
    data, file_id = block.file.file_data, block.file.file_id
    if (data is None) == (file_id is None):
        raise InvalidParam(f"`{param}.file` takes either `file_data` or `file_id`.", param=f"{param}.file")
    if data is None:
        return MediaSource(param, "file", "upload", file_id or "", None, None)
    if data.startswith("data:"):
        return _data(data, "file", f"{param}.file.file_data")
    return MediaSource(f"{param}.file.file_data", "file", "data", data, None, _decoded_size(data, 0))


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
        return MediaSource(param, kind, "youtube", url, None, None)
    return MediaSource(param, kind, "url", url, _extension(parts.path), None)


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
    begin = head.end()
    media_type = _type_in(uri[begin : begin + _SNIFFED_BASE64], kind) or head.group(1).lower()
    if kind != "file" and not media_type.startswith(f"{kind}/"):
        raise InvalidParam(f"`{param}` takes a data URI of type `{kind}/…`, not `{media_type}`.", param=param)
    return MediaSource(param, kind, "data", uri, format_of(media_type), _decoded_size(uri, begin), begin)


def _extension(path: str) -> str | None:
    name = path.rpartition("/")[2]
    stem, dot, extension = name.rpartition(".")
    return extension.lower() if dot and stem and len(extension) <= 5 else None
