"""Which ways lead to a model: a snapshot of the catalogue and the channels, exchanged whole when they change."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from reynard.core.catalogue import Catalogue, Model, check, with_defaults
from reynard.core.channels import Channel
from reynard.core.errors import NoAvailableModel, UnsupportedOptions
from reynard.core.forms import Form
from reynard.core.generation import Generation
from reynard.core.keys import Key
from reynard.core.routing import Uniform, order
from reynard.engine.gate import FairGate
from reynard.ports.codec import Codec
from reynard.ports.media import Uploader
from reynard.ports.transport import Transport


class Route:
    """A channel, with what speaks its dialect, what carries it there, and the gate that keeps to its concurrency."""

    __slots__ = ("_calls", "channel", "codec", "gate", "quiet", "transport", "uploader")

    def __init__(self, channel: Channel, codec: Codec, transport: Transport, uploader: Uploader | None = None) -> None:
        self.channel = channel
        self.uploader = uploader
        self.codec = codec
        self.transport = transport
        self.gate = FairGate(channel.concurrency)
        self.quiet = asyncio.Event()  # set while no call is under way, or waits at the gate
        self.quiet.set()
        self._calls = 0

    @asynccontextmanager
    async def place(self, key_id: str) -> AsyncIterator[None]:
        """A place on the channel, waited for if need be; keys take turns."""
        self._calls += 1
        self.quiet.clear()
        try:
            await self.gate.take(key_id)
            try:
                yield
            finally:
                self.gate.give_back()
        finally:
            self._calls -= 1
            if not self._calls:
                self.quiet.set()

    @property
    def calls(self) -> int:
        """How many are under way, or wait at the gate."""
        return self._calls


class Routes:
    """The catalogue, and the routes to each of its models."""

    def __init__(self, catalogue: Catalogue, routes: Iterable[Route]) -> None:
        self.catalogue = catalogue
        self.all: Sequence[Route] = tuple(routes)
        self._to: dict[str, list[Route]] = {}
        for route in self.all:
            for mapped in route.channel.models:
                self._to.setdefault(mapped.id, []).append(route)

    def usable(self, key: Key) -> list[Model]:
        """The models that have a channel and that `key` may use, in the catalogue's order."""
        return [model for model in self.catalogue if model.id in self._to and key.may_use(model.id)]

    def checked(self, generation: Generation, form: Form) -> Generation:
        """`generation` with the model's defaults, or the error of spec section 3 that it deserves."""
        model = self.catalogue.find(generation.model)
        routes = self._to.get(model.id)
        if not routes:
            raise NoAvailableModel(
                f"No channel is configured for the model `{model.id}`. The gateway's operator can add one.",
                param="model",
            )
        check(generation, model, form)
        refused = [route.codec.unsupported(generation, route.channel) for route in routes]
        if None not in refused:
            raise UnsupportedOptions(
                f"The provider of the model `{model.id}` has no parameter `{refused[0]}`. Remove it.", param=refused[0]
            )
        return with_defaults(generation, model, form)

    def admitted(self, generation: Generation, form: Form, fallback_models: Sequence[str]) -> Generation:
        """As `checked`, where a fallback may stand in for a model without a channel."""
        return self.checked(generation, form)

    def ordered(self, generation: Generation, uniform: Uniform) -> list[Route]:
        """The routes that can carry the request, in the order in which to ask them; those that are full come last."""
        routes = {
            route.channel.name: route
            for route in self._to.get(generation.model, ())
            if route.codec.unsupported(generation, route.channel) is None
        }
        ordered = [routes[channel.name] for channel in order([route.channel for route in routes.values()], uniform)]
        return sorted(ordered, key=_is_full)


def _is_full(route: Route) -> bool:
    return route.gate.is_full
