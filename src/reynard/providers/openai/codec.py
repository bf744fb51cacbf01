"""OpenAI Chat Completions: https://platform.openai.com/docs/api-reference/chat."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from reynard.core.channels import Channel
from reynard.core.chat import Chunk, Completion, Usage
from reynard.core.errors import GenerationError, UnsupportedOptions
from reynard.core.formats import Kind
from reynard.core.generation import Generation
from reynard.core.media import Intake, Resolved
from reynard.ports.transport import WireRequest
from reynard.providers.bodies import UNREADABLE, decoded
from reynard.providers.counts import count, mapping
from reynard.providers.decoder import EventStreamDecoder
from reynard.providers.failures import cut_short, garbled
from reynard.providers.openai import errors, finish, reasoning
from reynard.providers.openai.calls import Calls
from reynard.providers.openai.messages import messages, tools
from reynard.providers.openai.wire import (
    TextOfChunk,
    WireAnswer,
    WireChunk,
    WireChunkChoice,
    WireCompletion,
    WireDelta,
)
from reynard.providers.sse import Event

OWN: Final = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "reasoning",
        "reasoning_budget",
        "max_tokens",
        "max_completion_tokens",
    }
)
PASSED: Final = frozenset(Generation.__struct_fields__) - OWN
"""Parameters that go through under their own name."""

PATH: Final = "/chat/completions"
FETCHED: Final[frozenset[Kind]] = frozenset({"image"})
MOST_INLINE: Final = 48_000_000  # of the 50 MB that OpenAI takes in a request

DONE: Final = b"[DONE]"
MOST_MISSES: Final = 8
"""Chunks of a stream that turn out to be more than text, after which it is no longer assumed that they are not."""

_encoder = msgspec.json.Encoder()
_completions = msgspec.json.Decoder(WireCompletion)
_chunks = msgspec.json.Decoder(WireChunk)
_texts = msgspec.json.Decoder(TextOfChunk)
_anything = msgspec.json.Decoder()


class OpenAICodec:
    """The openai dialect, for every server that speaks it; what differs is in the channel's quirks."""

    def unsupported(self, generation: Generation, channel: Channel) -> str | None:
        """The first parameter of the request that the channel has no word for."""
        quirks = channel.quirks
        lacking = channel.carried(generation.model).unsupported
        for fields in (quirks.unsupported, lacking, reasoning.wordless(quirks)):
            for field in fields:
                if getattr(generation, field, None) is not None:
                    return field
        return None

    def intake(self, channel: Channel) -> Intake:
        """Images by their address, unless the channel's quirks say otherwise; everything else as bytes."""
        fetches = channel.quirks.fetches
        return Intake(fetches=FETCHED if fetches is None else frozenset(fetches), inline_bytes=MOST_INLINE)

    def encode(self, generation: Generation, channel: Channel, media: Resolved) -> WireRequest:
        """`POST {base_url}/chat/completions`."""
        refused = self.unsupported(generation, channel)
        if refused is not None:
            raise UnsupportedOptions(f"The provider of `{generation.model}` has no `{refused}`.", param=refused)
        model = channel.carried(generation.model).upstream
        quirks = channel.quirks
        body: dict[str, Any] = {
            "model": model,
            "messages": messages(generation.messages, quirks, media),
            **_said(generation),
        }
        if quirks.seed != "seed" and generation.seed is not None:
            body[quirks.seed] = body.pop("seed")
        if generation.tools:
            body["tools"] = tools(generation.tools, quirks)
        if generation.output_limit is not None:
            body[quirks.limit] = generation.output_limit
        reasoning.say(body, generation, quirks)
        if generation.stream:
            body["stream"] = True
            if quirks.asks_usage:
                body["stream_options"] = _stream_options(generation)
        body.update(quirks.extra)
        path = channel.path.format(model=model, verb="chat/completions") or PATH
        return WireRequest(path=path, body=_encoder.encode(body), stream=generation.stream)

    def decode(self, body: bytes) -> Completion:
        """A `chat.completion`; its id, time and model are the gateway's to set. JSON without a choice is no answer."""
        completion = decoded(_completions, body)
        if completion.error is not None:
            raise errors.of_event(completion.error)
        if not completion.choices:
            raise garbled()
        completion.object = "chat.completion"
        completion.usage = _counted(completion.usage)
        for place, choice in enumerate(completion.choices):
            if choice.error is not None:
                raise errors.of_event(choice.error)
            choice.index = place if choice.index is None else choice.index
            choice.message = _answer(choice.message)
            choice.finish_reason = finish.reason(choice.finish_reason) or "stop"
        return completion

    def stream_decoder(self) -> "OpenAIStreamDecoder":
        """A fresh decoder for one stream."""
        return OpenAIStreamDecoder()

    def decode_error(self, status: int, body: bytes) -> GenerationError:
        """See `errors.of_status`."""
        return errors.of_status(status, body)


