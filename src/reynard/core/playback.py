"""A script, as bytes and pauses: what the simulated dialect plays in process, and the simulated upstream over a socket.

How a provider says the script is data, `Spoken`; when it says it, and what goes wrong, is here once for all of them,
so that a fault is the same fault in every wire. OpenAI's way of saying it is here too: the simulated dialect needs it.
"""

from collections.abc import Iterator

from msgspec import Struct

from reynard.core import simulation
from reynard.core.chat import encode
from reynard.core.simulation import Script, Simulation

FAILED = b'{"error":{"message":"simulated failure","type":"simulated","code":null}}'
ERROR_EVENT = b'data: {"error":{"message":"simulated failure","type":"server_error","code":500}}\n\n'
GARBAGE = b'data: {"choices": [{"delta\n\n'


class Head(Struct, frozen=True):
    """The status line and headers. `length` None: the body is chunked."""

    status: int
    length: int | None
    retry_after_s: float | None = None


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
    terminal mark, where there is one. `failed`: the body of a failing status. `error_event` and `garbage` come in
    mid-stream: an error as the provider tells it there, and an event whose JSON is broken.
    """

    failed: bytes
    whole: bytes = b""
    events: tuple[bytes, ...] | None = None
    end: bytes = b""
    error_event: bytes = b""
    garbage: bytes = b""


def openai(played: Script, *, model: str, stream: bool) -> Spoken:
    """The script as OpenAI Chat."""
    if not stream:
        return Spoken(failed=FAILED, whole=encode(simulation.completion(played, model=model)))
    return Spoken(
        failed=FAILED,
        events=tuple(b"data: %b\n\n" % encode(chunk) for chunk in simulation.chunks(played, model=model)),
        end=b"data: [DONE]\n\n",
        error_event=ERROR_EVENT,
        garbage=GARBAGE,
    )


def steps(played: Script, simulated: Simulation, spoken: Spoken) -> Iterator[Step]:
    """The whole exchange, in order."""
    if simulated.first_token_ms:
        yield Pause(simulated.first_token_ms / 1000)
    fail = simulated.fail
    if played.fault == "reset":
        yield Cut()
    elif played.fault == "status":
        yield Head(fail.status, len(spoken.failed), fail.retry_after_s)
        yield Piece(spoken.failed)
    elif spoken.events is not None:
        yield Head(200, None)
        yield from _streamed(played, simulated, spoken, spoken.events)
    else:
        yield from _whole(played, simulated, spoken.whole)


def _whole(played: Script, simulated: Simulation, body: bytes) -> Iterator[Step]:
    if simulated.tokens_per_s:
        yield Pause(len(played.words) / simulated.tokens_per_s)
    yield Head(200, len(body))
    match played.fault:
        case "none" | "no_end":
            yield from _dripped(body, simulated)
        case "stall":
            yield Piece(body[: len(body) // 2])
            yield Stall()
        case "garbage":
            yield Piece(body[: len(body) // 2].ljust(len(body), b"#"))
        case _:
            yield Piece(body[: len(body) // 2])
            yield Cut()


def _streamed(played: Script, simulated: Simulation, spoken: Spoken, events: tuple[bytes, ...]) -> Iterator[Step]:
    pause = 1 / simulated.tokens_per_s if simulated.tokens_per_s else 0.0
    whole = played.fault in ("none", "garbage")
    for index, event in enumerate(events if whole else events[: len(events) // 2]):
        if played.fault == "garbage" and index == len(events) // 2:
            yield Piece(spoken.garbage)
        yield from _dripped(event, simulated)
        if pause:
            yield Pause(pause)
    match played.fault:
        case "cut":
            yield Piece(events[len(events) // 2][:20])
            yield Cut()
        case "stall":
            yield Stall()
        case "error_event":
            yield Piece(spoken.error_event)
        case "none" | "garbage" if spoken.end:
            yield Piece(spoken.end)


def _dripped(data: bytes, simulated: Simulation) -> Iterator[Step]:
    pause = simulated.fail.slow_bytes_ms / 1000
    if not pause:
        yield Piece(data)
        return
    for position in range(len(data)):
        yield Piece(data[position : position + 1])
        yield Pause(pause)
