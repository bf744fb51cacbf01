"""From channel to channel, until one gives the whole answer."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from reynard.core.assembly import Assembly
from reynard.core.catalogue import Model
from reynard.core.chat import Completion
from reynard.core.errors import GenerationError, TaskErrorCode
from reynard.core.task import Attempt, Outcome
from reynard.engine import attempt
from reynard.engine.media import Gathered, Gatherer
from reynard.engine.routes import Route, Routes
from reynard.engine.timed import TimedSink
from reynard.engine.work import Journal, Sink, Work
from reynard.ports.clock import Chance, Clock
from reynard.ports.telemetry import UNOBSERVED, Observer

PASSES_BY_ITSELF: Final = frozenset({"upstream_rate_limited", "upstream_error"})
"""Worth asking the same channel again; a silent one, or one that refuses the key, is left alone."""


class RetryPolicy(Struct, frozen=True):
    """`rounds`: how often every channel is asked at most. Pauses double from `pause_s`, drawn from half to whole."""

    rounds: int = 3
    pause_s: float = 0.25
    longest_pause_s: float = 20.0


class Failover:
    """Walks the routes to a model. `routes` gives the snapshot in force."""

    def __init__(
        self,
        routes: Callable[[], Routes],
        media: Gatherer,
        clock: Clock,
        chance: Chance,
        policy: RetryPolicy,
        observer: Observer = UNOBSERVED,
    ) -> None:
        self._routes = routes
        self._clock = clock
        self._media = media
        self._chance = chance
        self._policy = policy
        self._observer = observer

    async def generate(self, work: Work, sink: Sink | None) -> Completion:
        """The whole answer; with a sink, chunk by chunk on the way. Raises `GenerationError`.

        What happens on the way is in `work.journal`, also when this raises or is cancelled.
        """
        generation = work.generation
        routes = self._routes()
        model = routes.catalogue.get(generation.model) or Model(id=generation.model)
        media = self._media.begin(generation, model, work.key_id)
        try:
            return await self._walk(routes.ordered(generation, self._chance.uniform), work, media, sink)
        finally:
            media.let_go()

    async def _walk(self, routes: list[Route], work: Work, media: Gathered, sink: Sink | None) -> Completion:
        failures: list[GenerationError] = []
        for turn in range(self._policy.rounds):
            again: list[Route] = []
            for route in routes:
                try:
                    return await self._attempt(work, route, media, sink)
                except GenerationError as failure:
                    failures.append(failure)
                    if not failure.failover:
                        raise
                    if sink is not None and not await sink.restart():
                        raise _interrupted(failure) from failure
                    if media.distrust() or failure.code in PASSES_BY_ITSELF:
                        again.append(route)
            routes = again
            if not routes or turn + 1 == self._policy.rounds:
                break
            await asyncio.sleep(self._pause(turn, failures))
        raise _exhausted(failures)

    async def _attempt(self, work: Work, route: Route, media: Gathered, sink: Sink | None) -> Completion:
        journal, generation = work.journal, work.generation
        journal.channel, journal.model = route.channel.name, generation.model
        journal.assembly = Assembly() if sink is not None else None
        timed = None if sink is None else TimedSink(sink, self._clock)
        with self._noted(journal, timed):
            try:
                request = route.codec.encode(generation, route.channel, await media.resolve(route))
                if timed is None or journal.assembly is None:
                    return await attempt.complete(request, route, work.identity, work.key_id)
                return await attempt.stream(
                    request,
                    route,
                    work.identity,
                    work.key_id,
                    timed,
                    journal.assembly,
                    shows_usage=generation.wants_usage,
                )
            finally:
                media.rest()

    @contextmanager
    def _noted(self, journal: Journal, timed: TimedSink | None) -> Iterator[None]:
        """One attempt more in `journal`, however it ends."""
        started = self._clock.now()
        outcome: Outcome = "completed"
        code: TaskErrorCode | None = None
        try:
            yield
        except GenerationError as failure:
            outcome, code = "failed", failure.code
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            made = Attempt(
                channel=journal.channel,
                model=journal.model,
                started=started,
                ended=self._clock.now(),
                outcome=outcome,
                code=code,
            )
            journal.attempts.append(made)
            began = None if timed is None else timed.began
            self._observer.attempted(made, None if began is None else began - started)

    def _pause(self, turn: int, failures: list[GenerationError]) -> float:
        """As long as a provider asked for, and no shorter than our own growing pause. Raises if that is too long."""
        own = self._policy.pause_s * float(2**turn) * (0.5 + self._chance.uniform() / 2)
        asked = max((failure.retry_after_s or 0.0 for failure in failures), default=0.0)
        if asked > self._policy.longest_pause_s:
            raise _exhausted(failures)
        return max(own, asked)


def _interrupted(failure: GenerationError) -> GenerationError:
    if failure.code == "generation_failed_no_content":
        return failure  # nothing of the answer was handed out, for there was nothing
    return GenerationError(
        "stream_interrupted",
        "The stream broke off after part of it had been read, and another text would not continue it. "
        f"{failure.message}",
    )


def _exhausted(failures: list[GenerationError]) -> GenerationError:
    """One error for all: their own code if they agree on what ails the provider, else that none was left to ask."""
    if not failures:
        return GenerationError("all_platforms_exhausted", "No channel is left for this model. Try again later.")
    codes = {failure.code for failure in failures}
    last = failures[-1]
    waits = [failure.retry_after_s for failure in failures if failure.retry_after_s is not None]
    code = last.code if len(codes) == 1 and last.code != "upstream_error" else "all_platforms_exhausted"
    return GenerationError(code, last.message, retry_after_s=max(waits, default=None))
