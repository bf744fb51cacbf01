"""A whole answer as a stream once more: for a client that repeats a streamed call whose chunks are no longer there."""

from collections.abc import Iterator

from reynard.core.chat import (
    Answer,
    Choice,
    Chunk,
    ChunkChoice,
    Completion,
    Delta,
    FunctionDelta,
    ToolCall,
    ToolCallDelta,
)


def replayed(completion: Completion, *, shows_usage: bool) -> Iterator[Chunk]:
    """One chunk a choice with all that it says, one with its end, and the usage if it is wanted."""

    def chunk(choices: list[ChunkChoice]) -> Chunk:
        return Chunk(
            id=completion.id,
            created=completion.created,
            model=completion.model,
            choices=choices,
            system_fingerprint=completion.system_fingerprint,
            service_tier=completion.service_tier,
        )

    for choice in completion.choices:
        yield chunk([_said(choice)])
        yield chunk([ChunkChoice(index=choice.index, delta=Delta(), finish_reason=choice.finish_reason)])
    if shows_usage and completion.usage is not None:
        last = chunk([])
        last.usage = completion.usage
        yield last


def _said(choice: Choice) -> ChunkChoice:
    return ChunkChoice(index=choice.index, delta=_delta(choice.message), logprobs=choice.logprobs, finish_reason=None)


def _delta(message: Answer) -> Delta:
    called = message.function_call
    calls = message.tool_calls
    return Delta(
        role=message.role,
        content=message.content,
        reasoning_content=message.reasoning_content,
        reasoning_details=message.reasoning_details,
        refusal=message.refusal,
        tool_calls=None if calls is None else [_call(place, call) for place, call in enumerate(calls)],
        function_call=None if called is None else FunctionDelta(name=called.name, arguments=called.arguments),
        annotations=message.annotations,
        audio=message.audio,
        images=message.images,
    )


def _call(place: int, call: ToolCall) -> ToolCallDelta:
    function = call.function
    return ToolCallDelta(
        index=place,
        id=call.id,
        type=call.type,
        function=None if function is None else FunctionDelta(name=function.name, arguments=function.arguments),
        custom=call.custom,
    )
