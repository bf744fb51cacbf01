"""Chunks of a ChatCompletion as the events of a message: fed one by one, each giving its own events as bytes.

Blocks follow one another; none begins before the one in front of it has ended. What was sealed by another provider
waits for the end of the block under way.

Providers mix calls that run side by side, and come back to what they had left: from the first call on, what does not
belong to it waits for the end, and then comes in the order in which each began. Arguments wait for their end too, for
only then it is known whether they are an object; those of a tool with `eager_input_streaming` come as they are written.
"""

from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from reynard.core.chat import Chunk, Delta, FunctionDelta, Json, ToolCallDelta, Usage
from reynard.core.errors import GenerationError
from reynard.core.surfaces.messages import thoughts
from reynard.core.surfaces.messages.answer import MessageView, UsageView, message_id, picture, stop_reason, usage
from reynard.core.surfaces.messages.calls import shown_id, shown_pieces

PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

_encode = msgspec.json.encode


MOST_HELD: Final = 32_000_000
"""Characters that wait for their turn, and as many as an object costs for each piece of them."""
PIECE: Final = 64


class _Said(Struct, frozen=True):
    """A piece of text, or of a thought."""

    kind: Literal["text", "thinking"]
    text: str


class _Signed(Struct, frozen=True):
    """A detail of what was thought. `shown`: its words are in the same chunk."""

    detail: Json
    shown: bool


class _Call:
    """A tool call under way. `held`: arguments that are not told yet."""

    __slots__ = ("begun", "held", "id", "index", "name")

    def __init__(self, index: int) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.held: list[str] = []
        self.begun = False


