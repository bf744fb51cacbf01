"""Webhooks: what is delivered of the end of a task, and when it is tried again (Standard Webhooks 1.0)."""

from typing import Literal

from msgspec import Struct

from reynard.core.task import Task

State = Literal["pending", "delivered", "failed"]


class Delivery(Struct, frozen=True, kw_only=True):
    """An outbox row, written in the same commit as the end of its task. Times are Unix seconds.

    `id` is the `webhook-id` of every try, so that a receiver knows a repetition. `attempt`: tries so far.
    """

    id: str
    task_id: str
    key_id: str
    url: str
    created: float
    due: float
    state: State = "pending"
    attempt: int = 0


def delivery_of(task: Task) -> Delivery | None:
    """What comes with the end of `task`; None if nobody wants to be told."""
    url = task.terms.callback_url
    if url is None or task.ended is None:
        return None
    return Delivery(
        id=f"msg_{task.id}", task_id=task.id, key_id=task.key_id, url=url, created=task.ended, due=task.ended
    )
