"""One request's way over the channels of one model, until one of them gives the whole answer or none is left."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from reynard.core.chat import Completion
from reynard.core.errors import GenerationError
from reynard.core.generation import Generation
from reynard.core.task import Outcome
from reynard.engine import attempt
from reynard.engine.handover import Delivered, Diverged, Handover, Outrun, Race
from reynard.engine.health import Call
from reynard.engine.lane import Lane
from reynard.engine.media import Gathered
from reynard.engine.routes import Route
from reynard.engine.work import Sink, Work
from reynard.ports.clock import Chance, Clock
from reynard.ports.telemetry import UNOBSERVED, Observer
from reynard.ports.transport import WireRequest

PASSES_BY_ITSELF: Final = frozenset({"upstream_rate_limited", "upstream_error"})
"""Worth asking the same channel again; a silent one, or one that refuses the key, is left alone."""

OF_THE_KEY: Final = frozenset({"upstream_rate_limited", "upstream_auth_failed"})
"""Another key of the same channel may do better at once."""


class RetryPolicy(Struct, frozen=True):
    """`rounds`: how often every channel is asked at most. Pauses double from `pause_s`, drawn from half to whole.

    `longest_pause_s`: what all pauses of a model may come to. Where another model may stand in, it is
    `hurried_pause_s`: that one is nearer than a channel that comes back some time. The same where a caller holds the
    line: it is told at once when to come again, and need not hang behind a provider that nobody asks.
    """

    rounds: int = 3
    pause_s: float = 0.25
    longest_pause_s: float = 20.0
    hurried_pause_s: float = 2.0


Again = Literal["now", "later", "never"]


class Walk:
    """`generation` is the work's own, or as another model takes it. `failures` is added to. `now`: the event loop's
    time."""

    __slots__ = (
        "_broken",
        "_chance",
        "_clock",
        "_delivered",
        "_failed",
        "_failures",
        "_gather",
        "_generation",
        "_identity",
        "_media",
        "_model",
        "_now",
        "_observer",
        "_policy",
        "_routes",
        "_sink",
        "_work",
        "wait_s",
    )

    def __init__(
        self,
        work: Work,
        generation: Generation,
        routes: list[Route],
        sink: Sink | None,
        *,
        now: Callable[[], float],
        gather: Callable[[], Gathered],
        clock: Clock,
        chance: Chance,
        policy: RetryPolicy,
        failures: list[GenerationError],
        observer: Observer = UNOBSERVED,
    ) -> None:
        self.wait_s: float | None = None  # until a channel that is closed to us may be asked; set at the end, if one is
        self._work = work
        self._generation = generation
        self._model = generation.model
        self._routes = routes
        self._sink = sink
        self._gather = gather
        self._media = gather()
        self._clock = clock
        self._chance = chance
        self._policy = policy
        self._observer = observer
        self._failures = failures
        identity = work.identity
        self._identity = identity if generation is work.generation else replace(identity, model=generation.model)
        self._delivered = Delivered() if sink is not None and len(routes) > 1 else None
        self._broken: GenerationError | None = None  # why a stream that was read broke off
        self._failed: dict[str, int] = {}  # how often, by the channel's name
        self._now = now

    async def completion(self, patience_s: float) -> Completion | None:
        """The whole answer, or None when every channel failed in a way in which another may do better.

        `patience_s`: what all pauses may come to. Raises `GenerationError`.
        """
        try:
            return await self._rounds(patience_s)
        finally:
            self._media.let_go()

    async def _rounds(self, patience_s: float) -> Completion | None:
        left, turn = self._routes, 0
        while True:
            before = len(self._failures)
            completion, left = await self._turn(left)
            if completion is not None or not left:
                return completion
            wait_s = min(route.health.wait_s(self._model, self._now()) for route in left)
            pause_s = wait_s + self._own_pause_s(turn)
            if pause_s > patience_s:
                self._give_up(left, wait_s)
                return None
            turn += len(self._failures) > before
            patience_s -= pause_s
            await asyncio.sleep(pause_s)

    def _own_pause_s(self, turn: int) -> float:
        return self._policy.pause_s * float(2**turn) * (0.5 + self._chance.uniform() / 2)

    def _give_up(self, closed: Sequence[Route], wait_s: float) -> None:
        """What the caller is told, if nobody was asked, is what these channels said last."""
        self.wait_s = round(wait_s, 3)
        if not self._failures:
            self._failures += [route.health.reason(self._model, self._now()) for route in closed]

    async def _turn(self, routes: Sequence[Route]) -> tuple[Completion | None, list[Route]]:
        """Asks each of `routes` that may be asked; with no answer, those that may do better later."""
        queue = deque(routes)
        again: list[Route] = []
        while queue:
            lanes = await self._ask(queue.popleft(), queue)
            for lane in lanes:
                if lane.completion is not None:
                    return lane.completion, []
            for lane in lanes:
                await self._sort(lane, queue, again)
        if self._broken is not None:
            raise interrupted(self._broken)
        return None, again

    async def _sort(self, lane: Lane, queue: deque[Route], again: list[Route]) -> None:
        """Where a channel that gave no answer belongs: to those to ask at once, later, or no more.

        One that was outrun did nothing wrong: it comes next, now that the winner broke.
        """
        if lane.outrun:
            queue.appendleft(lane.route)
            return
        match "later" if lane.failure is None else await self._after(lane, lane.failure):
            case "now":
                queue.appendleft(lane.route)
            case "later":
                again.append(lane.route)

    async def _after(self, lane: Lane, failure: Exception) -> Again:
        """Whether to ask again where `failure` came from. Raises it if no channel would do better."""
        if not isinstance(failure, GenerationError):
            raise failure
        self._failures.append(failure)
        if failure.code == "stream_interrupted" or (self._broken is None and not failure.failover):
            raise failure
        if self._broken is None and not await self._restarted():
            self._broken = failure
        return "never" if self._broken is not None else self._worth(lane, failure)

    async def _restarted(self) -> bool:
        """Whether what was delivered is as if it had never been."""
        if self._sink is None:
            return True
        if not await self._sink.restart():
            return False
        self._work.journal.assembly = None
        if self._delivered is not None:
            self._delivered.clear()
        return True

    def _worth(self, lane: Lane, failure: GenerationError) -> Again:
        now, health, call, name = self._now(), lane.route.health, lane.call, lane.route.channel.name
        self._failed[name] = self._failed.get(name, 0) + 1
        if call is not None and failure.code in OF_THE_KEY and health.has_other_key(call, self._failed[name], now):
            return "now"
        relied_on_old_media = self._media.distrust()
        if self._failed[name] >= self._policy.rounds:
            return "never"
        passes = failure.code in PASSES_BY_ITSELF and not failure.is_wrong_name
        is_new = call is None or not call.answering
        return "later" if relied_on_old_media or (passes and is_new and health.may_retry(now)) else "never"

    async def _ask(self, route: Route, queue: deque[Route]) -> list[Lane]:
        """One attempt; two, where the channel is slow to start and its settings let another be asked beside it."""
        lane = Lane(route)
        slow_s = route.health.vitals.slow_s() if route.channel.hedge and queue else None
        if slow_s is None or self._sink is None or self._broken is not None:
            await self._attempt(lane, self._media, None)
            return [lane]
        return await self._race(lane, queue, slow_s)

    async def _race(self, lane: Lane, queue: deque[Route], slow_s: float) -> list[Lane]:
        """Of two attempts, the first that has something to say goes on, and the other is cut. It comes first."""
        race = Race()
        async with asyncio.TaskGroup() as group:
            running = {lane: group.create_task(self._attempt(lane, self._media, race))}
            await asyncio.wait({running[lane], race.started}, timeout=slow_s, return_when=asyncio.FIRST_COMPLETED)
            second = None if running[lane].done() or race.started.done() else self._first_open(queue)
            if second is not None:
                beside = Lane(second)
                running[beside] = group.create_task(self._attempt_beside(beside, race))
                await _decided(race, running)
        return sorted(running, key=lambda lane: lane.call is not race.winner)

    def _first_open(self, queue: deque[Route]) -> Route | None:
        """The next channel that may be asked now, taken out of the queue."""
        found = next((route for route in queue if route.health.wait_s(self._model, self._now()) <= 0), None)
        if found is not None:
            queue.remove(found)
        return found

    async def _attempt_beside(self, lane: Lane, race: Race) -> None:
        media = self._gather()
        try:
            await self._attempt(lane, media, race)
        finally:
            media.let_go()

    async def _attempt(self, lane: Lane, media: Gathered, race: Race | None) -> None:
        """Asks, and leaves in `lane` what came of it; in the journal, and in the channel's health, too."""
        started, journal, route = self._clock.now(), self._work.journal, lane.route
        if journal.assembly is None:
            journal.channel, journal.model = route.channel.name, self._identity.model
        outcome: Outcome = "failed"
        try:
            lane.completion = await self._answer(lane, media, race)
            outcome = "completed"
        except asyncio.CancelledError:
            outcome = "outrun" if lane.outrun else "cancelled"
            raise
        except Outrun:
            outcome, lane.outrun = "outrun", True
        except Diverged:
            lane.failure = interrupted(self._broken)
        except Exception as failure:  # noqa: BLE001 (raised by whoever looks at the lane)
            lane.failure = failure.with_traceback(None)  # its frames hold the request, and the lane
        finally:
            media.rest()
            lane.tell_health(outcome, self._now())
            if lane.was_tried:
                made = lane.attempt(outcome, self._identity.model, started, self._clock.now())
                journal.add(made)
                self._observer.attempted(made, None if lane.call is None else lane.call.first_s)

    async def _answer(self, lane: Lane, media: Gathered, race: Race | None) -> Completion | None:
        """None if the channel is closed to us by the time that there is a place on it."""
        route = lane.route
        if route.health.wait_s(self._model, self._now()) > 0:
            return None
        request = route.codec.encode(self._generation, route.channel, await media.resolve(route))
        await route.enter(self._work.key_id)
        try:
            return await self._call(lane, request, race)
        finally:
            route.leave(self._work.key_id)

    async def _call(self, lane: Lane, request: WireRequest, race: Race | None) -> Completion | None:
        """On the channel, which there is a place on; None if it is closed to us by now."""
        route = lane.route
        call = lane.call = route.health.enter(self._model, self._now())
        if call is None:
            return None
        if call.key:
            request = replace(request, key=call.key)
        if self._sink is None:
            return await attempt.complete(request, route, self._identity, call)
        handover = self._handover(route, self._sink, call, race)
        return await attempt.stream(request, route, self._identity, call, handover)

    def _handover(self, route: Route, sink: Sink, call: Call, race: Race | None) -> Handover:
        delivered = self._delivered
        return Handover(
            self._identity,
            sink,
            self._work.journal,
            call,
            channel=route.channel.name,
            shows_usage=self._generation.wants_usage,
            delivered=delivered,
            repeats=len(delivered) if delivered is not None and self._broken is not None else 0,
            race=race,
        )


async def _decided(race: Race, running: Mapping[Lane, asyncio.Task[None]]) -> None:
    """Waits until an attempt has something to say, and cuts the other; or until both have ended."""
    pending: set[asyncio.Future[None]] = set(running.values())
    while pending and not race.started.done():
        _, pending = await asyncio.wait({*pending, race.started}, return_when=asyncio.FIRST_COMPLETED)
        pending.discard(race.started)
    for lane, task in running.items():
        if race.started.done() and lane.call is not race.winner and not task.done():
            lane.outrun = True
            task.cancel()


def interrupted(failure: GenerationError | None) -> GenerationError:
    """Why a stream that was read is not gone on with."""
    if failure is None or failure.code == "generation_failed_no_content":
        return failure or GenerationError("stream_interrupted", "The stream broke off.")
    return GenerationError(
        "stream_interrupted",
        "The stream broke off after part of it had been read, and another text would not continue it. "
        f"{failure.message}",
    )
