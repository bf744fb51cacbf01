"""A model that is none: deterministic text by seed, and failures of every kind, as pure values.

The simulated dialect plays a `Script` in process; `reynard.testing.upstream` plays it over real wire protocols.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from reynard.core.chat import (
    Answer,
    CalledFunction,
    Choice,
    Chunk,
    ChunkChoice,
    Completion,
    Delta,
    FunctionDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from reynard.core.generation import Generation
from reynard.core.messages import FunctionTool, TextBlock, ToolMessage

FINGERPRINT: Final = "simulated"
WORDS: Final = [
    "the",
    "a",
    "quiet",
    "fox",
    "river",
    "stone",
    "light",
    "over",
    "under",
    "between",
    "carries",
    "keeps",
    "finds",
    "morning",
    "evening",
    "small",
    "bright",
    "slow",
    "clear",
    "answer",
    "question",
    "window",
    "paper",
    "garden",
    "bridge",
    "letter",
    "winter",
    "summer",
    "north",
    "harbour",
    "signal",
    "number",
    "pattern",
    "silver",
    "copper",
    "and",
    "so",
    "then",
    "while",
    "because",
    "every",
    "other",
    "first",
    "last",
    "again",
    "always",
    "never",
    "perhaps",
    "often",
    "once",
    "here",
    "there",
]

Rate = Annotated[float, Meta(ge=0, le=1)]
Milliseconds = Annotated[float, Meta(ge=0)]
Reason = Literal["failure", "context_length", "content_filter"]


class Failure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong, and for which share of the requests.

    `status` with `rate`: the share answered with that status (and `retry_after_s`, if given), or for a `reason` of the
    request's own, as the provider tells that one. The other rates: a stream or body that is cut, one that stalls, a
    chunk that is no JSON, a connection reset before any answer, an error event in a stream (an error in place of a
    body), a stream that ends without its terminal mark, and a content-length that is none: `lie` is by how much, as a
    share of the true one. All but the reset come `after` that share of the answer.
    `slow_bytes_ms`: the body comes a byte at a time, that many milliseconds apart.

    Of the requests to a model only each `every`-th one fails, beginning with the first, and only `times` of them; 0 is
    no end of it.
    """

    status: Annotated[int, Meta(ge=400, le=599)] = 500
    rate: Rate = 0.0
    retry_after_s: Annotated[float, Meta(ge=0)] | None = None
    cut_stream_rate: Rate = 0.0
    stall_rate: Rate = 0.0
    garbage_rate: Rate = 0.0
    reset_rate: Rate = 0.0
    error_event_rate: Rate = 0.0
    no_end_rate: Rate = 0.0
    lie_rate: Rate = 0.0
    lie: Annotated[float, Meta(ge=-1, le=1)] = 0.5
    after: Rate = 0.5
    reason: Reason = "failure"
    times: Annotated[int, Meta(ge=0)] = 0
    every: Annotated[int, Meta(ge=1)] = 1
    slow_bytes_ms: Milliseconds = 0.0


