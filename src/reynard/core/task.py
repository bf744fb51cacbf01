"""A task and its life: a value, changed by `transition` alone."""

from enum import StrEnum
from typing import Literal

import msgspec
from msgspec import Struct

from reynard.core.catalogue import Price
from reynard.core.errors import WORTH_A_RETRY, GenerationError, ReynardError, TaskErrorCode
from reynard.core.forms import Form


class Status(StrEnum):
    """Where a task is. The last three are its ends."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDS = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})


class TaskError(Struct, frozen=True):
    """Why a task failed; `code` is one of `TASK_ERROR_CODES` (spec section 5)."""

    code: TaskErrorCode
    message: str

    @property
    def retryable(self) -> bool:
        """Whether the same request, sent again, may well succeed."""
        return WORTH_A_RETRY[self.code]

    @classmethod
    def of(cls, error: GenerationError) -> "TaskError":
        """The error as it is kept."""
        return cls(error.code, error.message)


class Terms(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What stands between the caller and the gateway beside the generation.

    `fallback_models`: asked in turn when no channel of the task's own model answers. `callback_url`: who is told of the
    end. `prices`: of the models that may answer and are not free, as they were when the task was taken. `left`: the
    caller of a call in place went away, so nobody was answered.
    """

    fallback_models: tuple[str, ...] = ()
    callback_url: str | None = None
    prices: tuple[tuple[str, Price], ...] = ()
    left: bool = False


NO_TERMS = Terms()
Outcome = Literal["completed", "failed", "cancelled", "outrun"]


class Attempt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One upstream call of a task: which channel, for which model, when (Unix seconds), and how it went.

    `outrun`: another channel, asked because this one was slow to start, was faster.
    """

    channel: str
    model: str
    started: float
    ended: float
    outcome: Outcome
    code: TaskErrorCode | None = None  # set exactly when it failed


class Bill(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a task used in the end, and what it costs in micro-credits; `estimated`: counted here, not by a provider.

    `model` is the one that answered, `channel` the way to it.
    """

    cost: int
    prompt_tokens: int
    completion_tokens: int
    estimated: bool = False
    model: str
    channel: str


class Task(Struct, frozen=True, kw_only=True):
    """One durable generation, exactly as a store keeps it; the generation itself and its result lie beside it.

    Times are Unix seconds. `read` says that a subscriber was handed a chunk: from then on the text cannot change.
    `reserved`: micro-credits that are held for it until its end. `deadline`: when it is given up.
    """

    id: str
    key_id: str
    model: str
    form: Form
    sync: bool = False
    stream: bool = False
    status: Status = Status.PENDING
    attempt: int = 0
    version: int = 0  # stores compare-and-swap on it
    created: float
    started: float | None = None  # the first claim
    ended: float | None = None  # set exactly in an end
    owner: str | None = None  # the worker that runs it; set exactly while PROCESSING
    read: bool = False
    error: TaskError | None = None  # set exactly when FAILED
    deadline: float | None = None
    terms: Terms = NO_TERMS
    reserved: int = 0
    bill: Bill | None = None  # set in an end, if anything was produced

    @property
    def is_ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in ENDS


class Claimed(Struct, frozen=True):
    """A worker took the task."""

    owner: str


class Read(Struct, frozen=True):
    """A subscriber is about to be handed the first chunk."""


class Completed(Struct, frozen=True):
    """The generation is whole."""

    bill: Bill | None = None


class Failed(Struct, frozen=True):
    """The generation failed for good."""

    error: TaskError
    bill: Bill | None = None  # for what was produced before


class Cancelled(Struct, frozen=True):
    """The caller wants it no more: it says so, or `left`, and then nobody is answered."""

    bill: Bill | None = None  # for what was produced before
    left: bool = False


class Released(Struct, frozen=True):
    """The worker gives the task back, unharmed: it is shutting down."""

    bill: Bill | None = None  # for what a reader may have seen, if it cannot start over


class Lost(Struct, frozen=True):
    """The worker is gone: its lease ran out, or its process died."""

    bill: Bill | None = None  # for what a reader may have seen


Event = Claimed | Read | Completed | Failed | Cancelled | Released | Lost


class RunPolicy(Struct, frozen=True):
    """`max_claims`: how often a task is taken up before a crash loop is called one."""

    max_claims: int = 5


class IllegalTransition(ReynardError):
    """An event that the state does not have; a defect of this program."""

    code = "illegal_transition"


def transition(task: Task, event: Event, now: float, policy: RunPolicy) -> Task:
    """`task` after `event`, or `IllegalTransition`. Pure: time and policy are arguments."""
    match task.status, event:
        case Status.PENDING, Claimed(owner):
            started = now if task.started is None else task.started
            return _evolve(task, status=Status.PROCESSING, attempt=task.attempt + 1, owner=owner, started=started)
        case Status.PROCESSING, Read() if task.stream and not task.read:
            return _evolve(task, read=True)
        case Status.PROCESSING, Completed(bill):
            return _end(task, Status.COMPLETED, now, bill)
        case Status.PENDING | Status.PROCESSING, Failed(error, bill):
            return _end(task, Status.FAILED, now, bill, error)
        case Status.PENDING | Status.PROCESSING, Cancelled(bill, left):
            ended = _end(task, Status.CANCELLED, now, bill)
            return (
                msgspec.structs.replace(ended, terms=msgspec.structs.replace(task.terms, left=True)) if left else ended
            )
        case Status.PROCESSING, Released(bill) | Lost(bill):
            reason = _why_not_again(task, policy)
            if reason is not None:
                return _end(task, Status.FAILED, now, bill if task.read else None, reason)
            return _evolve(task, status=Status.PENDING, owner=None)
    raise IllegalTransition(f"A task that is {task.status} cannot take {type(event).__name__}.")


def _why_not_again(task: Task, policy: RunPolicy) -> TaskError | None:
    """Why a task whose worker went away must not start over, or None if it may."""
    if task.sync:
        return TaskError("server_restarted", "The gateway restarted while the call was open. Send it again.")
    if task.read:
        return TaskError(
            "stream_interrupted",
            "The gateway restarted after part of the stream had been read; another text would not continue it. "
            "Submit the request again.",
        )
    if task.attempt >= policy.max_claims:
        return TaskError(
            "server_restarted", f"The gateway restarted {task.attempt} times while the task ran. Submit it again later."
        )
    return None


def _end(task: Task, status: Status, now: float, bill: Bill | None, error: TaskError | None = None) -> Task:
    return _evolve(task, status=status, ended=now, owner=None, bill=bill, error=error)


def _evolve(task: Task, **changes: object) -> Task:
    return msgspec.structs.replace(task, version=task.version + 1, **changes)


def progress(task: Task, now: float) -> int:
    """0–100, never falling, 100 only at `completed` (spec section 2.4).

    No provider says how far it is, so this is a curve of the time since the first claim, which survives a restart:
    half way after ten seconds, and 99 at the most.
    """
    if task.status is Status.COMPLETED:
        return 100
    if task.started is None:
        return 0
    elapsed = max(0.0, (now if task.ended is None else task.ended) - task.started)
    return min(99, 1 + int(98 * elapsed / (elapsed + 10.0)))


def shown_status(task: Task) -> Status:
    """The status as clients see it, which never goes back: a task that waits to be taken up again is `processing`."""
    return Status.PROCESSING if task.status is Status.PENDING and task.started is not None else task.status
