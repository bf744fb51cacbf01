"""What the gateway says of its own work, as values; what becomes of them is for whoever looks."""

from typing import Literal, Protocol

from reynard.core.errors import ReynardError
from reynard.core.task import Attempt, Task
from reynard.core.webhooks import State

Audience = Literal["open", "admin", "off"]
"""Who may read the metrics: whoever asks, the holders of admin keys, nobody."""


class Observer(Protocol):
    """Told of what has happened, once each, on the event loop's thread. It never raises, and never waits.

    All it is handed are values that the gateway has anyway. What it keeps of them holds no secret, and is bounded.
    """

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """An HTTP answer is over; `route` is the template of its path, or `other`."""
        ...

    def refused(self, error: ReynardError) -> None:
        """A request was answered with an error."""
        ...

    def ended(self, task: Task) -> None:
        """The end of a task is kept."""
        ...

    def attempted(self, attempt: Attempt, first_s: float | None) -> None:
        """An attempt is over; `first_s`: how long its first chunk took, if it was a stream that began."""
        ...

    def committed(self, operations: int, seconds: float) -> None:
        """The store has finished a transaction of so many operations; `seconds` from its start to the news of it."""
        ...

    def uploaded(self, size: int) -> None:
        """A file of so many bytes is kept."""
        ...

    def delivered(self, state: State) -> None:
        """A webhook was tried; `state` is what became of it: `pending` is tried again."""
        ...


class Unobserved:
    """Nobody looks."""

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """See `Observer`."""

    def refused(self, error: ReynardError) -> None:
        """See `Observer`."""

    def ended(self, task: Task) -> None:
        """See `Observer`."""

    def attempted(self, attempt: Attempt, first_s: float | None) -> None:
        """See `Observer`."""

    def committed(self, operations: int, seconds: float) -> None:
        """See `Observer`."""

    def uploaded(self, size: int) -> None:
        """See `Observer`."""

    def delivered(self, state: State) -> None:
        """See `Observer`."""


UNOBSERVED = Unobserved()