class Simulation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a simulated model behaves: `seed` picks the text; `tokens_per_s` 0 means at once."""

    seed: int = 0
    first_token_ms: Milliseconds = 0.0
    tokens_per_s: Annotated[float, Meta(ge=0)] = 0.0
    tokens: Annotated[int, Meta(ge=0, le=1_000_000)] = 24
    reasoning_tokens: Annotated[int, Meta(ge=0, le=1_000_000)] = 12
    fail: Failure = Failure()


Fault = Literal["none", "status", "cut", "stall", "garbage", "reset", "error_event", "no_end", "lie"]


class Script(Struct, frozen=True, kw_only=True):
    """What one request gets: the pieces to say, at which pace, and what goes wrong on the way."""

    reasoning: tuple[str, ...]
    words: tuple[str, ...]
    tool: tuple[str, str] | None  # name and arguments
    finish_reason: str
    prompt_tokens: int
    fault: Fault


def at_turn(simulation: Simulation, turn: int) -> Simulation:
    """How the model behaves to the request with that number, counted from 0: faults have their turns."""
    fail = simulation.fail
    is_due = turn % fail.every == 0 and (not fail.times or turn // fail.every < fail.times)
    return simulation if is_due else replace(simulation, fail=Failure())


def script(generation: Generation, simulation: Simulation, draw: float) -> Script:
    """The same request and seed get the same words; `draw`, a number in [0, 1), decides on a fault."""
    words = _words(_fingerprint(generation, simulation.seed))
    limit = generation.output_limit
    count = simulation.tokens if limit is None else min(limit, simulation.tokens)
    tool = _tool(generation)
    thinks = generation.reasoning or generation.reasoning_effort not in (None, "none")
    return Script(
        reasoning=tuple(next(words) for _ in range(simulation.reasoning_tokens if thinks else 0)),
        words=() if tool else tuple(next(words) for _ in range(count)),
        tool=tool,
        finish_reason="tool_calls" if tool else "length" if count < simulation.tokens else "stop",
        prompt_tokens=max(1, sum(_length(message.content) for message in generation.messages) // 4),
        fault=_fault(simulation.fail, draw),
    )


def completion(played: Script, *, model: str, id: str = "sim", created: int = 0) -> Completion:  # noqa: A002
    """The script as one body."""
    calls = None
    if played.tool is not None:
        name, arguments = played.tool
        calls = [ToolCall(id=f"call_{id}", function=CalledFunction(name=name, arguments=arguments))]
    message = Answer(
        content=None if calls else "".join(played.words),
        reasoning_content="".join(played.reasoning) or None,
        tool_calls=calls,
    )
    return Completion(
        id=id,
        created=created,
        model=model,
        choices=[Choice(index=0, message=message, finish_reason=played.finish_reason)],
        usage=usage(played),
        system_fingerprint=FINGERPRINT,
    )


def chunks(played: Script, *, model: str, id: str = "sim", created: int = 0) -> Iterator[Chunk]:  # noqa: A002
    """The script as a stream: role, reasoning, words or a tool call, finish, usage."""

    def piece(delta: Delta, finish_reason: str | None = None) -> Chunk:
        choice = ChunkChoice(index=0, delta=delta, finish_reason=finish_reason)
        return Chunk(id=id, created=created, model=model, choices=[choice], system_fingerprint=FINGERPRINT)

    yield piece(Delta(role="assistant", content=""))
    for word in played.reasoning:
        yield piece(Delta(reasoning_content=word))
    for word in played.words:
        yield piece(Delta(content=word))
    if played.tool is not None:
        name, arguments = played.tool
        half = len(arguments) // 2
        yield piece(_call(id=f"call_{id}", type="function", function=FunctionDelta(name=name, arguments="")))
        yield piece(_call(function=FunctionDelta(arguments=arguments[:half])))
        yield piece(_call(function=FunctionDelta(arguments=arguments[half:])))
    yield piece(Delta(), played.finish_reason)
    yield Chunk(id=id, created=created, model=model, choices=[], usage=usage(played), system_fingerprint=FINGERPRINT)


def usage(played: Script) -> Usage:
    """A token a word."""
    produced = len(played.words) + len(played.reasoning) + (8 if played.tool else 0)
    return Usage(
        prompt_tokens=played.prompt_tokens,
        completion_tokens=produced,
        total_tokens=played.prompt_tokens + produced,
        completion_tokens_details={"reasoning_tokens": len(played.reasoning)} if played.reasoning else None,
    )


def _call(**fields: Any) -> Delta:
    return Delta(tool_calls=[ToolCallDelta(index=0, **fields)])


def _fingerprint(generation: Generation, seed: int) -> bytes:
    said = msgspec.json.encode(generation.messages)
    chosen = seed if generation.seed is None else generation.seed
    return hashlib.blake2b(said, digest_size=16, key=str(chosen).encode()[:64]).digest()


def _words(fingerprint: bytes) -> Iterator[str]:
    """An endless walk through the word list, a linear congruence seeded by the fingerprint."""
    state = int.from_bytes(fingerprint)
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield WORDS[(state >> 33) % len(WORDS)] + " "


def _tool(generation: Generation) -> tuple[str, str] | None:
    """The call to make: the named tool, or the first one, unless the last turn is already a tool's result."""
    functions = [tool.function for tool in generation.tools or () if isinstance(tool, FunctionTool)]
    choice = generation.tool_choice
    if not functions or choice == "none" or isinstance(generation.messages[-1], ToolMessage):
        return None
    asked = choice.get("function") if isinstance(choice, dict) else None
    named = asked.get("name") if isinstance(asked, dict) else None
    function = next((f for f in functions if f.name == named), functions[0])
    properties = (function.parameters or {}).get("properties", {})
    example = {name: _example(schema) for name, schema in properties.items()} if isinstance(properties, dict) else {}
    return function.name, json.dumps(example, ensure_ascii=False)


def _example(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return "value"
    if isinstance(options := schema.get("enum"), list) and options:
        return options[0]
    kind = schema.get("type")
    return {"integer": 7, "number": 1.5, "boolean": True, "array": [], "object": {}}.get(
        kind if isinstance(kind, str) else "", "value"
    )


def _length(content: Any) -> int:
    if isinstance(content, str):
        return len(content)
    return sum(len(block.text) if isinstance(block, TextBlock) else 1024 for block in content or ())


def _fault(fail: Failure, draw: float) -> Fault:
    """The faults lie side by side on [0, 1), each as wide as its rate; `draw` falls on one of them or beyond."""
    shares: tuple[tuple[Fault, float], ...] = (
        ("status", fail.rate),
        ("cut", fail.cut_stream_rate),
        ("stall", fail.stall_rate),
        ("garbage", fail.garbage_rate),
        ("reset", fail.reset_rate),
        ("error_event", fail.error_event_rate),
        ("no_end", fail.no_end_rate),
        ("lie", fail.lie_rate),
    )
    edge = 0.0
    for fault, share in shares:
        edge += share
        if draw < edge:
            return fault
    return "none"