class EventTranslator:
    """One stream. `feed` it every chunk in order, then `end` it; a stream that broke off is not ended.

    `eager`: names of the tools whose arguments are told as they are written, whatever they come to.
    """

    def __init__(self, eager: frozenset[str] = frozenset()) -> None:
        self._eager = eager
        self._out: list[bytes] = []
        self._started = False
        self._id = ""
        self._index = 0
        self._open: Literal["text", "thinking"] | _Call | None = None
        self._calls: dict[int, _Call] = {}
        self._waiting: list[_Call | _Said | _Signed] = []
        self._held = 0
        self._sealed: list[Json] = []
        self._reason = "length"
        self._refused = False
        self._usage: Usage | None = None

    def feed(self, chunk: Chunk) -> bytes:
        """The events of `chunk`. Raises `GenerationError` where more has to wait than is held."""
        if not self._started:
            self._start(chunk)
        if chunk.usage is not None:
            self._usage = chunk.usage
        for choice in chunk.choices:
            if choice.index == 0:
                self._delta(choice.delta)
                self._reason = choice.finish_reason or self._reason
        return self._taken()

    def end(self) -> bytes:
        """The end of the last block, why it ended, and the usage."""
        self._close()
        for waiting in self._waiting:
            if not isinstance(waiting, _Call):
                self._take(waiting)
            elif not waiting.begun:
                self._begin_call(waiting)
        self._close()
        reason = stop_reason(self._reason, called=bool(self._calls), refused=self._refused)
        delta = {"stop_reason": reason, "stop_sequence": None}
        self._event("message_delta", {"type": "message_delta", "delta": delta, "usage": usage(self._usage)})
        self._out.append(STOP)
        return self._taken()

    def _taken(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _event(self, name: str, data: object) -> None:
        self._out.append(b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(data)))

    def _start(self, chunk: Chunk) -> None:
        self._started = True
        self._id = chunk.id
        view = MessageView(id=message_id(chunk.id), model=chunk.model, content=[], stop_reason=None, usage=UsageView())
        self._event("message_start", {"type": "message_start", "message": view})
        self._out.append(PING)

    def _delta(self, delta: Delta) -> None:
        self._refused = self._refused or bool(delta.refusal)
        for piece in _pieces(delta):
            if isinstance(self._open, _Call):
                self._hold(len(piece.text) if isinstance(piece, _Said) else len(_encode(piece.detail)))
                self._waiting.append(piece)
            else:
                self._take(piece)
        for called in delta.tool_calls or ():
            self._call(called)

    def _take(self, piece: _Said | _Signed) -> None:
        if isinstance(piece, _Said):
            self._say(piece.kind, piece.text)
        else:
            self._detail(piece.detail, shown=piece.shown)

    def _hold(self, size: int) -> None:
        self._held += size + PIECE
        if self._held > MOST_HELD:
            raise GenerationError("upstream_error", "The provider's tool calls are longer than the gateway holds.")

    def _say(self, kind: Literal["text", "thinking"], text: str) -> None:
        if self._open != kind:
            self._close()
            self._begin({"type": "text", "text": ""} if kind == "text" else _THOUGHT)
            self._open = kind
        self._piece(b"%b_delta" % kind.encode(), kind.encode(), text)

    def _detail(self, detail: Json, *, shown: bool) -> None:
        """A signature ends its thought. The words of a thought, where they were not shown already, come first."""
        if not thoughts.is_own_thought(detail):
            if thoughts.is_signed(detail):
                self._sealed.append(detail)
                if self._open is None:
                    self._unseal()
            return
        signature = detail.get("signature")
        text = thoughts.text_of(detail)
        if text and not shown and (self._open != "thinking" or not signature):
            self._say("thinking", text)
        if isinstance(signature, str) and signature:
            if self._open != "thinking":
                self._close()
                self._begin(_THOUGHT)
                self._open = "thinking"
            self._piece(b"signature_delta", b"signature", signature)
            self._close()

    def _call(self, piece: ToolCallDelta) -> None:
        call = self._calls.get(piece.index)
        if call is None:
            self._hold(0)
            call = self._calls[piece.index] = _Call(piece.index)
            self._waiting.append(call)
        call.id = call.id or piece.id or ""
        function = piece.function or FunctionDelta()
        call.name = call.name or function.name or ""
        if function.arguments:
            self._hold(len(function.arguments))
            call.held.append(function.arguments)
        if call.name and not call.begun and not isinstance(self._open, _Call):
            self._begin_call(call)
        elif self._open is call:
            self._tell_eagerly(call)

    def _begin_call(self, call: _Call) -> None:
        self._close()
        call.begun = True
        call_id = shown_id(call.id, self._id, call.index)
        self._begin({"type": "tool_use", "id": call_id, "name": call.name, "input": {}})
        self._open = call
        self._tell_eagerly(call)

    def _tell_eagerly(self, call: _Call) -> None:
        if call.name in self._eager:
            self._tell(call, call.held)

    def _tell(self, call: _Call, pieces: list[str]) -> None:
        for piece in pieces:
            self._piece(b"input_json_delta", b"partial_json", piece)
        self._held -= sum(map(len, call.held)) + PIECE * len(call.held)
        call.held = []

    def _begin(self, block: Json) -> None:
        start: dict[str, Any] = {"type": "content_block_start", "index": self._index, "content_block": block}
        self._event("content_block_start", start)

    def _piece(self, kind: bytes, field: bytes, text: str) -> None:
        self._out.append(
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"%b","%b":%b}}\n\n' % (self._index, kind, field, _encode(text))
        )

    def _stop(self) -> None:
        self._event("content_block_stop", {"type": "content_block_stop", "index": self._index})
        self._index += 1

    def _close(self) -> None:
        """Ends the block under way, if there is one; then what waited for it."""
        if isinstance(self._open, _Call):
            self._tell(self._open, shown_pieces(self._open.held))
        if self._open is not None:
            self._open = None
            self._stop()
        self._unseal()

    def _unseal(self) -> None:
        for detail in self._sealed:
            self._begin({"type": "redacted_thinking", "data": thoughts.redacted(detail)})
            self._stop()
        self._sealed.clear()


def _pieces(delta: Delta) -> Iterator[_Said | _Signed]:
    """What a delta says, but for its calls."""
    if delta.reasoning_content:
        yield _Said("thinking", delta.reasoning_content)
    for detail in delta.reasoning_details or ():
        yield _Signed(detail, bool(delta.reasoning_content))
    for text in (delta.content, delta.refusal, *map(picture, delta.images or ())):
        if text:
            yield _Said("text", text)


_THOUGHT: Final[Json] = {"type": "thinking", "thinking": "", "signature": ""}
