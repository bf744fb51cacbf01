"""From channel to channel, and from model to model, until one gives the whole answer."""

import asyncio
from collections.abc import Callable
from functools import partial

from reynard.core.catalogue import Model
from reynard.core.chat import Completion
from reynard.core.errors import GenerationError
from reynard.core.generation import Generation
from reynard.engine.media import Gatherer
from reynard.engine.routes import Routes
from reynard.engine.walk import RetryPolicy, Walk
from reynard.engine.work import Sink, Work
from reynard.ports.clock import Chance, Clock
from reynard.ports.telemetry import UNOBSERVED, Observer

__all__ = ["Failover", "RetryPolicy"]


class Failover:
    """Walks the routes to a model, and then to those that may stand in for it. `routes` gives the snapshot in force."""

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
        routes = self._routes()
        requests = [work.generation, *routes.stand_ins(work.generation, work.form, work.fallback_models)]
        failures: list[GenerationError] = []
        waits: list[float] = []
        for left, request in enumerate(requests, 1 - len(requests)):
            walk = self._walk(routes, work, request, sink, failures)
            policy, is_hurried = self._policy, left or work.is_awaited
            completion = await walk.completion(policy.hurried_pause_s if is_hurried else policy.longest_pause_s)
            if completion is not None:
                return completion
            waits += [] if walk.wait_s is None else [walk.wait_s]
        raise _exhausted(failures, waits)

    def _walk(
        self, routes: Routes, work: Work, request: Generation, sink: Sink | None, failures: list[GenerationError]
    ) -> Walk:
        model = routes.catalogue.get(request.model) or Model(id=request.model)
        now = asyncio.get_running_loop().time
        return Walk(
            work,
            request,
            routes.ordered(request, self._chance.uniform, now()),
            sink,
            now=now,
            gather=partial(self._media.begin, request, model, work.key_id),
            clock=self._clock,
            chance=self._chance,
            policy=self._policy,
            failures=failures,
            observer=self._observer,
        )


def _exhausted(failures: list[GenerationError], waits: list[float]) -> GenerationError:
    """One error for all: their own code if they agree on what ails the provider, else that none was left to ask.

    `waits`: in how many seconds a channel of each model may be asked again, where one is closed to us.
    """
    if not failures:
        return GenerationError("all_platforms_exhausted", "No channel is left for this model. Try again later.")
    codes = {failure.code for failure in failures}
    last = failures[-1]
    asked = [failure.retry_after_s for failure in failures if failure.retry_after_s is not None]
    code = last.code if len(codes) == 1 and last.code != "upstream_error" else "all_platforms_exhausted"
    return GenerationError(code, last.message, retry_after_s=min(waits) if waits else max(asked, default=None))