class OpenAIStreamDecoder(EventStreamDecoder):
    """`data: {chunk}` lines up to `data: [DONE]`, which some servers forget: the finish reasons are the real mark."""

    __slots__ = ("_calls", "_choices", "_ended", "_misses")

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[int, Calls] = {}  # of the choices that have any
        self._choices: set[int] = set()  # that began
        self._ended: set[int] = set()
        self._misses = 0

    def _has_begun(self) -> bool:
        return bool(self._choices)

    def _rest(self) -> Iterable[Chunk]:
        if self._choices != self._ended:
            raise cut_short()
        return ()

    def _chunks(self, events: list[Event]) -> Iterator[Chunk]:
        for event in events:
            if event.data.startswith(DONE) and event.data.rstrip() == DONE:
                self.done = True
            if self.done:
                return
            chunk = self._text(event) if self._misses < MOST_MISSES else None
            if chunk is None:
                chunk = self._chunk(event)
            if chunk is not None:
                yield chunk

    def _text(self, event: Event) -> Chunk | None:
        """The chunk, if it is a piece of text that nothing is wrong with."""
        try:
            chunk = _texts.decode(event.data)
        except UNREADABLE:
            self._misses += 1
            return None
        if event.name == "error":
            return None
        self._choices.add(chunk.choices[0].index)
        return chunk

    def _chunk(self, event: Event) -> Chunk | None:
        chunk = decoded(_chunks, event.data)
        if chunk.error is not None:
            raise errors.of_event(chunk.error)
        if event.name == "error":
            raise errors.of_event(decoded(_anything, event.data))
        chunk.object = "chat.completion.chunk"
        chunk.usage = _counted(chunk.usage)
        if chunk.choices is None:
            chunk.choices = []
        for choice in chunk.choices:
            self._settle(choice, chunk)
        return chunk if chunk.choices or chunk.usage is not None else None

    def _settle(self, choice: WireChunkChoice, chunk: WireChunk) -> None:
        """Puts one choice right, and remembers whether it has ended."""
        if choice.usage is not None:
            chunk.usage = _counted(choice.usage)
            choice.usage = None
        if choice.error is not None:
            raise errors.of_event(choice.error)
        if choice.index is None:
            choice.index = 0
        delta = _settled(choice)
        if delta.tool_calls:
            self._calls.setdefault(choice.index, Calls()).settle(delta.tool_calls)
        if choice.finish_reason is not None:
            choice.finish_reason = None if choice.index in self._ended else finish.reason(choice.finish_reason)
        self._choices.add(choice.index)
        if choice.finish_reason is not None:
            self._ended.add(choice.index)


def _settled(choice: WireChunkChoice) -> WireDelta:
    delta = choice.delta
    if delta is None:
        delta = choice.delta = WireDelta()
    if delta.reasoning is not None:
        if delta.reasoning_content is None:
            delta.reasoning_content = delta.reasoning
        delta.reasoning = None
    if delta.content is not None and not isinstance(delta.content, str):
        delta.reasoning_content = delta.reasoning_content or _thoughts(delta.content) or None
        delta.content = _joined(delta.content)
    for call in delta.tool_calls or ():
        if call.function is not None and isinstance(call.function.arguments, dict):
            call.function.arguments = json.dumps(call.function.arguments, ensure_ascii=False)
    return delta


def _answer(message: WireAnswer) -> WireAnswer:
    if message.reasoning is not None:
        if message.reasoning_content is None:
            message.reasoning_content = message.reasoning
        message.reasoning = None
    if message.content is not None and not isinstance(message.content, str):
        message.reasoning_content = message.reasoning_content or _thoughts(message.content)
        message.content = _joined(message.content)
    for call in message.tool_calls or ():
        call.id = call.id or ""
        if call.function is not None and not isinstance(call.function.arguments, str):
            call.function.arguments = json.dumps(call.function.arguments or {}, ensure_ascii=False)
    message.reasoning_content = message.reasoning_content or None
    message.tool_calls = message.tool_calls or None
    return message


def _joined(parts: list[dict[str, Any]]) -> str:
    """Content in parts (Mistral), as the text it is."""
    return "".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def _thoughts(parts: list[dict[str, Any]]) -> str:
    """The thoughts among content in parts: `{"type": "thinking", "thinking": [{"type": "text", "text"}]}`
    (https://docs.mistral.ai/capabilities/reasoning)."""
    thoughts = [part["thinking"] for part in parts if isinstance(part.get("thinking"), list)]
    return _joined([piece for thought in thoughts for piece in thought if isinstance(piece, dict)])


def _counted(usage: Any) -> Usage | None:
    """The counts in `usage`; None if it tells of none: missing, null, zero, or no numbers."""
    told = mapping(usage)
    prompt, completion = count(told.get("prompt_tokens")) or 0, count(told.get("completion_tokens")) or 0
    if not prompt and not completion:
        return None
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=count(told.get("total_tokens")) or prompt + completion,
        prompt_tokens_details=mapping(told.get("prompt_tokens_details")) or None,
        completion_tokens_details=mapping(told.get("completion_tokens_details")) or None,
    )


def _said(generation: Generation) -> dict[str, Any]:
    """The parameters that were said, of forty: msgspec tells them apart many times faster than a loop does."""
    small = msgspec.structs.replace(generation, messages=(), tools=generation.tools and ())
    said: dict[str, Any] = msgspec.to_builtins(small)
    return {field: value for field, value in said.items() if field in PASSED}


def _stream_options(generation: Generation) -> dict[str, bool]:
    """The gateway always asks for the usage; a client that did not is not shown it."""
    asked = generation.stream_options
    options = {"include_usage": True}
    if asked is not None and asked.include_obfuscation is not None:
        options["include_obfuscation"] = asked.include_obfuscation
    return options
