"""Requests that are sent again under one `Idempotency-Key`: the first answer once more, and nothing started."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct
from msgspec.structs import replace

from reynard.core.errors import (
    GenerationError,
    IdempotencyInProgress,
    IdempotencyMismatch,
    ReynardError,
    TaskAlreadyFinished,
)
from reynard.core.idempotency import KEPT_S, Repeat, Repeated
from reynard.core.keys import Key
from reynard.core.task import Status, Task
from reynard.ports.clock import Clock
from reynard.ports.store import Store


class CallCancelled(TaskAlreadyFinished):
    """A sync call whose task was cancelled by another call."""

    code = "task_cancelled"


class ResultExpired(ReynardError):
    """The answer to the first request is no longer kept."""

    code = "result_expired"


class First(Struct, frozen=True):
    """The task of the first request, and its result."""

    task: Task
    result: bytes | None


class _Turn:
    """Whose turn it is to begin, of so many requests of one name."""

    __slots__ = ("lock", "wanted")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.wanted = 0


class Repeats:
    """Looks for the first request."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._turns: dict[tuple[str, str], _Turn] = {}  # as many as requests are open that have a name

    @asynccontextmanager
    async def turn(self, caller: Key, repeat: Repeat | None) -> AsyncIterator[None]:
        """Requests of one name begin one after the other: the second finds the task of the first, and is not measured
        by what that one left of the key's limits and credits."""
        if repeat is None:
            yield
            return
        name = caller.id, repeat.name
        turn = self._turns.setdefault(name, _Turn())
        turn.wanted += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.wanted -= 1
            if not turn.wanted:
                del self._turns[name]

    async def first(self, caller: Key, repeat: Repeat) -> First | Repeat:
        """The first request, or `repeat` as it is to be kept with a new task. Raises `IdempotencyMismatch`."""
        found = await self._store.repeated(caller.id, repeat.name)
        if found is None:
            return repeat
        return await self.of(Repeated(found[0], found[1]), repeat)

    async def of(self, again: Repeated, repeat: Repeat) -> First | Repeat:
        """As `first`, for what the store refused to keep a second time."""
        kept = await self._store.find(again.task_id)
        if kept is None or kept[0].created <= self._clock.now() - KEPT_S or _was_never_answered(kept[0]):
            return replace(repeat, instead_of=again.task_id)
        if again.repeat.fingerprint != repeat.fingerprint:
            raise IdempotencyMismatch(
                "The Idempotency-Key was used for another request. Send a new one with a new request.",
                param="Idempotency-Key",
            )
        return First(*kept)


def _was_never_answered(task: Task) -> bool:
    """A call in place whose client never got an answer: it left, or the gateway restarted."""
    restarted = task.error is not None and task.error.code == "server_restarted"
    return task.sync and (task.terms.left or restarted)


def answer_of(first: First) -> bytes:
    """The answer to a call in place, once more. Raises what the first call raised, `ResultExpired`,
    `IdempotencyInProgress`."""
    task = first.task
    if first.result is not None and task.status is Status.COMPLETED:
        return first.result
    if task.status is Status.COMPLETED:
        raise ResultExpired(
            f"The call was answered before, as the task `{task.id}`, and the answer is no longer kept. "
            "To have another, send it with a new Idempotency-Key.",
            param="Idempotency-Key",
        )
    if task.error is not None:
        raise GenerationError(task.error.code, task.error.message)
    if task.status is Status.CANCELLED:
        raise CallCancelled(f"The task `{task.id}` was cancelled by another call.")
    raise IdempotencyInProgress(
        f"The call with this Idempotency-Key is under way; `GET /v1/tasks/{task.id}` tells of it.",
        param="Idempotency-Key",
    )
