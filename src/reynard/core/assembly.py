"""The whole from its pieces: the ChatCompletion that a stream of chunks amounts to."""

from io import StringIO
from typing import Any

from reynard.core.chat import (
    Answer,
    CalledFunction,
    Choice,
    Chunk,
    ChunkChoice,
    Completion,
    Delta,
    Json,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)


class _Call:
    """A tool call under way."""

    __slots__ = ("arguments", "custom", "id", "name", "type")

    def __init__(self) -> None:
        self.id = ""
        self.type = "function"
        self.name = ""
        self.arguments: list[str] = []
        self.custom: Json | None = None

    def add(self, delta: ToolCallDelta) -> None:
        self.id = delta.id or self.id
        self.type = delta.type or self.type
        if delta.function is not None:
            self.name = delta.function.name or self.name
            self.arguments.append(delta.function.arguments or "")
        if delta.custom is not None:
            self.custom = _joined(self.custom, delta.custom)

    def value(self) -> ToolCall:
        if self.custom is not None:
            return ToolCall(id=self.id, type=self.type, custom=self.custom)
        return ToolCall(
            id=self.id, type=self.type, function=CalledFunction(name=self.name, arguments="".join(self.arguments))
        )


class _Candidate:
    """A choice under way."""

    __slots__ = (
        "annotations",
        "audio",
        "calls",
        "content",
        "details",
        "finish_reason",
        "function_arguments",
        "function_name",
        "images",
        "logprobs",
        "reasoning",
        "refusal",
        "role",
    )

    def __init__(self) -> None:
        self.role = "assistant"
        self.content: StringIO | None = None
        self.reasoning: StringIO | None = None
        self.refusal: list[str] = []
        self.calls: dict[int, _Call] = {}
        self.function_name: str | None = None
        self.function_arguments: list[str] = []
        self.annotations: list[Json] = []
        self.images: list[Json] = []
        self.details: list[Json] = []
        self.audio: Json | None = None
        self.logprobs: dict[str, list[Any]] | None = None
        self.finish_reason: str | None = None

    def add(self, choice: ChunkChoice) -> None:
        delta = choice.delta
        if delta.content:
            if self.content is None:
                self.content = StringIO()
            self.content.write(delta.content)
        if delta.reasoning_content:
            if self.reasoning is None:
                self.reasoning = StringIO()
            self.reasoning.write(delta.reasoning_content)
        if isinstance(delta, TextDelta):
            self.role = delta.role or self.role
            return
        if delta.tool_calls:
            for call in delta.tool_calls:
                self.calls.setdefault(call.index, _Call()).add(call)
        if choice.finish_reason is not None:
            self.finish_reason = choice.finish_reason
        if choice.logprobs is not None:
            self._add_logprobs(choice.logprobs)
        self._add_rare(delta)

    def _add_rare(self, delta: Delta) -> None:
        if delta.role:
            self.role = delta.role
        if delta.refusal:
            self.refusal.append(delta.refusal)
        if delta.function_call is not None:
            self.function_name = delta.function_call.name or self.function_name
            self.function_arguments.append(delta.function_call.arguments or "")
        if delta.annotations:
            self.annotations.extend(delta.annotations)
        if delta.images:
            self.images.extend(delta.images)
        if delta.reasoning_details:
            self.details.extend(delta.reasoning_details)
        if delta.audio is not None:
            self.audio = _joined(self.audio, delta.audio)

    def _add_logprobs(self, logprobs: Json) -> None:
        kept = self.logprobs = self.logprobs or {}
        for name, tokens in logprobs.items():
            if isinstance(tokens, list):
                kept.setdefault(name, []).extend(tokens)

    def answer(self) -> Answer:
        return Answer(
            role=self.role,
            content=_text(self.content) if self.content is not None or not self.calls else None,
            reasoning_content=_text(self.reasoning) or None,
            reasoning_details=self.details or None,
            refusal="".join(self.refusal) or None,
            tool_calls=[self.calls[index].value() for index in sorted(self.calls)] or None,
            function_call=None
            if self.function_name is None
            else CalledFunction(name=self.function_name, arguments="".join(self.function_arguments)),
            annotations=self.annotations or None,
            audio=self.audio,
            images=self.images or None,
        )


class Assembly:
    """Feed it the chunks of a stream in order; `completion` is what they amount to. Whether the stream was whole, the
    dialect's decoder knows."""

    __slots__ = ("_candidates", "fingerprint", "service_tier", "usage")

    def __init__(self) -> None:
        self._candidates: dict[int, _Candidate] = {}
        self.usage: Usage | None = None
        self.fingerprint: str | None = None
        self.service_tier: str | None = None

    def add(self, chunk: Chunk) -> None:
        """One more chunk."""
        for choice in chunk.choices:
            candidate = self._candidates.get(choice.index)
            if candidate is None:
                candidate = self._candidates[choice.index] = _Candidate()
            candidate.add(choice)
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.system_fingerprint is not None:
            self.fingerprint = chunk.system_fingerprint
        if chunk.service_tier is not None:
            self.service_tier = chunk.service_tier

    def completion(
        self,
        *,
        id: str,  # noqa: A002
        created: int,
        model: str,
        unfinished: str = "length",
    ) -> Completion:
        """The answer as far as it came; a choice that did not end has the finish reason `unfinished`."""
        return Completion(
            id=id,
            created=created,
            model=model,
            choices=[
                Choice(
                    index=index,
                    message=candidate.answer(),
                    finish_reason=candidate.finish_reason or unfinished,
                    logprobs=candidate.logprobs,
                )
                for index, candidate in sorted(self._candidates.items())
            ],
            usage=self.usage,
            system_fingerprint=self.fingerprint,
            service_tier=self.service_tier,
        )


def says_nothing(completion: Completion) -> bool:
    """Whether no choice holds anything at all. An answer cut by its token limit is an answer, even an empty one."""
    return not any(map(_says_something, completion.choices))


def _says_something(choice: Choice) -> bool:
    return choice.finish_reason == "length" or holds_anything(choice.message)


def begins(chunk: Chunk) -> bool:
    """Whether there is anything in it that a model produced: a role, a finish reason or a usage is nothing of that."""
    return any(holds_anything(choice.delta) for choice in chunk.choices)


def holds_anything(message: Answer | Delta) -> bool:
    """Whether there is anything in it that a model produced."""
    return bool(
        message.content
        or message.reasoning_content
        or message.refusal
        or message.tool_calls
        or message.function_call
        or message.audio
        or message.images
    )


def _text(written: StringIO | None) -> str:
    return "" if written is None else written.getvalue()


def _joined(kept: Json | None, piece: Json) -> Json:
    """`piece` added to `kept`, key by key: text is appended, everything else replaced."""
    if kept is None:
        return dict(piece)
    for key, value in piece.items():
        before = kept.get(key)
        kept[key] = before + value if isinstance(before, str) and isinstance(value, str) and key != "id" else value
    return kept
