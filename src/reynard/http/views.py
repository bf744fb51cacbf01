"""How a task looks to its owner: the ten documented keys, always (spec sections 2.1 and 2.4)."""

import datetime
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import replace

from reynard.core.keys import Key
from reynard.core.ledger import Credits, in_credits
from reynard.core.task import Attempt, Status, Task, progress, shown_status
from reynard.engine.engine import Found


class StreamLink(Struct):
    """Where the stream of a task is read."""

    url: str


class TaskErrorView(Struct):
    """Why a task failed."""

    code: str
    message: str
    type: Literal["task_error"] = "task_error"


class UsageView(Struct, kw_only=True, omit_defaults=True):
    """What the task holds of the key's credits, and in the end, what it used."""

    credits_reserved: Credits
    user_group: str
    credits_used: Credits | UnsetType = UNSET
    prompt_tokens: int | UnsetType = UNSET
    completion_tokens: int | UnsetType = UNSET
    estimated: bool | UnsetType = UNSET
    model: str | UnsetType = UNSET
    served_by: str | UnsetType = UNSET


class AttemptView(Struct, kw_only=True):
    """An upstream call of the task (`?include=attempts`). Times are Unix seconds."""

    channel: str
    model: str
    started: float
    ended: float
    outcome: Literal["completed", "failed", "cancelled", "outrun"]
    code: str | None


class TaskView(Struct, kw_only=True):
    """A task. `results` is null until it is completed, then its item 0 is the ChatCompletion."""

    id: str
    object: Literal["llm.generation.task"] = "llm.generation.task"
    type: Literal["llm"] = "llm"
    model: str
    status: Literal["pending", "processing", "completed", "failed", "cancelled"]
    progress: int
    created: int
    stream: StreamLink | None
    results: list[Raw] | None
    error: TaskErrorView | None
    usage: UsageView | UnsetType = UNSET
    attempts: list[AttemptView] | UnsetType = UNSET
    partial: Raw | UnsetType | None = UNSET


class TaskList(Struct, kw_only=True):
    """A page of tasks, newest first."""

    object: Literal["list"] = "list"
    data: list[TaskView]
    has_more: bool


class TaskEvent(Struct, kw_only=True):
    """The body of a webhook: a task has ended, at `timestamp` (ISO 8601, UTC)."""

    type: Literal["generation.completed", "generation.failed", "generation.cancelled"]
    timestamp: str
    data: TaskView


def submitted(task: Task) -> bytes:
    """The answer to a submit; the same for one that is repeated later."""
    return msgspec.json.encode(_view(replace(task, status=Status.PENDING, started=None, error=None), None, 0.0))


def queried(found: Found, caller: Key, now: float) -> bytes:
    """The answer to a query."""
    return msgspec.json.encode(view(found, caller, now))


def event(task: Task, result: bytes | None, key: Key) -> bytes:
    """The body of a webhook. A task does not change after its end, so every try of it has the same bytes."""
    ended = task.created if task.ended is None else task.ended
    kind: Any = f"generation.{task.status.value}"
    timestamp = datetime.datetime.fromtimestamp(ended, datetime.UTC).isoformat(timespec="microseconds")
    return msgspec.json.encode(
        TaskEvent(type=kind, timestamp=timestamp.replace("+00:00", "Z"), data=view((task, result), key, ended))
    )


def with_attempts(shown: TaskView, attempts: Sequence[Attempt]) -> None:
    """The upstream calls too (`?include=attempts`)."""
    shown.attempts = [AttemptView(**msgspec.structs.asdict(attempt)) for attempt in attempts]


def with_partial(shown: TaskView, result: bytes | None) -> None:
    """What was produced before a task failed or was cancelled, too (`?include=partial`)."""
    shown.partial = None if result is None or shown.status == "completed" else Raw(result)


def view(found: Found, caller: Key, now: float) -> TaskView:
    """A task and its usage."""
    task, result = found
    shown = _view(task, result, now)
    shown.usage = _usage(task, caller)
    return shown


def _view(task: Task, result: bytes | None, now: float) -> TaskView:
    return TaskView(
        id=task.id,
        model=task.model,
        status=shown_status(task).value,
        progress=progress(task, now),
        created=int(task.created),
        stream=StreamLink(f"/v1/llm/generations/{task.id}/stream") if task.stream and not task.sync else None,
        results=[Raw(result)] if task.status is Status.COMPLETED and result is not None else None,
        error=None if task.error is None else TaskErrorView(task.error.code, task.error.message),
    )


def _usage(task: Task, caller: Key) -> UsageView:
    bill = task.bill
    usage = UsageView(credits_reserved=in_credits(0 if task.is_ended else task.reserved), user_group=caller.group)
    if task.is_ended:
        usage.credits_used = in_credits(0 if bill is None else bill.cost)
    if bill is not None:
        usage.prompt_tokens, usage.completion_tokens = bill.prompt_tokens, bill.completion_tokens
        usage.estimated, usage.model = bill.estimated, bill.model
        usage.served_by = bill.channel or UNSET  # of a stream whose worker died, no one knows any more
    return usage
