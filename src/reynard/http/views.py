"""How a task looks to its owner: the ten documented keys, always (spec sections 2.1 and 2.4)."""

import datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from reynard.core.keys import Key
from reynard.core.task import Status, Task, progress, shown_status
from reynard.engine.engine import Found


class StreamLink(Struct):
    """Where the stream of a task is read."""

    url: str


class TaskErrorView(Struct):
    """Why a task failed."""

    code: str
    message: str
    type: Literal["task_error"] = "task_error"


class UsageView(Struct):
    """What the task holds of the key's credits."""

    credits_reserved: float
    user_group: str


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
    """The answer to a submit."""
    return msgspec.json.encode(_view(task, None, 0.0, UNSET))


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


def view(found: Found, caller: Key, now: float) -> TaskView:
    """A task and its usage."""
    task, result = found
    return _view(task, result, now, UsageView(0, caller.group))


def _view(task: Task, result: bytes | None, now: float, usage: UsageView | UnsetType) -> TaskView:
    return TaskView(
        id=task.id,
        model=task.model,
        status=shown_status(task).value,
        progress=progress(task, now),
        created=int(task.created),
        stream=StreamLink(f"/v1/llm/generations/{task.id}/stream") if task.stream and not task.sync else None,
        results=[Raw(result)] if task.status is Status.COMPLETED and result is not None else None,
        error=None if task.error is None else TaskErrorView(task.error.code, task.error.message),
        usage=usage,
    )
