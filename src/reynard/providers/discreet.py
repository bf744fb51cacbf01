"""A provider that repeats what it was sent repeats the operator's secrets too: no failure hands them on.

`providers.quotes` knows secrets by their looks; these are known by themselves, whatever they look like. What a model
says is not touched: only failures are.
"""

from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote, urlsplit

from reynard.core.channels import Channel
from reynard.core.chat import Chunk, Completion
from reynard.core.errors import GenerationError
from reynard.core.generation import Generation
from reynard.core.media import Intake, Resolved
from reynard.ports.codec import Codec, StreamDecoder
from reynard.ports.transport import WireRequest

SHORTEST: Final = 8  # what is shorter is a word of every sentence (`v1`, `ollama`), and no secret
ELLIPSIS: Final = "…"


def told_to_nobody(channel: Channel, keys: Iterable[str]) -> tuple[str, ...]:
    """A channel's keys, and what of its address may be one: user, password, host, the parts of its path. Longest first,
    so that none leaves a rest of another."""
    words = {word for key in keys for word in (key, *key.split())}
    try:
        parts = urlsplit(channel.base_url)
        words |= {parts.netloc, *filter(None, (parts.username, parts.password, parts.hostname)), *parts.path.split("/")}
    except ValueError:  # an address that is none, and is never asked
        words.add(channel.base_url)
    words |= {unquote(word) for word in words}
    return tuple(sorted((word for word in words if len(word) >= SHORTEST), key=len, reverse=True))


class DiscreetCodec:
    """`codec`, whose failures hold none of `secrets`. See `ports.codec.Codec`."""

    def __init__(self, codec: Codec, secrets: tuple[str, ...]) -> None:
        self._secrets = secrets
        self._raw = [secret.encode() for secret in secrets]
        self._codec = codec

    def unsupported(self, generation: Generation, channel: Channel) -> str | None:
        """See the port."""
        return self._codec.unsupported(generation, channel)

    def intake(self, channel: Channel) -> Intake:
        """See the port."""
        return self._codec.intake(channel)

    def encode(self, generation: Generation, channel: Channel, media: Resolved) -> WireRequest:
        """See the port."""
        return self._codec.encode(generation, channel, media)

    def decode(self, body: bytes) -> Completion:
        """See the port."""
        try:
            return self._codec.decode(body)
        except GenerationError as error:
            raise self.silenced(error) from None

    def stream_decoder(self) -> StreamDecoder:
        """See the port."""
        return _DiscreetDecoder(self._codec.stream_decoder(), self)

    def decode_error(self, status: int, body: bytes) -> GenerationError:
        """See the port. In the body first, before anything of it is cut off."""
        for raw in self._raw:
            body = body.replace(raw, ELLIPSIS.encode())
        return self.silenced(self._codec.decode_error(status, body))

    def silenced(self, error: GenerationError) -> GenerationError:
        """`error`, without them."""
        for secret in self._secrets:
            error.message = error.message.replace(secret, ELLIPSIS)
        error.args = (error.message,)
        return error


class _DiscreetDecoder:
    __slots__ = ("_decoder", "_discreet")

    def __init__(self, decoder: StreamDecoder, discreet: DiscreetCodec) -> None:
        self._decoder = decoder
        self._discreet = discreet

    @property
    def is_silent(self) -> bool:
        return self._decoder.is_silent

    @property
    def done(self) -> bool:
        return self._decoder.done

    def feed(self, data: bytes) -> Iterator[Chunk]:
        try:
            yield from self._decoder.feed(data)
        except GenerationError as error:
            raise self._discreet.silenced(error) from None

    def close(self) -> Iterator[Chunk]:
        try:
            yield from self._decoder.close()
        except GenerationError as error:
            raise self._discreet.silenced(error) from None
