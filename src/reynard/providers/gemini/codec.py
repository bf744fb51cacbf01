"""Google's generateContent: https://ai.google.dev/api/generate-content."""

from typing import Any, Final
from urllib.parse import quote

import msgspec

from reynard.core.assembly import Assembly
from reynard.core.channels import Channel
from reynard.core.chat import Completion
from reynard.core.errors import GenerationError, UnsupportedOptions
from reynard.core.generation import Generation
from reynard.core.media import Intake, Resolved
from reynard.ports.transport import WireRequest
from reynard.providers import google_errors
from reynard.providers.gemini.answers import Answers, piece_of
from reynard.providers.gemini.contents import Conversation
from reynard.providers.gemini.parameters import TIERS, generation_config, refused, tools
from reynard.providers.gemini.stream import GeminiStreamDecoder

PATH: Final = "/v1beta/models/{model}:{verb}"
WHOLE: Final = "generateContent"
STREAMED: Final = "streamGenerateContent?alt=sse"
REASONING: Final = ("reasoning", "reasoning_effort", "reasoning_budget")
MOST_INLINE: Final = 18_000_000
"""Of the 20 MB that Google takes in a request; the rest is left for the text."""

_encoder = msgspec.json.Encoder()


class GeminiCodec:
    """The gemini dialect, on the Gemini API, or with the channel's `path` on Vertex AI.

    Two fields are not taken there: the `id` of calls and results (https://github.com/vercel/ai/issues/15664), which is
    left out, and `serviceTier` (https://github.com/googleapis/java-genai/issues/972).
    """

    def unsupported(self, generation: Generation, channel: Channel) -> str | None:
        """The first parameter of the request that the channel has no word for."""
        quirks = channel.quirks
        lacking = channel.carried(generation.model).unsupported
        fields = (*quirks.unsupported, *lacking, *(REASONING if quirks.reasoning == "none" else ()))
        said = next((field for field in fields if getattr(generation, field, None) is not None), None)
        if channel.path and generation.service_tier in TIERS:
            said = said or "service_tier"
        return said or refused(generation)

    def intake(self, channel: Channel) -> Intake:
        """All media as bytes, unless the channel's quirks say otherwise; YouTube by its address."""
        return Intake(fetches=frozenset(channel.quirks.fetches or ()), youtube=True, inline_bytes=MOST_INLINE)

    def encode(self, generation: Generation, channel: Channel, media: Resolved) -> WireRequest:
        """`POST {base_url}/v1beta/models/{model}:{verb}`, or to the channel's own path."""
        lost = self.unsupported(generation, channel)
        if lost is not None:
            raise UnsupportedOptions(f"The provider of `{generation.model}` has no `{lost}`.", param=lost)
        carried = channel.carried(generation.model)
        conversation = Conversation(media, insists=carried.thinking == "level", identifies=not channel.path)
        for index, message in enumerate(generation.messages):
            conversation.add(message, f"messages[{index}]")
        body: dict[str, Any] = {"contents": conversation.contents}
        if conversation.system:
            body["systemInstruction"] = {"parts": conversation.system}
        body |= tools(generation)
        if config := generation_config(generation, carried):
            body["generationConfig"] = config
        if generation.service_tier in TIERS:
            body["serviceTier"] = generation.service_tier
        path = (channel.path or PATH).format(
            model=quote(carried.upstream, safe=""), verb=STREAMED if generation.stream else WHOLE
        )
        return WireRequest(path=path, body=_encoder.encode(body), stream=generation.stream)

    def decode(self, body: bytes) -> Completion:
        """The whole answer. A candidate that does not say how it ended has stopped."""
        answers, assembly = Answers(), Assembly()
        for chunk in answers.take(piece_of(body), body):
            assembly.add(chunk)
        for chunk in answers.end(whole=True):
            assembly.add(chunk)
        return assembly.completion(id="", created=0, model="")

    def stream_decoder(self) -> GeminiStreamDecoder:
        """A fresh decoder for one stream."""
        return GeminiStreamDecoder()

    def decode_error(self, status: int, body: bytes) -> GenerationError:
        """See `google_errors.of_status`."""
        return google_errors.of_status(status, body)
