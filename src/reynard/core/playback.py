"""A script, as the bytes and pauses of OpenAI Chat: what the simulated dialect plays in process, and the simulated
upstream over a socket. One source for both, so that a fault is the same fault."""

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


def steps(played: Script, simulated: Simulation, *, model: str, stream: bool) -> Iterator[Step]:
    """The whole exchange, in order."""
    if simulated.first_token_ms:
        yield Pause(simulated.first_token_ms / 1000)
    fail = simulated.fail
    if played.fault == "reset":
        yield Cut()
    elif played.fault == "status":
        yield Head(fail.status, len(FAILED), fail.retry_after_s)
        yield Piece(FAILED)
    elif stream:
        yield Head(200, None)
        yield from _streamed(played, simulated, model)
    else:
        yield from _whole(played, simulated, model)


def _whole(played: Script, simulated: Simulation, model: str) -> Iterator[Step]:
    body = encode(simulation.completion(played, model=model))
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


def _streamed(played: Script, simulated: Simulation, model: str) -> Iterator[Step]:
    events = [b"data: %b\n\n" % encode(chunk) for chunk in simulation.chunks(played, model=model)]
    pause = 1 / simulated.tokens_per_s if simulated.tokens_per_s else 0.0
    whole = played.fault in ("none", "garbage")
    for index, event in enumerate(events if whole else events[: len(events) // 2]):
        if played.fault == "garbage" and index == len(events) // 2:
            yield Piece(GARBAGE)
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
            yield Piece(ERROR_EVENT)
        case "none" | "garbage":
            yield Piece(b"data: [DONE]\n\n")


def _dripped(data: bytes, simulated: Simulation) -> Iterator[Step]:
    pause = simulated.fail.slow_bytes_ms / 1000
    if not pause:
        yield Piece(data)
        return
    for position in range(len(data)):
        yield Piece(data[position : position + 1])
        yield Pause(pause)
