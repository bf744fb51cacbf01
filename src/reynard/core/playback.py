"""A script, as bytes and pauses: what the simulated dialect plays in process, and the simulated upstream over a socket.

How a provider says the script is data, `Spoken`; when it says it, and what goes wrong, is here once for all of them,
so that a fault is the same fault in every wire. OpenAI's way of saying it is here too: the simulated dialect needs it.
"""

from collections.abc import Iterator

from msgspec import Struct

from reynard.core import simulation
from reynard.core.chat import encode
from reynard.core.simulation import Failure, Reason, Script, Simulation

OK = 200
FAILED = b'{"error":{"message":"simulated failure","type":"simulated","code":null}}'
REASONS: dict[Reason, bytes] = {
    "context_length": (
        b'{"error":{"message":"This model\'s maximum context length is 128000 tokens. However, your messages resulted '
        b'in 130000 tokens. Please reduce the length of the messages.","type":"invalid_request_error",'
        b'"param":"messages","code":"context_length_exceeded"}}'
    ),
    "content_filter": (
        b'{"error":{"message":"The response was filtered due to the prompt triggering the content management policy. '
        b'Please modify your prompt and retry.","type":null,"param":"prompt","code":"content_filter","status":400}}'
    ),
}
"""https://platform.openai.com/docs/guides/error-codes; Azure's content filter, which has a word for it."""
ERROR_EVENT = b'data: {"error":{"message":"simulated failure","type":"server_error","code":500}}\n\n'
GARBAGE = b'data: {"choices": [{"delta\n\n'


class Head(Struct, frozen=True):
    """The status line and headers. `length` None: the body is chunked. `stream`: its type is that of events."""

    status: int
    length: int | None
    retry_after_s: float | None = None
    stream: bool = False


class Piece(Struct, frozen=True):
    """Bytes of the body."""

    data: bytes


class Pause(Struct, frozen=True):
    """Nothing, for a while."""

    seconds: float


class Cut(Struct, frozen=True):
    """The connection is closed, whatever was promised."""


class Stall(Struct, frozen=True):
    """Nothing more, and no end."""


Step = Head | Piece | Pause | Cut | Stall


class Spoken(Struct, frozen=True, kw_only=True):
    """A script in one provider's words.

    `whole`: the body of an answer that is no stream. `events`: those of a stream, or None if it is none; `end`: its
    terminal mark, where there is one. `failed` is how it fails: the status, and the body. `error_event` and `garbage`
    come in mid-stream: an error as the provider tells it there, and an event whose JSON is broken.
    """

    failed: tuple[int, bytes]
    whole: bytes = b""
    events: tuple[bytes, ...] | None = None
    end: bytes = b""
    error_event: bytes = b""
    garbage: bytes = b""


def openai(played: Script, fail: Failure, *, model: str, stream: bool) -> Spoken:
    """The script as OpenAI Chat."""
    failed = (400, REASONS[fail.reason]) if fail.reason in REASONS else (fail.status, FAILED)
    if not stream:
        return Spoken(failed=failed, whole=encode(simulation.completion(played, model=model)))
    return Spoken(
        failed=failed,
        events=tuple(b"data: %b\n\n" % encode(chunk) for chunk in simulation.chunks(played, model=model)),
        end=b"data: [DONE]\n\n",
        error_event=ERROR_EVENT,
        garbage=GARBAGE,
    )


def steps(played: Script, simulated: Simulation, spoken: Spoken) -> Iterator[Step]:
    """The whole exchange, in order."""
    if simulated.first_token_ms:
        yield Pause(simulated.first_token_ms / 1000)
    fail, is_lie = simulated.fail, played.fault == "lie"
    match played.fault, spoken.events:
        case "reset", _:
            yield Cut()
        case "status", events:
            status, body = spoken.failed
            yield Head(status, len(body), fail.retry_after_s, stream=status == OK and events is not None)
            yield Piece(body)
        case _, None:
            yield from _whole(played, simulated, spoken)
        case _, events:
            yield Head(OK, _promised(sum(map(len, events)) + len(spoken.end), fail) if is_lie else None, stream=True)
            yield from _streamed(played, simulated, spoken, events)


def _whole(played: Script, simulated: Simulation, spoken: Spoken) -> Iterator[Step]:
    if simulated.tokens_per_s:
        yield Pause(len(played.words) / simulated.tokens_per_s)
    body = spoken.failed[1] if played.fault == "error_event" else spoken.whole
    yield Head(OK, _promised(len(body), simulated.fail) if played.fault == "lie" else len(body))
    begun = body[: int(len(body) * simulated.fail.after)]
    match played.fault:
        case "none" | "no_end" | "error_event" | "lie":
            yield from _dripped(body, simulated)
            yield from _awaited(played, simulated)
        case "stall":
            yield Piece(begun)
            yield Stall()
        case "garbage":
            yield Piece(begun.ljust(len(body), b"#"))
        case _:
            yield Piece(begun)
            yield Cut()


def _streamed(played: Script, simulated: Simulation, spoken: Spoken, events: tuple[bytes, ...]) -> Iterator[Step]:
    pause = 1 / simulated.tokens_per_s if simulated.tokens_per_s else 0.0
    whole = played.fault in ("none", "garbage", "lie")
    broken = int(len(events) * simulated.fail.after)
    for index, event in enumerate(events if whole else events[:broken]):
        if played.fault == "garbage" and index == broken:
            yield Piece(spoken.garbage)
        yield from _dripped(event, simulated)
        if pause:
            yield Pause(pause)
    match played.fault:
        case "cut":
            yield Piece(b"".join(events[broken:])[:20])
            yield Cut()
        case "stall":
            yield Stall()
        case "error_event":
            yield Piece(spoken.error_event)
        case "none" | "garbage" | "lie":
            yield from [Piece(spoken.end)] if spoken.end else []
            yield from _awaited(played, simulated)


def _promised(length: int, fail: Failure) -> int:
    return round(length * (1 + fail.lie))


def _awaited(played: Script, simulated: Simulation) -> Iterator[Step]:
    """Where more was promised, the client waits for the rest, and the server thinks that it is done."""
    if played.fault == "lie" and simulated.fail.lie > 0:
        yield Stall()


def _dripped(data: bytes, simulated: Simulation) -> Iterator[Step]:
    pause = simulated.fail.slow_bytes_ms / 1000
    if not pause:
        yield Piece(data)
        return
    for position in range(len(data)):
        yield Piece(data[position : position + 1])
        yield Pause(pause)
