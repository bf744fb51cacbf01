"""An answer of the Messages API in the words of OpenAI Chat; what a whole answer and a stream have in common."""

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from reynard.core.chat import Answer, CalledFunction, Choice, Completion, Json, ToolCall, Usage
from reynard.core.reasoning import ANTHROPIC, sealed, thought
from reynard.providers.anthropic import errors
from reynard.providers.anthropic.wire import LooseMessage, WireBlock, WireKind, WireMessage, WireUsage
from reynard.providers.bodies import UNREADABLE, read
from reynard.providers.counts import count, mapping
from reynard.providers.failures import garbled

FINISH: Final[dict[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""`pause_turn` ends a turn of Anthropic's own tools, which this dialect never asks for: what came is what there is."""

TIER: Final = {"standard": "default", "priority": "priority"}

BLOCKS: Final = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
"""Types of content blocks that are read. The fields of another may be anything."""

_messages = msgspec.json.Decoder(WireMessage)
_loose = msgspec.json.Decoder(LooseMessage)
_blocks = msgspec.json.Decoder(WireBlock)
_kinds = msgspec.json.Decoder(WireKind)


class Tally(Struct):
    """The tokens of an answer, as far as they were told. Anthropic counts what the cache read and wrote beside the
    input; OpenAI counts it in, and says how much of it there was."""

    fresh: int = 0
    read: int = 0
    written: int = 0
    output: int = 0
    thinking: int | None = None
    tier: str | None = None

    def take(self, usage: Any) -> None:
        """What is told now takes the place of what was told before; what is no number tells nothing."""
        told = msgspec.convert(mapping(usage), WireUsage)
        self.fresh = _count(told.input_tokens, self.fresh)
        self.read = _count(told.cache_read_input_tokens, self.read)
        self.written = _count(told.cache_creation_input_tokens, self.written)
        self.output = _count(told.output_tokens, self.output)
        thinking = count(mapping(told.output_tokens_details).get("thinking_tokens"))
        self.thinking = self.thinking if thinking is None else thinking
        if isinstance(told.service_tier, str):
            self.tier = TIER.get(told.service_tier)

    @property
    def usage(self) -> Usage | None:
        """In OpenAI's words; None if nothing was told."""
        prompt = self.fresh + self.read + self.written
        if not prompt and not self.output:
            return None
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=self.output,
            total_tokens=prompt + self.output,
            prompt_tokens_details={"cached_tokens": self.read, "cache_write_tokens": self.written},
            completion_tokens_details=None if self.thinking is None else {"reasoning_tokens": self.thinking},
        )


def completion(body: bytes) -> Completion:
    """The whole answer in `body`; its id, time and model are the gateway's to set. Raises `GenerationError`."""
    try:
        message = _message(body)
        if message.error is not None:
            raise errors.of_event(message.error)
        if message.content is None or not message.stop_reason:
            raise garbled()
        answer = _answer(message.content)
    except UNREADABLE:
        raise garbled() from None
    tally = Tally()
    tally.take(message.usage)
    return Completion(
        id="",
        created=0,
        model="",
        choices=[Choice(index=0, message=answer, finish_reason=finish(message.stop_reason))],
        usage=tally.usage,
        service_tier=tally.tier,
    )


def _message(body: bytes) -> WireMessage:
    """The message in `body`. Raises `msgspec.DecodeError`."""
    try:
        return read(_messages, body)
    except msgspec.ValidationError:  # perhaps a block of a type that is not known
        loose = read(_loose, body)
    blocks = None if loose.content is None else [_block(bytes(raw)) for raw in loose.content]
    return WireMessage(blocks, loose.stop_reason, loose.usage, loose.error)


def _block(raw: bytes) -> WireBlock:
    """A content block; one of a type that is not read is its type alone. Raises `msgspec.DecodeError`."""
    kind = read(_kinds, raw).type
    return read(_blocks, raw) if kind in BLOCKS else WireBlock(kind)


def _answer(blocks: list[WireBlock]) -> Answer:
    """Blocks of a type that this dialect never asks for are passed over."""
    texts = [block.text or "" for block in blocks if block.type == "text"]
    thoughts = [block.thinking or "" for block in blocks if block.type == "thinking"]
    calls = [_call(block) for block in blocks if block.type == "tool_use"]
    return Answer(
        content="".join(texts) if texts or not calls else None,
        reasoning_content="".join(thoughts) or None,
        reasoning_details=[detail for block in blocks for detail in kept(block)] or None,
        tool_calls=calls or None,
    )


def _call(block: WireBlock) -> ToolCall:
    call_id, name = named(block)
    return ToolCall(id=call_id, function=CalledFunction(name=name, arguments=arguments(block.input)))


def named(block: WireBlock) -> tuple[str, str]:
    """The id of a tool call as OpenAI's look, and the tool's name. Raises `GenerationError` if there is none."""
    if not block.id or not block.name:
        raise garbled()
    return f"call_{block.id.removeprefix('toolu_')}", block.name


def arguments(given: Raw) -> str:
    """The input of a tool as JSON text. Raises `GenerationError` if it is no object."""
    text = bytes(given).decode("utf-8").strip()
    if text in ("", "null"):
        return "{}"
    if not text.startswith("{"):
        raise garbled()
    return text


def kept(block: WireBlock) -> list[Json]:
    """What Anthropic wants back of a thought."""
    if block.type == "thinking" and block.signature:
        return [thought(block.thinking or "", block.signature, ANTHROPIC)]
    if block.type == "redacted_thinking" and block.data:
        return [sealed(block.data, ANTHROPIC)]
    return []


def finish(reason: str) -> str:
    """OpenAI's word for a stop reason; one that is new means that the model stopped."""
    return FINISH.get(reason, "stop")


def _count(tokens: Any, before: int) -> int:
    """A number of tokens, or what was known before."""
    told = count(tokens)
    return before if told is None else told
