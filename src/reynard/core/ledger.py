"""Credits, as they are kept: an append-only ledger, whose sum is the balance. All amounts are integer micro-credits.

A task that costs anything has two entries at most: the hold of its reservation, and one end of that hold. A settlement
keeps the cost and gives the rest back; a refund gives all of it back. Both are unique to the task, and each is in the
same commit as the state that it belongs to: nothing is charged twice, and nothing is held for ever.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from msgspec import Meta, Raw, Struct

from reynard.core.errors import InsufficientCredits
from reynard.core.task import Task

MICRO: Final = 1_000_000
"""Micro-credits in a credit."""

Credits = Annotated[Raw, Meta(extra_json_schema={"type": "number"})]
"""An amount as clients read it: a JSON number of credits, exact."""

_WRITTEN: Final = re.compile(r"([+-]?)(\d{1,9})(?:\.(\d{1,6}))?")

Kind = Literal["grant", "hold", "settlement", "refund", "carry"]
"""`grant`: the operator gave credits (or took them). `carry`: the sum of entries that are no longer kept."""


class Entry(Struct, frozen=True, kw_only=True):
    """`amount` moves the balance; `cost` is what a settlement keeps of a hold."""

    key_id: str
    kind: Kind
    amount: int
    at: float
    task_id: str | None = None  # unique with `kind`; None for what is no task's
    cost: int = 0
    note: str = ""


class Account(Struct, frozen=True):
    """A key's credits. `balance`: what may still be reserved. `reserved`: in holds. `used`: settled."""

    balance: int = 0
    reserved: int = 0
    used: int = 0


def at_start(task: Task) -> Iterator[Entry]:
    """The entry that comes with a new task."""
    if task.reserved:
        yield Entry(key_id=task.key_id, kind="hold", amount=-task.reserved, at=task.created, task_id=task.id)


def at_end(task: Task) -> Iterator[Entry]:
    """The entry that comes with a task's end."""
    cost = 0 if task.bill is None else task.bill.cost
    at = task.created if task.ended is None else task.ended
    if cost:
        left = task.reserved - cost
        yield Entry(key_id=task.key_id, kind="settlement", amount=left, at=at, task_id=task.id, cost=cost)
    elif task.reserved:
        yield Entry(key_id=task.key_id, kind="refund", amount=task.reserved, at=at, task_id=task.id)


def shown(amount: int) -> str:
    """Micro-credits as people read them, in credits: `1.25`, exact."""
    whole, rest = divmod(abs(amount), MICRO)
    text = f"{whole}.{rest:06}".rstrip("0").rstrip(".")
    return f"-{text}" if amount < 0 else text


def in_credits(amount: int) -> Credits:
    """Micro-credits, as `Credits`."""
    return Raw(shown(amount).encode())


def amount_of(text: str) -> int:
    """Credits as people write them (`25`, `-0.5`), in micro-credits, exact. Raises `ValueError`.

    At most 999999999.999999: thousands of such grants fit into the 64 bits of an account.
    """
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise ValueError("write credits as 25, 0.5 or -3.25: at most six decimals, and below a thousand million")
    sign, whole, rest = found.groups(default="")
    amount = int(whole) * MICRO + int(rest.ljust(6, "0"))
    return -amount if sign == "-" else amount


def insufficient(wanted: int, balance: int) -> InsufficientCredits:
    """The error of a balance that does not cover a reservation; it says what is missing."""
    return InsufficientCredits(
        f"The request may cost up to {shown(wanted)} credits and the key has {shown(balance)}: "
        f"{shown(wanted - balance)} are missing. Have the key credited, or ask for less with `max_tokens`."
    )
