"""Chunks of a ChatCompletion as the events of a message: fed one by one, each giving its own events as bytes.

Blocks follow one another; none begins before the one in front of it has ended. What was sealed by another provider
waits for the end of the block under way.
"""

from typing import Any, Final, Literal

import msgspec

from reynard.core.chat import Chunk, Delta, FunctionDelta, Json, ToolCallDelta, Usage
from reynard.core.errors import GenerationError
from reynard.core.surfaces.messages import thoughts
from reynard.core.surfaces.messages.answer import MessageView, UsageView, message_id, picture, stop_reason, usage
from reynard.core.surfaces.messages.calls import shown_id

PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

_encode = msgspec.json.encode


class _Call:
    """A tool call under way. `held`: arguments that came before the name did."""

    __slots__ = ("begun", "held", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.held = ""
        self.begun = False


class EventTranslator:
    """One stream. `feed` it every chunk in order, then `end` it; a stream that broke off is not ended."""

    __slots__ = ("_calls", "_id", "_index", "_open", "_out", "_reason", "_refused", "_sealed", "_started", "_usage")

    def __init__(self) -> None:
        self._out: list[bytes] = []
        self._started = False
        self._id = ""
        self._index = 0
        self._open: Literal["text", "thinking"] | _Call | None = None
        self._calls: dict[int, _Call] = {}
        self._sealed: list[Json] = []
        self._reason = "length"
        self._refused = False
        self._usage: Usage | None = None

    def feed(self, chunk: Chunk) -> bytes:
        """The events of `chunk`. Raises `GenerationError` for pieces of tool calls that are mixed with one another."""
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
        for index, call in self._calls.items():
            if not call.begun:
                self._begin_call(call, index)
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
        if delta.reasoning_content:
            self._say("thinking", delta.reasoning_content)
        for detail in delta.reasoning_details or ():
            self._detail(detail, shown=bool(delta.reasoning_content))
        if delta.content:
            self._say("text", delta.content)
        if delta.refusal:
            self._refused = True
            self._say("text", delta.refusal)
        for image in delta.images or ():
            self._say("text", picture(image))
        for piece in delta.tool_calls or ():
            self._call(piece)

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
        call = self._calls.setdefault(piece.index, _Call())
        call.id = call.id or piece.id or ""
        function = piece.function or FunctionDelta()
        call.name = call.name or function.name or ""
        arguments = function.arguments or ""
        if not call.begun:
            call.held += arguments
            if call.name:
                self._begin_call(call, piece.index)
        elif arguments:
            if self._open is not call:
                raise GenerationError(
                    "upstream_error", "The provider mixed the pieces of its tool calls. Try again, without a stream."
                )
            self._piece(b"input_json_delta", b"partial_json", arguments)

    def _begin_call(self, call: _Call, index: int) -> None:
        self._close()
        call.begun = True
        call_id = shown_id(call.id, self._id, index)
        self._begin({"type": "tool_use", "id": call_id, "name": call.name, "input": {}})
        self._open = call
        if call.held:
            self._piece(b"input_json_delta", b"partial_json", call.held)

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
        if self._open is not None:
            self._open = None
            self._stop()
        self._unseal()

    def _unseal(self) -> None:
        for detail in self._sealed:
            self._begin({"type": "redacted_thinking", "data": thoughts.redacted(detail)})
            self._stop()
        self._sealed.clear()


_THOUGHT: Final[Json] = {"type": "thinking", "thinking": "", "signature": ""}
