"""Anthropic's Messages API: https://platform.claude.com/docs/en/api/messages. Also Claude on Vertex AI, where the model
stands in the path: https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai.
"""

from typing import Any, Final

import msgspec

from reynard.core.channels import Channel
from reynard.core.chat import Completion
from reynard.core.errors import GenerationError, UnsupportedOptions
from reynard.core.formats import Kind
from reynard.core.generation import Generation
from reynard.core.media import Intake, Resolved
from reynard.ports.transport import WireRequest
from reynard.providers.anthropic import answer, errors, options
from reynard.providers.anthropic.messages import system, turns
from reynard.providers.anthropic.stream import AnthropicStreamDecoder
from reynard.providers.anthropic.thinking import plan

PATH: Final = "/v1/messages"
VERSION: Final = "2023-06-01"
"""The API's version. That of 2026-10-21 takes no `temperature`, `top_p` and `top_k` any more, which this one does."""

VERTEX_VERSION: Final = "vertex-2023-10-16"
HEADERS: Final = {"anthropic-version": VERSION}
FETCHED: Final[frozenset[Kind]] = frozenset({"image", "file"})
FETCHED_FORMATS: Final[dict[Kind, tuple[str, ...]]] = {"file": ("pdf",)}
"""Of documents, Anthropic reads the addresses of PDFs alone."""

MOST_INLINE: Final = 30_000_000  # of the 32 MB that Anthropic takes in a request

_encoder = msgspec.json.Encoder()


class AnthropicCodec:
    """The anthropic dialect."""

    def unsupported(self, generation: Generation, channel: Channel) -> str | None:
        """See `options.unsupported`."""
        return options.unsupported(generation, channel)

    def intake(self, channel: Channel) -> Intake:
        """Images and PDFs by their address, but nothing on Vertex AI, unless the channel's quirks say otherwise."""
        fetches = channel.quirks.fetches
        if fetches is None:
            fetches = () if _names_model(channel) else tuple(FETCHED)
        return Intake(fetches=frozenset(fetches), formats=FETCHED_FORMATS, inline_bytes=MOST_INLINE)

    def encode(self, generation: Generation, channel: Channel, media: Resolved) -> WireRequest:
        """`POST {base_url}/v1/messages`, or to the channel's own path."""
        refused = self.unsupported(generation, channel)
        if refused is not None:
            raise UnsupportedOptions(f"The provider of `{generation.model}` has no `{refused}`.", param=refused)
        carried = channel.carried(generation.model)
        body: dict[str, Any] = {"anthropic_version": VERTEX_VERSION} if _names_model(channel) else {}
        if not body:
            body["model"] = carried.upstream
        body["messages"] = turns(generation.messages, media, thoughts=channel.quirks.takes_reasoning_back)
        instructions = system(generation.messages)
        if instructions:
            body["system"] = instructions
        body |= options.options(generation, plan(generation, channel))
        verb = "streamRawPredict" if generation.stream else "rawPredict"
        return WireRequest(
            path=channel.path.format(model=carried.upstream, verb=verb) or PATH,
            body=_encoder.encode(body),
            stream=generation.stream,
            headers={} if _names_model(channel) else HEADERS,
        )

    def decode(self, body: bytes) -> Completion:
        """See `answer.completion`."""
        return answer.completion(body)

    def stream_decoder(self) -> AnthropicStreamDecoder:
        """A fresh decoder for one stream."""
        return AnthropicStreamDecoder()

    def decode_error(self, status: int, body: bytes) -> GenerationError:
        """See `errors.of_status`."""
        return errors.of_status(status, body)


def _names_model(channel: Channel) -> bool:
    """Whether the model stands in the path, as on Vertex AI."""
    return "{model}" in channel.path
