"""The simulated dialect in process: a transport whose other end is a script of `core.simulation`.

With it `--demo` shows every model of the catalogue with no key and no network, through the real codec and engine.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager

import msgspec

from reynard.core import playback, simulation
from reynard.core.channels import Channel
from reynard.core.generation import Generation
from reynard.core.media import Intake
from reynard.core.playback import Cut, Head, Pause, Piece, Stall, Step, steps
from reynard.core.simulation import Simulation
from reynard.ports.clock import Chance
from reynard.ports.transport import ConnectionBroken, WireRequest
from reynard.providers.openai import OpenAICodec
from reynard.providers.openai.codec import MOST_INLINE

_requests = msgspec.json.Decoder(Generation)


class SimulatedCodec(OpenAICodec):
    """The openai dialect, spoken to nobody: addresses of media stay unread."""

    def intake(self, channel: Channel) -> Intake:
        """Everything, as it stands."""
        return Intake(youtube=True, blind=True, inline_bytes=MOST_INLINE)


class SimulatedResponse:
    """Plays what follows the head."""

    def __init__(self, head: Head, rest: Iterator[Step]) -> None:
        self.status = head.status
        self.retry_after_s = head.retry_after_s
        self._rest = rest

    async def read(self, limit: int) -> bytes:
        """The whole body."""
        return b"".join([part async for part in self.parts()])

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes."""
        for step in self._rest:
            match step:
                case Piece(data):
                    yield data
                case _:
                    await _elapse(step)


class SimulatedTransport:
    """The way to a model that is none."""

    def __init__(self, simulated: Simulation, chance: Chance) -> None:
        self._simulation = simulated
        self._chance = chance
        self._turns: Counter[str] = Counter()  # by model: those of the channel

    @asynccontextmanager
    async def send(self, request: WireRequest) -> AsyncIterator[SimulatedResponse]:
        """Plays the script for this request."""
        generation = _requests.decode(request.body)
        simulated = simulation.at_turn(self._simulation, self._turns[generation.model])
        self._turns[generation.model] += 1
        played = simulation.script(generation, simulated, self._chance.uniform())
        spoken = playback.openai(played, simulated.fail, model=generation.model, stream=request.stream)
        playing = steps(played, simulated, spoken)
        for step in playing:
            if isinstance(step, Head):
                yield SimulatedResponse(step, playing)
                return
            await _elapse(step)

    async def close(self) -> None:
        """Nothing is held."""


async def _elapse(step: Step) -> None:
    match step:
        case Pause(seconds):
            await asyncio.sleep(seconds)
        case Stall():
            await asyncio.Event().wait()
        case Cut():
            raise ConnectionBroken("the provider closed the connection")
        case _:
            pass
