"""The simulated dialect in process: a transport whose other end is a `core.simulation.Script`, spoken as OpenAI Chat.

With it `--demo` shows every model of the catalogue with no key and no network, through the real codec and engine.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from reynard.core import simulation
from reynard.core.chat import encode
from reynard.core.generation import Generation
from reynard.core.simulation import Script, Simulation
from reynard.ports.clock import Chance
from reynard.ports.transport import ConnectionBroken, WireRequest

_requests = msgspec.json.Decoder(Generation)


class SimulatedResponse:
    """Answers with the script, at its pace and with its fault."""

    def __init__(self, body: AsyncIterator[bytes], status: int = 200, retry_after_s: float | None = None) -> None:
        self._body = body
        self.status = status
        self.retry_after_s = retry_after_s

    async def read(self, limit: int) -> bytes:
        """The whole body."""
        return b"".join([part async for part in self._body])

    def parts(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        return self._body


class SimulatedTransport:
    """The way to a model that is none."""

    def __init__(self, simulated: Simulation, chance: Chance) -> None:
        self._simulation = simulated
        self._chance = chance

    @asynccontextmanager
    async def send(self, request: WireRequest) -> AsyncIterator[SimulatedResponse]:
        """Plays the script for this request."""
        generation = _requests.decode(request.body)
        played = simulation.script(generation, self._simulation, self._chance.uniform())
        await asyncio.sleep(self._simulation.first_token_ms / 1000)
        fail = self._simulation.fail
        if played.fault == "reset":
            raise ConnectionBroken("the provider closed the connection without an answer")
        if played.fault == "status":
            body = b'{"error":{"message":"simulated failure","type":"simulated","code":null}}'
            yield SimulatedResponse(_once(body), fail.status, fail.retry_after_s)
        else:
            parts = stream_parts(played, generation.model) if request.stream else [body_of(played, generation.model)]
            yield SimulatedResponse(self._paced(parts, played, request.stream))

    async def close(self) -> None:
        """Nothing is held."""

    async def _paced(self, parts: list[bytes], played: Script, stream: bool) -> AsyncIterator[bytes]:
        pause = 1 / self._simulation.tokens_per_s if self._simulation.tokens_per_s else 0.0
        if not stream and pause:
            await asyncio.sleep(pause * len(played.words))
        half = len(parts) // 2
        for index, part in enumerate(parts):
            if index == half:
                await _halfway(played)
                if played.fault in ("cut", "garbage", "error_event"):
                    yield broken_piece(played, part)
                    if played.fault == "cut":
                        raise ConnectionBroken("the answer was cut")
            async for piece in self._dripped(part):
                yield piece
            if stream and pause:
                await asyncio.sleep(pause)

    async def _dripped(self, part: bytes) -> AsyncIterator[bytes]:
        pause = self._simulation.fail.slow_bytes_ms / 1000
        if not pause:
            yield part
            return
        for position in range(len(part)):
            yield part[position : position + 1]
            await asyncio.sleep(pause)


def body_of(played: Script, model: str) -> bytes:
    """The script as one JSON body."""
    return encode(simulation.completion(played, model=model))


def stream_parts(played: Script, model: str) -> list[bytes]:
    """The script as the SSE events of a stream."""
    events = [b"data: " + encode(chunk) + b"\n\n" for chunk in simulation.chunks(played, model=model)]
    if played.fault == "no_end":
        return events[: len(events) // 2]
    return [*events, b"data: [DONE]\n\n"]


def broken_piece(played: Script, part: bytes) -> bytes:
    """What comes in place of the middle: half an event, no JSON, or an error event."""
    match played.fault:
        case "cut":
            return part[: len(part) // 2]
        case "garbage":
            return b'data: {"choices": [{"delta\n\n'
        case _:
            return b'data: {"error":{"message":"simulated failure","type":"server_error","code":500}}\n\n'


async def _halfway(played: Script) -> None:
    if played.fault == "stall":
        await asyncio.Event().wait()


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
