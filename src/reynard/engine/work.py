"""A generation under way: what is asked, for whom, where it goes, and what has become of it so far."""

from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import Struct

from reynard.core.assembly import Assembly
from reynard.core.chat import Completion
from reynard.core.forms import Form
from reynard.core.generation import Generation
from reynard.core.ids import completion_id
from reynard.core.task import Attempt, Task

BROKEN_OFF: Final = "error"
"""The finish reason of a choice that did not come to its end."""


MOST_ATTEMPTS: Final = 64
"""Attempts that a journal keeps."""


class Identity(Struct, frozen=True):
    """What every piece of an answer says of itself; `model` is the one that answers."""

    id: str
    created: int
    model: str


class Sink(Protocol):
    """Where the chunks of a stream go."""

    async def put(self, chunks: Sequence[bytes]) -> None:
        """More chunks (JSON), in order."""
        ...

    async def restart(self) -> bool:
        """Whether the stream may begin again from nothing: true only while nobody was handed a chunk of it."""
        ...


class Journal:
    """What has happened to a generation: kept with its end, whichever it is.

    `channel` and `model` are those that answer, as soon as it is known; `assembly` holds what the sink was given.
    """

    __slots__ = ("assembly", "attempts", "channel", "model")

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.channel = ""
        self.model = ""
        self.assembly: Assembly | None = None

    def add(self, attempt: Attempt) -> None:
        """One attempt more; the oldest are forgotten."""
        if len(self.attempts) == MOST_ATTEMPTS:
            del self.attempts[0]
        self.attempts.append(attempt)


class Work:
    """One task's generation, from its start to its end on this node. `is_awaited`: its caller holds the line."""

    __slots__ = (
        "fallback_models",
        "form",
        "generation",
        "identity",
        "is_awaited",
        "journal",
        "key_id",
        "prices",
        "reserved",
    )

    def __init__(self, task: Task, generation: Generation) -> None:
        self.generation = generation
        self.form: Form = task.form
        self.key_id = task.key_id
        self.is_awaited = task.sync
        self.identity = Identity(completion_id(task.id), int(task.created), task.model)
        self.fallback_models = task.terms.fallback_models
        self.prices = dict(task.terms.prices)
        self.reserved = task.reserved
        self.journal = Journal()

    def produced(self) -> Completion | None:
        """As much of an answer as the sink was given; None for nothing."""
        assembly, identity = self.journal.assembly, self.identity
        if assembly is None:
            return None
        return assembly.completion(
            id=identity.id, created=identity.created, model=self.journal.model, unfinished=BROKEN_OFF
        )
