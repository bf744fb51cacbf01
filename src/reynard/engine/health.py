"""What is known of a channel on this node, and whether it may be asked now: circuit, keys, limits, retries."""

import asyncio

from reynard.core.channels import Channel
from reynard.core.circuit import Circuit
from reynard.core.errors import GenerationError
from reynard.core.health import Vitals
from reynard.core.keyring import Keyring
from reynard.core.rates import MINUTE_S, Bucket, LastMinute


class Call:
    """One upstream call, for `model`: what lets it in, and what it has shown so far. Times are the event loop's.

    `status`: of the answer, once there is one; `answering`: something of its body came. `first_s`: how long a stream
    took to its first chunk.
    """

    __slots__ = ("_health", "answering", "began", "era", "first_s", "key", "model", "status")

    def __init__(self, key: int, era: int, began: float, model: str = "", health: "Health | None" = None) -> None:
        self._health = health
        self.key = key
        self.model = model
        self.era = era
        self.began = began
        self.first_s: float | None = None
        self.answering = False
        self.status: int | None = None

    def show(self) -> None:
        """A chunk came."""
        if self.first_s is None:
            self.first_s = asyncio.get_running_loop().time() - self.began
            self.begin()

    def begin(self) -> None:
        """The answer is on its way: the channel is well enough to be asked by others."""
        if self._health is not None:
            self._health.answered(self)


class Health:
    """One channel's. `now` is the event loop's time, which never goes back."""

    def __init__(self, channel: Channel, keys: int) -> None:
        self._channel = channel
        self._circuit = Circuit()
        self._keys = Keyring(max(1, keys))
        self._starts = LastMinute(channel.rpm) if channel.rpm is not None else None
        self._tokens = Bucket(channel.tpm, channel.tpm / MINUTE_S) if channel.tpm is not None else None
        floor = channel.retries.floor
        self._retries = Bucket(floor, floor / MINUTE_S)
        self._calls = 0  # for which it was not filled yet
        self.vitals = Vitals()
        self._last: GenerationError | None = None  # the last failure that was the provider's, and no model's alone
        self._last_of: dict[str, GenerationError] = {}  # of each model, the last that was its alone

    @property
    def circuit(self) -> Circuit:
        """Where it stands."""
        return self._circuit

    def wait_s(self, model: str, now: float) -> float:
        """How long until the channel may be asked for `model`: 0 for now."""
        wait = self._keys.wait_s(now, model)
        if self._circuit.until is not None:
            wait = max(wait, self._circuit.wait_s(now))
        if self._starts is not None:
            wait = max(wait, self._starts.wait_s(now))
        if self._tokens is not None:
            wait = max(wait, self._tokens.wait_s(1.0, now))
        return wait

    def reason(self, model: str, now: float) -> GenerationError:
        """Why it may not be asked for `model` now: what the provider said last, or a limit of our own."""
        if self._last is not None and (self._circuit.wait_s(now) > 0 or self._keys.wait_s(now) > 0):
            return self._last
        if model in self._last_of and self._keys.wait_s(now, model) > 0:
            return self._last_of[model]
        return GenerationError(
            "upstream_rate_limited",
            "The provider is asked as often as the gateway's settings allow. Try again later.",
            failover=True,
        )

    def enter(self, model: str, now: float) -> Call | None:
        """Lets a call for `model` in, which `ended` or `let_go` must follow; None if it may not be asked now."""
        if self.wait_s(model, now) > 0:
            return None
        if self._circuit.until is not None:
            self._circuit = self._circuit.entered()
        if self._starts is not None:
            self._starts.add(now)
        self._calls += 1
        return Call(self._keys.pick(now, model), self._circuit.era, now, model, self)

    def answered(self, call: Call) -> None:
        """It begins to be answered: if it was the probe, the circuit closes, and what becomes of it counts anew."""
        if self._circuit.until is not None and call.era == self._circuit.era:
            self._circuit = self._circuit.answered(call.era)
            call.era = self._circuit.era

    def succeeded(self, call: Call, tokens: int, now: float) -> None:
        """It was answered whole, with so many tokens in all."""
        self._circuit = self._circuit.succeeded(call.era, self._channel.circuit)
        self.vitals.succeeded()
        if call.first_s is not None:
            self.vitals.started(call.first_s)
        if self._tokens is not None:
            self._tokens.take(tokens, now)

    def failed(self, call: Call, failure: GenerationError, now: float) -> None:
        """It was not. What is wrong with the request itself tells nothing of the channel."""
        if not failure.failover:
            self.let_go(call)
            return
        self._remember(call.model, failure)
        match failure.code:
            case "upstream_rate_limited":
                self._bench(call, failure, self._channel.rests.limited_s, now)
            case "upstream_auth_failed":
                self._bench(call, failure, self._channel.rests.refused_s, now)
            case "upstream_error" | "generation_timeout" if not failure.is_wrong_name:
                self._circuit = self._circuit.failed(call.era, now, self._channel.circuit)
                self.vitals.failed(now)
                self._cool(failure, now)
            case _:
                self.let_go(call)

    def let_go(self, call: Call) -> None:
        """It ended early, or said nothing of the channel."""
        self._circuit = self._circuit.let_go(call.era)

    def outrun(self, call: Call, now: float) -> None:
        """It was cut because another was faster: it would have taken this long at the least."""
        self.let_go(call)
        if call.first_s is None:
            self.vitals.started(now - call.began)

    def has_other_key(self, call: Call, failed: int, now: float) -> bool:
        """Whether another key may do better at once, for a request that `failed` so often here: each is tried once."""
        return failed < len(self._keys) and self._keys.has_other(call.key, now, call.model)

    def may_retry(self, now: float) -> bool:
        """Takes one more call of the same from the budget, if there is any left."""
        self._retries.take(-self._channel.retries.share * self._calls, now)
        self._calls = 0
        if self._retries.level(now) < 1:
            return False
        self._retries.take(1.0, now)
        return True

    def _remember(self, model: str, failure: GenerationError) -> None:
        kept = GenerationError(failure.code, failure.message, failover=True)  # without what it holds on to
        if failure.of_model:
            self._last_of[model] = kept
        else:
            self._last = kept

    def _bench(self, call: Call, failure: GenerationError, usual_s: float, now: float) -> None:
        asked = failure.retry_after_s
        rest = min(usual_s if asked is None else asked, self._channel.rests.longest_s)
        self._keys.bench(call.key, now + rest, call.model if failure.of_model else None)
        self._circuit = self._circuit.let_go(call.era)
        self.vitals.failed(now)

    def _cool(self, failure: GenerationError, now: float) -> None:
        """A `Retry-After` beside a 503 speaks of the channel, and so of all its keys."""
        if failure.retry_after_s:
            until = now + min(failure.retry_after_s, self._channel.rests.longest_s)
            for key in range(len(self._keys)):
                self._keys.bench(key, until)
