"""What every wire reads and says: a request as it came, what it asks for, and why it is refused."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct

from reynard.core.formats import Kind
from reynard.core.generation import Generation
from reynard.core.messages import (
    AudioBlock,
    Block,
    FileLinkBlock,
    FunctionCall,
    FunctionToolCall,
    ImageBlock,
    ImageLink,
    Link,
    VideoBlock,
)
from reynard.core.playback import Spoken
from reynard.core.simulation import Failure, Script

SSE: Final = b"data: %b\n\n"


class Refused(Exception):
    """The provider would not take this request. `status` is its HTTP status; the text is for the one who reads it.

    `code`: the provider's word for the reason, where it has one beside the status.
    """

    def __init__(self, reason: str, status: int = 400, code: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.code = code


class Request(Struct, frozen=True):
    """A request as it came: the target as it was sent, header names in lower case."""

    method: str
    target: str
    headers: Mapping[bytes, bytes]
    body: bytes

    @property
    def path(self) -> str:
        """The path, still percent-encoded: a model's name may hold an encoded `?` or `/`."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The query's values; of several with one name, the first."""
        return {name: values[0] for name, values in parse_qs(self.target.partition("?")[2]).items()}

    def header(self, name: bytes) -> str | None:
        """A header's value, or None."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


class Route(Struct, frozen=True):
    """Where a path leads: the wire's name, the platform that serves it, and what the path says of the request."""

    wire: str
    platform: str = ""  # "" is the provider itself; else "vertex" or "azure"
    model: str | None = None
    stream: bool | None = None


class Received(Struct, frozen=True):
    """A piece of media that came: its bytes, or the address that it was told by."""

    kind: Kind
    type: str
    data: bytes | None
    uri: str | None = None

    @property
    def digest(self) -> str | None:
        """SHA-256 of the bytes, in hex."""
        return None if self.data is None else hashlib.sha256(self.data).hexdigest()


class StoredFile(Struct):
    """A file that was uploaded; `looks` counts how often its state was asked for since."""

    name: str
    type: str
    data: bytes
    display_name: str
    looks: int = 0

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()


class Asked(Struct, frozen=True, kw_only=True):
    """A request that the provider would take. `thoughts`: whether they are shown, where they are thought at all.

    `id` is the same for the same request. `signed`: the wire signs tool calls even when it thinks in silence.
    """

    model: str
    behaviour: str  # how the model is to behave this time: `tokens=5&fail.rate=1`
    stream: bool
    generation: Generation
    id: str
    media: tuple[Received, ...] = ()
    thoughts: bool = True
    signed: bool = False
    sealed: bool = False  # thoughts come encrypted
    identified: bool = True  # Gemini's calls have ids


class Wire(Protocol):
    """A provider's protocol; the modules beside this one are it."""

    def route(self, request: Request) -> Route | None:
        """Where the path leads, or None if it is no path of this wire."""
        ...

    def key(self, request: Request, route: Route) -> str | None:
        """The key that the request carries where this platform looks for it."""
        ...

    def denied(self, route: Route, given: str | None) -> Refused:
        """What a wrong key, or none, is answered with."""
        ...

    def read(self, request: Request, route: Route, files: Mapping[str, StoredFile]) -> Asked:
        """What is asked. Raises `Refused`, or `msgspec.DecodeError` for a body that does not fit."""
        ...

    def spoken(self, asked: Asked, played: Script, fail: Failure) -> Spoken:
        """The script in this wire's words, and `fail` as it would be told."""
        ...

    def error(self, status: int, reason: str, code: str | None = None) -> bytes:
        """The body of a failing status."""
        ...


def named(text: str) -> tuple[str, str]:
    """A model's name, and the behaviour behind its `?`."""
    model, _, behaviour = text.partition("?")
    return model, behaviour


def identity(request: Request) -> str:
    """An id that only this request has."""
    return hashlib.blake2b(request.body, digest_size=12, key=request.path.encode()[:64]).hexdigest()


def block(item: Received) -> Block:
    """A piece of media as the simulation sees it: told from others by its digest or address, never by its bytes."""
    url = item.uri or f"sha256:{item.digest}"
    return _BLOCKS[item.kind](url)


_BLOCKS: Final[dict[str, Callable[[str], Block]]] = {
    "image": lambda url: ImageBlock(image_url=ImageLink(url=url)),
    "video": lambda url: VideoBlock(video_url=Link(url=url)),
    "audio": lambda url: AudioBlock(audio_url=Link(url=url)),
    "file": lambda url: FileLinkBlock(file_url=Link(url=url)),
}


def call(id: str, name: str, arguments: Mapping[str, Any]) -> FunctionToolCall:  # noqa: A002
    """A tool call of an earlier turn, in the words of OpenAI Chat."""
    return FunctionToolCall(id=id, function=FunctionCall(name=name, arguments=canonical(arguments).decode()))


def canonical(value: Any) -> bytes:
    """JSON that is the same for equal values."""
    return msgspec.json.encode(value, order="sorted")


def require(condition: bool, reason: str, status: int = 400) -> None:
    """Raises `Refused` with `reason` unless `condition` holds: a rule is one line."""
    if not condition:
        raise Refused(reason, status)
