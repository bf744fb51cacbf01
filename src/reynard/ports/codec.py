"""One provider dialect, as pure functions."""

from collections.abc import Iterator
from typing import Protocol

from reynard.core.channels import Channel
from reynard.core.chat import Chunk, Completion
from reynard.core.errors import GenerationError
from reynard.core.generation import Generation
from reynard.core.media import Intake, Resolved
from reynard.ports.transport import WireRequest


class StreamDecoder(Protocol):
    """Feed it bytes cut anywhere, get the same chunks."""

    @property
    def is_silent(self) -> bool:
        """Whether nothing came yet but what keeps a connection open (comments): not a byte of an event."""
        ...

    @property
    def done(self) -> bool:
        """Whether the dialect's mark of the end was seen: nothing that follows it counts."""
        ...

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """The chunks that `data` completes; then raises `GenerationError` for an error event, or what is no stream."""
        ...

    def close(self) -> Iterator[Chunk]:
        """The chunks that the end of the body completes; then raises `GenerationError` if the stream was not whole."""
        ...


class Codec(Protocol):
    """No sockets, no clock, no retries, no globals."""

    def unsupported(self, generation: Generation, channel: Channel) -> str | None:
        """The first parameter that the channel has no word for, or None; asked before anything is stored."""
        ...

    def intake(self, channel: Channel) -> Intake:
        """How the channel takes media."""
        ...

    def encode(self, generation: Generation, channel: Channel, media: Resolved) -> WireRequest:
        """The HTTP call to make. `media` has every source of the request, as `intake` wants it.

        Raises `UnsupportedOptions` for a parameter that this dialect cannot carry, `GenerationError` for media of a
        type that it cannot.
        """
        ...

    def decode(self, body: bytes) -> Completion:
        """The whole answer. Raises `GenerationError` for what is none."""
        ...

    def stream_decoder(self) -> StreamDecoder:
        """A fresh decoder for one stream."""
        ...

    def decode_error(self, status: int, body: bytes) -> GenerationError:
        """The failure behind a status that is not 200, by status and typed body, never by message text."""
        ...
