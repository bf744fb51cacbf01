"""Which ways lead to a model: a snapshot of the catalogue and the channels, exchanged whole when they change."""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from reynard.core.catalogue import Catalogue, Model, check, with_defaults
from reynard.core.channels import Channel
from reynard.core.errors import NoAvailableModel, RequestError, UnsupportedOptions
from reynard.core.forms import Form
from reynard.core.generation import Generation
from reynard.core.health import fitness
from reynard.core.keys import Key
from reynard.core.routing import Uniform, order
from reynard.engine.capacity import Capacity
from reynard.engine.gate import FairGate
from reynard.engine.health import Health
from reynard.engine.jobs import Jobs
from reynard.ports.codec import Codec
from reynard.ports.media import Uploader
from reynard.ports.transport import Transport


class Route:
    """A channel, with what speaks its dialect, what carries it there, the gate that keeps to its concurrency, and what
    is known of its health. `keys`: how many its transport has."""

    __slots__ = (
        "_calls",
        "_jobs",
        "_lingering",
        "channel",
        "codec",
        "gate",
        "health",
        "quiet",
        "transport",
        "uploader",
    )

    def __init__(
        self, channel: Channel, codec: Codec, transport: Transport, uploader: Uploader | None = None, *, keys: int = 1
    ) -> None:
        self.channel = channel
        self.health = Health(channel, keys)
        self.uploader = uploader
        self.codec = codec
        self.transport = transport
        self.gate = FairGate(channel.concurrency, share=Capacity.share_of(channel.concurrency))
        self.quiet = asyncio.Event()  # set while no call is under way, waits at the gate or lingers
        self.quiet.set()
        self._calls = 0
        self._jobs = Jobs()
        self._lingering = 0

    async def enter(self, key_id: str) -> None:
        """Returns with a place on the channel, waited for if need be; keys take turns. `leave` gives it back."""
        self._calls += 1
        self.quiet.clear()
        try:
            await self.gate.take(key_id)
        except BaseException:
            self._left()
            raise

    def leave(self, key_id: str) -> None:
        """The place is the next one's."""
        self.gate.give_back(key_id)
        self._left()

    def linger(self, ending: Coroutine[Any, Any, None]) -> None:
        """Lets the end of a call come in behind an answer that is whole, in the background."""
        self._lingering += 1
        self.quiet.clear()
        self._jobs.start(ending).add_done_callback(self._lingered)

    def _lingered(self, _: asyncio.Task[Any]) -> None:
        self._lingering -= 1
        self._settle()

    def _left(self) -> None:
        self._calls -= 1
        self._settle()

    def _settle(self) -> None:
        if not self._calls and not self._lingering:
            self.quiet.set()

    @property
    def may_linger(self) -> bool:
        """Whether no more calls linger than may be under way: beyond that they are cut."""
        return self._lingering < self.channel.concurrency

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
        for route in routes:
            if route.codec.unsupported(generation, route.channel) is None:
                return with_defaults(generation, model, form)
        refused = routes[0].codec.unsupported(generation, routes[0].channel)
        raise UnsupportedOptions(
            f"The provider of the model `{model.id}` has no parameter `{refused}`. Remove it.", param=refused
        )

    def fallbacks(self, model: Model, asked: tuple[str, ...], key: Key) -> tuple[str, ...]:
        """The models that may stand in for `model`: those that the caller names, then those of the catalogue that `key`
        may use."""
        if not model.fallbacks:
            return asked
        more = (name for name in model.fallbacks if self.catalogue.get(name) is not None and key.may_use(name))
        return tuple(dict.fromkeys((*asked, *more)))

    def admitted(self, generation: Generation, form: Form, fallback_models: Sequence[str] = ()) -> Generation:
        """As `checked`; a model without a channel is taken all the same if one that may stand in for it has some."""
        try:
            return self.checked(generation, form)
        except NoAvailableModel:
            if not self.stand_ins(generation, form, fallback_models):
                raise
            model = self.catalogue.find(generation.model)
            check(generation, model, form)
            return with_defaults(generation, model, form)

    def stand_ins(self, generation: Generation, form: Form, fallback_models: Sequence[str]) -> list[Generation]:
        """The request for each of the models that may stand in for its own, in order.

        One that cannot take the request as it is, by its capabilities, its rules or its channels, is left out.
        """
        if not fallback_models:
            return []
        found = (self._for(generation, form, name) for name in fallback_models if name != generation.model)
        return [request for request in found if request is not None]

    def _for(self, generation: Generation, form: Form, name: str) -> Generation | None:
        """The request for the model `name`, or None. Its `max_tokens` is filled in whatever the form: the caller may
        not know what this model needs."""
        model = self.catalogue.get(name)
        if model is None or name not in self._to:
            return None
        request = with_defaults(replace(generation, model=name), model, "text")
        try:
            return self.checked(request, form)
        except (RequestError, NoAvailableModel):
            return None

    def ordered(self, generation: Generation, uniform: Uniform, now: float) -> list[Route]:
        """The routes that can carry the request, in the order in which to ask them; those that are full come last.

        `now`: the event loop's time.
        """
        routes = [
            route
            for route in self._to.get(generation.model, ())
            if route.codec.unsupported(generation, route.channel) is None
        ]
        if len(routes) < 2:
            return routes
        named = {route.channel.name: route for route in routes}
        ordered = order([route.channel for route in routes], uniform, _fitness(routes, now))
        return sorted([named[channel.name] for channel in ordered], key=_is_full)


def _fitness(routes: Sequence[Route], now: float) -> dict[str, float]:
    vitals = {route.channel.name: route.health.vitals for route in routes}
    best_s = min((one.first_s for one in vitals.values() if one.first_s is not None), default=None)
    return {name: fitness(one.error_rate(now), one.first_s, best_s) for name, one in vitals.items()}


def _is_full(route: Route) -> bool:
    return route.gate.is_full
