"""The checking upstream without its sockets: which wire a request speaks, whether it would be taken, what is played."""

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from reynard.core import playback, simulation
from reynard.core.playback import Step
from reynard.core.simulation import Simulation
from reynard.testing.wires import anthropic, gemini, openai
from reynard.testing.wires.exchange import Asked, Refused, Request, Route, Wire
from reynard.testing.wires.gemini_files import Files, Reply, state_of

WIRES: Final[dict[str, Wire]] = {"openai": openai, "anthropic": anthropic, "gemini": gemini}
MOST_REMEMBERED: Final = 1_000
MOST_MODELS: Final = 10_000
MOST_BODIES: Final = 64
MOST_BODY_BYTES: Final = 128 * 1024 * 1024
LONGEST_INSTANT: Final = 64 * 1024
NO_FAULT: Final = Simulation().fail

InstantKey = tuple[str, bytes | None, bytes]


class SeenMedia(Struct, frozen=True):
    """A piece of media that arrived. `length` in bytes and `sha256` are None for one told by its address alone."""

    kind: str
    type: str
    length: int | None
    sha256: str | None
    uri: str | None


class Seen(Struct, frozen=True):
    """A request that was taken."""

    wire: str
    platform: str
    model: str
    stream: bool
    media: tuple[SeenMedia, ...]


class SeenFile(Struct, frozen=True):
    """An uploaded file."""

    name: str
    type: str
    length: int
    sha256: str
    state: str


class State(Struct):
    """What the upstream has seen. `cut`: answers whose client closed the connection before their end.

    `bodies` are those of the last requests, taken or not, `seen` the last ones that were taken, newest last.
    `of_model`: how many were taken, by the model's name without the behaviour behind it.
    """

    requests: int = 0
    open: int = 0
    finished: int = 0
    cut: int = 0
    refused: list[str] = []
    bodies: list[msgspec.Raw] = []
    seen: list[Seen] = []
    files: list[SeenFile] = []
    of_model: dict[str, int] = {}


class Played(Struct, frozen=True):
    """What to play. `at_once`: nothing in it takes time or goes wrong. `instant`: the key to keep it by."""

    steps: Iterator[Step]
    seen: Seen
    at_once: bool
    instant: InstantKey | None


