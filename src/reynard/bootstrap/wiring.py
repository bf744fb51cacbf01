"""The routes to the models, from the settings; exchanged whole when these change."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Final

from reynard.bootstrap.system import SystemChance, SystemClock
from reynard.config import Settings, channel_of, secrets_of
from reynard.core.catalogue import Catalogue
from reynard.core.channels import Carried, Channel, Dialect
from reynard.core.simulation import Simulation
from reynard.engine.jobs import Jobs
from reynard.engine.routes import Route, Routes
from reynard.ports.codec import Codec
from reynard.ports.media import Uploader
from reynard.providers.auth import Auth, auth_of
from reynard.providers.discreet import DiscreetCodec, told_to_nobody
from reynard.providers.local.transport import LocalTransport, weights
from reynard.providers.openai import OpenAICodec
from reynard.providers.simulated import SimulatedCodec, SimulatedTransport
from reynard.providers.upstream.pool import Pool
from reynard.providers.upstream.transport import HTTPTransport

DEMO: Final = Simulation(first_token_ms=150, tokens_per_s=60, tokens=48)


@cache
def codec_of(dialect: Dialect) -> Codec:
    """What speaks it. Those that no channel needs are not loaded: each takes a twentieth of the start's time."""
    match dialect:
        case "openai":
            return OpenAICodec()
        case "anthropic":
            from reynard.providers.anthropic import AnthropicCodec

            return AnthropicCodec()
        case "gemini":
            from reynard.providers.gemini import GeminiCodec

            return GeminiCodec()
        case "simulated":
            return SimulatedCodec()


MadeOf = tuple[Channel, tuple[str, ...]]
"""What a route depends on: the channel, and its keys."""


class Wiring:
    """The routes in force, exchanged whole when the settings change; a channel that did not change keeps its route."""

    def __init__(self, environment: Mapping[str, str], jobs: Jobs, *, demo: bool) -> None:
        self._jobs = jobs
        self._environment = environment
        self._demo = demo
        self._chance = SystemChance()
        self._clock = SystemClock()
        self._pools: dict[float, Pool] = {}
        self._kept: dict[str, tuple[MadeOf, Route]] = {}
        self.routes = Routes(Catalogue(()), ())

    def apply(self, settings: Settings) -> None:
        """From here on, requests go by `settings`; those under way end as they began."""
        kept: dict[str, tuple[MadeOf, Route]] = {}
        for written in settings.channels:
            before = self._kept.get(written.name)
            channel = channel_of(written, settings.models)
            made_of = (channel, secrets_of(written, self._environment))  # a file may hold another key by now
            if before is not None and before[0] == made_of:
                kept[channel.name] = before
            elif (route := self._route(*made_of)) is not None:
                kept[channel.name] = (made_of, route)
        for name, (_, route) in self._kept.items():
            if kept.get(name, (None, None))[1] is not route:
                self._jobs.start(_retired(route))
        self._kept = kept
        for connect_timeout_s in self._pools.keys() - {channel.connect_timeout_s for (channel, _), _ in kept.values()}:
            self._pools.pop(connect_timeout_s).close()  # what a call under way has of it ends with that
        routes = [route for _, route in kept.values()]
        if self._demo:
            routes += self._simulated(settings, routes)
        self.routes = Routes(Catalogue(settings.models), routes)

    async def close(self) -> None:
        """Ends what the channels hold."""
        await asyncio.gather(*(route.transport.close() for route in self.routes.all))
        for pool in self._pools.values():
            pool.close()

    def _route(self, channel: Channel, found: Sequence[str]) -> Route | None:
        """The way to a channel; None for the local model where it is not installed."""
        codec = codec_of(channel.dialect)
        if channel.dialect == "simulated":
            return Route(channel, codec, SimulatedTransport(channel.simulate, self._chance))
        pool = self._pool(channel.connect_timeout_s)
        if channel.base_url.startswith("local:"):
            path = weights()
            if path is None:
                return None
            return Route(channel, codec, LocalTransport(pool, path, channel.name, self._chance))
        codec = DiscreetCodec(codec, told_to_nobody(channel, found))
        auth = auth_of(channel, found, self._clock)
        transport = HTTPTransport(pool, channel.base_url, auth)
        return Route(channel, codec, transport, self._uploader(channel, found, auth), keys=len(found))

    def _uploader(self, channel: Channel, found: Sequence[str], auth: Auth) -> Uploader | None:
        """Google's Files API, which Vertex AI does not have. A file is its key's: one of several could not read it."""
        if channel.dialect != "gemini" or channel.path or len(found) > 1:
            return None
        from reynard.providers.gemini import GeminiUploader

        return GeminiUploader(self._pool(channel.connect_timeout_s), channel.base_url, auth)

    def _pool(self, connect_timeout_s: float) -> Pool:
        if connect_timeout_s not in self._pools:
            self._pools[connect_timeout_s] = Pool(connect_timeout_s)
        return self._pools[connect_timeout_s]

    def _simulated(self, settings: Settings, routes: Iterable[Route]) -> list[Route]:
        """`--demo`: a simulated channel for every model that has no real one."""
        real = {mapped.id for route in routes for mapped in route.channel.models}
        models = tuple(Carried(model.id, model.id) for model in settings.models if model.id not in real)
        if not models:
            return []
        channel = Channel(name="demo", dialect="simulated", models=models, simulate=DEMO)
        return [Route(channel, codec_of("simulated"), SimulatedTransport(DEMO, self._chance))]


async def _retired(route: Route) -> None:
    """Lets the calls of a route that is no longer in force come to their end, then lets go of what it holds."""
    await route.quiet.wait()
    await route.transport.close()
