"""A stream of the Messages API: https://platform.claude.com/docs/en/build-with-claude/streaming.

`message_start`, then each content block as start, deltas and stop, then `message_delta` with the stop reason, then
`message_stop`. `ping` may come anywhere, and so may events of types that are not known yet; both are passed over.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from reynard.core.chat import Chunk, ChunkChoice, Delta, FunctionDelta, ToolCallDelta
from reynard.core.errors import GenerationError
from reynard.providers.anthropic import errors
from reynard.providers.anthropic.answer import BLOCKS, Tally, arguments, finish, kept, named
from reynard.providers.anthropic.wire import LooseEvent, WireBlock, WireDelta, WireEvent, WireKind
from reynard.providers.bodies import UNREADABLE, read
from reynard.providers.decoder import EventStreamDecoder
from reynard.providers.failures import cut_short, garbled
from reynard.providers.sse import Event

KNOWN: Final = frozenset(
    {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "error",
    }
)
DELTAS: Final = frozenset({"text_delta", "input_json_delta", "thinking_delta", "signature_delta"})
"""Types of deltas that are read."""
MOST_OPEN: Final = 64  # Anthropic has one block open at a time
MOST_HELD: Final = 16_000_000  # characters of thoughts and signatures, until their block ends

_events = msgspec.json.Decoder(WireEvent)
_loose = msgspec.json.Decoder(LooseEvent)
_kinds = msgspec.json.Decoder(WireKind)


class _Open:
    """A content block under way."""

    __slots__ = ("block", "call", "pieces", "signature", "thoughts")

    def __init__(self, block: WireBlock, call: int) -> None:
        self.block = block
        self.call = call
        self.pieces = False
        self.thoughts: list[str] = []
        self.signature: list[str] = []


class AnthropicStreamDecoder(EventStreamDecoder):
    """The end of the answer is told only with `message_stop`: until then nothing says that it was whole."""

    __slots__ = ("_begun", "_calls", "_held", "_open", "_reason", "_tally")

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[int, _Open] = {}
        self._tally = Tally()
        self._begun = False
        self._reason: str | None = None
        self._calls = 0
        self._held = 0

    def _has_begun(self) -> bool:
        return self._begun

    def _rest(self) -> Iterable[Chunk]:
        if not self.done:
            raise cut_short()
        return ()

    def _chunks(self, events: list[Event]) -> Iterator[Chunk]:
        for event in events:
            if self.done:
                return
            decoded = _decoded(event)
            if decoded is not None:
                yield from self._said(decoded)

    def _said(self, event: WireEvent) -> Iterator[Chunk]:
        match event.type:
            case "error":
                raise errors.of_event(event.error)
            case "message_start":
                yield self._begin(event)
            case "content_block_start":
                yield from self._start(event)
            case "content_block_delta":
                yield from self._continue(event)
            case "content_block_stop":
                yield from self._stop(event)
            case "message_delta":
                self._conclude(event)
            case "message_stop":
                yield from self._end()

    def _begin(self, event: WireEvent) -> Chunk:
        if self._begun or event.message is None:
            raise garbled()
        self._begun = True
        self._tally.take(event.message.usage)
        self._tally.output = 0  # of what had been written by then; the answer's is told at its end
        return _chunk(Delta(role="assistant", content=""))

    def _start(self, event: WireEvent) -> Iterator[Chunk]:
        block = event.content_block
        if not self._begun or block is None or event.index in self._open or len(self._open) >= MOST_OPEN:
            raise garbled()
        opened = self._open[event.index] = _Open(block, self._calls)
        match block.type:
            case "tool_use":
                self._calls += 1
                call_id, name = named(block)
                function = FunctionDelta(name=name, arguments="")
                yield _call(ToolCallDelta(index=opened.call, id=call_id, type="function", function=function))
            case "text" | "thinking":
                yield from self._add(opened, WireDelta(f"{block.type}_delta", block.text, thinking=block.thinking))
                self._sign(opened, block.signature)

    def _continue(self, event: WireEvent) -> Iterator[Chunk]:
        opened = self._open.get(event.index)
        if opened is None or event.delta is None:
            raise garbled()
        yield from self._add(opened, event.delta)

    def _add(self, opened: _Open, delta: WireDelta) -> Iterator[Chunk]:
        match opened.block.type, delta.type:
            case "text", "text_delta" if delta.text:
                yield _chunk(Delta(content=delta.text))
            case "tool_use", "input_json_delta" if delta.partial_json:
                opened.pieces = True
                yield _arguments(opened.call, delta.partial_json)
            case "thinking", "thinking_delta" if delta.thinking:
                self._hold(delta.thinking)
                opened.thoughts.append(delta.thinking)
                yield _chunk(Delta(reasoning_content=delta.thinking))
            case "thinking", "signature_delta":
                self._sign(opened, delta.signature)

    def _sign(self, opened: _Open, signature: str | None) -> None:
        if signature:
            self._hold(signature)
            opened.signature.append(signature)

    def _hold(self, text: str) -> None:
        self._held += len(text)
        if self._held > MOST_HELD:
            raise garbled()

    def _stop(self, event: WireEvent) -> Iterator[Chunk]:
        opened = self._open.pop(event.index, None)
        if opened is None:
            raise garbled()
        block = opened.block
        if block.type == "tool_use" and not opened.pieces:
            yield _arguments(opened.call, _input(block))
        block.thinking, block.signature = "".join(opened.thoughts), "".join(opened.signature)
        details = kept(block)
        if details:
            yield _chunk(Delta(reasoning_details=details))

    def _conclude(self, event: WireEvent) -> None:
        if not self._begun:
            raise garbled()
        self._tally.take(event.usage)
        if event.delta is not None:
            self._reason = event.delta.stop_reason or self._reason

    def _end(self) -> Iterator[Chunk]:
        if not self._begun or self._open or not self._reason:
            raise GenerationError(
                "upstream_error", "The provider's stream ended before the answer did. Try again.", failover=True
            )
        self.done = True
        last = _chunk(Delta(), finish(self._reason))
        last.service_tier = self._tally.tier
        yield last
        if (usage := self._tally.usage) is not None:
            yield Chunk(id="", created=0, model="", choices=[], usage=usage)


def _decoded(event: Event) -> WireEvent | None:
    """The event; None for one of a type that is not known. Raises `GenerationError` for what is none."""
    try:
        decoded = read(_events, event.data)
    except UNREADABLE:
        kind = _kind(event)
        if kind not in KNOWN:
            return None
        decoded = _of_a_new_type(event.data, kind)
    decoded.type = decoded.type or event.name or ("" if decoded.error is None else "error")  # Vertex AI's has no type
    if not decoded.type:
        raise garbled()
    return decoded


def _of_a_new_type(data: bytes, kind: str) -> WireEvent:
    """An event that cannot be read for its block or delta, of a type that is not known: that type alone."""
    try:
        loose = read(_loose, data)
        part = loose.content_block if kind == "content_block_start" else loose.delta
        inner = read(_kinds, bytes(part)).type
    except UNREADABLE:
        raise garbled() from None
    if kind == "content_block_start" and inner and inner not in BLOCKS:
        return WireEvent(kind, loose.index, content_block=WireBlock(inner))
    if kind == "content_block_delta" and inner and inner not in DELTAS:
        return WireEvent(kind, loose.index, delta=WireDelta(inner))
    raise garbled()


def _kind(event: Event) -> str:
    """The type of an event that cannot be read; one that has none is taken for an error."""
    try:
        kind = _kinds.decode(event.data).type
    except UNREADABLE:
        kind = ""
    return kind or event.name or "error"


def _input(block: WireBlock) -> str:
    try:
        return arguments(block.input)
    except UnicodeDecodeError:
        raise garbled() from None


def _chunk(delta: Delta, finish_reason: str | None = None) -> Chunk:
    choice = ChunkChoice(index=0, delta=delta, finish_reason=finish_reason)
    return Chunk(id="", created=0, model="", choices=[choice])


def _call(delta: ToolCallDelta) -> Chunk:
    return _chunk(Delta(tool_calls=[delta]))


def _arguments(call: int, piece: str) -> Chunk:
    return _call(ToolCallDelta(index=call, function=FunctionDelta(arguments=piece)))
