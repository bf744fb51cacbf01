"""One attempt of a walk, and what is told of it afterwards."""

from reynard.core.chat import Completion
from reynard.core.errors import GenerationError, TaskErrorCode
from reynard.core.task import Attempt, Outcome
from reynard.engine.health import Call
from reynard.engine.routes import Route


class Lane:
    """One attempt: where it runs, and what it came to. With nothing of it all, the channel was closed to us."""

    __slots__ = ("call", "completion", "failure", "outrun", "route")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.call: Call | None = None
        self.completion: Completion | None = None
        self.failure: Exception | None = None
        self.outrun = False

    @property
    def was_tried(self) -> bool:
        """Whether the channel was asked, or failed before it could be."""
        return self.call is not None or self.failure is not None

    @property
    def code(self) -> TaskErrorCode | None:
        """Why it failed; a defect of ours is told as a failure of the provider's."""
        if self.failure is None:
            return None
        return self.failure.code if isinstance(self.failure, GenerationError) else "upstream_error"

    def tell_health(self, outcome: Outcome, now: float) -> None:
        """What the channel is to know of it. `now`: the event loop's time."""
        health, call = self.route.health, self.call
        if call is None:
            return
        if self.completion is not None:
            usage = self.completion.usage
            health.succeeded(call, 0 if usage is None else usage.total_tokens, now)
        elif isinstance(self.failure, GenerationError):
            health.failed(call, self.failure, now)
        elif outcome == "outrun":
            health.outrun(call, now)
        else:
            health.let_go(call)

    def attempt(self, outcome: Outcome, model: str, started: float, ended: float) -> Attempt:
        """As the journal has it. Times are Unix seconds."""
        return Attempt(
            channel=self.route.channel.name,
            model=model,
            started=started,
            ended=ended,
            outcome=outcome,
            code=self.code,
        )