class Provider:
    """Every wire behind one address: one simulation for all models that do not bring their own, one state."""

    def __init__(self, simulated: Simulation, key: str | None) -> None:
        self.simulation = simulated
        self.key = key
        self.state = State()
        self.files = Files()
        self.instant: dict[InstantKey, tuple[bytes, Seen]] = {}  # whole answers, head and all
        self._turns: Counter[str] = Counter()
        self._bodies: list[bytes] = []
        self._body_bytes = 0

    def remember(self, body: bytes) -> None:
        """The last bodies received, for a test to look at."""
        self.state.requests += 1
        self._bodies.append(body)
        self._body_bytes += len(body)
        while len(self._bodies) > MOST_BODIES or self._body_bytes > MOST_BODY_BYTES:
            self._body_bytes -= len(self._bodies.pop(0))

    def routed(self, request: Request) -> tuple[Wire, Route]:
        """Whose request it is. Raises `Denied`, before the body is looked at."""
        found = ((wire, wire.route(request)) for wire in WIRES.values())
        wire, route = next(((wire, route) for wire, route in found if route is not None), (openai, None))
        if route is None or request.method != "POST":
            raise Denied(openai, Refused(f"{request.method} {request.path} is no path of a wire here", 404))
        if self.key is not None and (given := wire.key(request, route)) != self.key:
            raise Denied(wire, wire.denied(route, given))
        if (request.header(b"content-type") or "").partition(";")[0] != "application/json":
            raise Denied(wire, Refused("the content type is not JSON"))
        return wire, route

    def known(self, request: Request) -> bytes | None:
        """The whole answer to a request that was answered before, if nothing in it is left to chance or time."""
        kept = self.instant.get(_instant_key(request))
        if kept is None:
            return None
        self._saw(kept[1])
        self.state.finished += 1
        return kept[0]

    def play(self, request: Request, wire: Wire, route: Route) -> Played:
        """What to play. Raises `Denied`."""
        try:
            asked = wire.read(request, route, self.files.stored)
            simulated = behaving(self.simulation, asked.behaviour) if asked.behaviour else self.simulation
        except Refused as refused:
            raise Denied(wire, refused) from None
        except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
            raise Denied(wire, Refused(str(error) or "the body nests too deeply")) from None
        simulated = simulation.at_turn(simulated, self._turn(asked.model))
        played = simulation.script(asked.generation, simulated, random.random())  # noqa: S311
        spoken = wire.spoken(asked, played, simulated.fail)
        fixed = simulated.fail == NO_FAULT and not simulated.first_token_ms and not simulated.tokens_per_s
        kept = fixed and len(request.body) <= LONGEST_INSTANT and all(item.uri is None for item in asked.media)
        seen = _seen(asked, route)
        self._saw(seen)
        return Played(playback.steps(played, simulated, spoken), seen, fixed, _instant_key(request) if kept else None)

    def keep(self, played: Played, answer: bytes) -> None:
        """Keeps a whole answer, if it is one to keep and there is room."""
        if played.instant is not None and len(self.instant) < MOST_REMEMBERED:
            self.instant[played.instant] = answer, played.seen

    def file(self, request: Request) -> Reply:
        """A request to the Files API. Raises `Denied`."""
        if self.key is not None and self.files.needs_key(request):
            route = Route(gemini.NAME)
            given = gemini.key(request, route)
            if given != self.key:
                raise Denied(gemini, gemini.denied(route, given))
        try:
            return self.files.answer(request)
        except Refused as refused:
            raise Denied(gemini, refused) from None
        except ValueError as error:
            raise Denied(gemini, Refused(str(error))) from None

    def refuse(self, refused: Refused) -> None:
        """The reason, for a test to look at."""
        self.state.refused.append(refused.reason)
        del self.state.refused[:-MOST_REMEMBERED]

    def behave(self, simulated: Simulation) -> None:
        """From now on; what was refused before is forgotten."""
        self.simulation = simulated
        self.instant.clear()
        self._turns.clear()
        self.state.refused.clear()

    def shown(self) -> bytes:
        """The state, as JSON."""
        self.state.bodies = [msgspec.Raw(body) for body in self._bodies if _is_json(body)]
        self.state.files = [
            SeenFile(file.name, file.type, len(file.data), file.digest, state_of(file))
            for file in self.files.stored.values()
        ]
        return msgspec.json.encode(self.state)

    def _turn(self, model: str) -> int:
        """How many requests for the model came before, since it behaves as it does."""
        turn = self._turns[model]
        if turn or len(self._turns) < MOST_MODELS:
            self._turns[model] += 1
        return turn

    def _saw(self, seen: Seen) -> None:
        of_model = self.state.of_model
        if seen.model in of_model or len(of_model) < MOST_MODELS:
            of_model[seen.model] = of_model.get(seen.model, 0) + 1
        self.state.seen.append(seen)
        del self.state.seen[:-MOST_BODIES]


class Denied(Exception):
    """A request that is refused, and in whose words."""

    def __init__(self, wire: Wire, refused: Refused) -> None:
        super().__init__(refused.reason)
        self.wire = wire
        self.refused = refused

    @property
    def body(self) -> bytes:
        """The error in the provider's own shape."""
        return self.wire.error(self.refused.status, self.refused.reason, self.refused.code)


def behaving(simulated: Simulation, behaviour: str) -> Simulation:
    """`tokens=5&fail.rate=1`, on top of what is in force. Raises `msgspec.ValidationError`."""
    changes: dict[str, Any] = dict(parse_qsl(behaviour))
    failures = {name[5:]: changes.pop(name) for name in list(changes) if name.startswith("fail.")}
    fail = msgspec.convert({**asdict(simulated.fail), **failures}, type(simulated.fail), strict=False)
    return msgspec.convert({**asdict(simulated), **changes, "fail": asdict(fail)}, Simulation, strict=False)


def _seen(asked: Asked, route: Route) -> Seen:
    media = tuple(
        SeenMedia(item.kind, item.type, None if item.data is None else len(item.data), item.digest, item.uri)
        for item in asked.media
    )
    return Seen(route.wire, route.platform, asked.model, asked.stream, media)


def _instant_key(request: Request) -> InstantKey:
    return request.target, request.headers.get(b"anthropic-version"), request.body


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
