"""Credits that calls hold beside the store: a call in place may cost them before it is stored, with its end.

The balance in the store is the truth for what is stored first: its hold is checked in its own commit, which leaves
alone what is held here. In between, nobody knows here whether a commit is in the balance already. What is on its way is
counted as both: nothing is spent twice, and who can only be refused if it is not there yet waits until it is known.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from reynard.core.errors import InsufficientCredits, StoreUnavailable
from reynard.core.ledger import Account, insufficient
from reynard.core.task import Task
from reynard.ports.store import Store

PATIENCE_S: Final = 5.0
"""How long a commit is waited for that decides."""


class _Amounts:
    """Micro-credits of tasks, and their sum."""

    __slots__ = ("_of", "sum")

    def __init__(self) -> None:
        self._of: dict[str, int] = {}
        self.sum = 0

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._of

    def add(self, task: Task) -> None:
        self._of[task.id] = task.reserved
        self.sum += task.reserved

    def drop(self, task: Task) -> None:
        self.sum -= self._of.pop(task.id, 0)


class _Key:
    """What tasks of a key hold: `beside` the store, or on its way there, as the start (`storing`) or with the end."""

    __slots__ = ("beside", "ending", "moved", "storing")

    def __init__(self) -> None:
        self.beside, self.storing, self.ending = _Amounts(), _Amounts(), _Amounts()
        self.moved = asyncio.Event()

    @property
    def moving(self) -> int:
        """What may be in the balance already, or not yet."""
        return self.storing.sum + self.ending.sum


class Holds:
    """Of the limited keys. Amounts are the tasks' reservations."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys: dict[str, _Key] = {}  # of those that hold anything

    async def check(self, task: Task) -> None:
        """Refuses at once what cannot be paid for, whatever is on its way. Raises `InsufficientCredits`."""
        left = self._left(task.key_id, await self._store.account(task.key_id))
        if left < task.reserved:
            raise insufficient(task.reserved, left)

    async def take(self, task: Task) -> None:
        """Holds it beside the store. Raises `InsufficientCredits`, `StoreUnavailable`."""
        until = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            left = self._left(task.key_id, await self._store.account(task.key_id))
            key = self._of(task.key_id)
            if left - key.moving >= task.reserved:
                key.beside.add(task)
                return
            self._tidy(task.key_id)
            if left < task.reserved:
                raise insufficient(task.reserved, left)
            await self._moved(task.key_id, until)

    async def store(self, task: Task, insert: Callable[[int], Awaitable[None]]) -> None:
        """`insert` keeps the task with its hold, if so many micro-credits remain beside it, and says so.

        Raises what it raises, and `StoreUnavailable`. Cancelled, the hold counts until `let_go`: it may be on its way.
        """
        until = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            key = self._of(task.key_id)
            unsure = key.ending.sum
            key.storing.add(task)
            try:
                await insert(key.beside.sum + unsure)
            except asyncio.CancelledError:
                raise
            except InsufficientCredits:
                self.let_go(task)
                if not unsure:
                    raise
            except BaseException:
                self.let_go(task)
                raise
            else:
                self.let_go(task)
                return
            await self._moved(task.key_id, until)

    def ends(self, task: Task) -> None:
        """What is held beside the store is on its way there, as what the task cost."""
        key = self._keys.get(task.key_id)
        if key is not None and task.id in key.beside:
            key.beside.drop(task)
            key.ending.add(task)

    def let_go(self, task: Task) -> None:
        """Nothing is held here for the task any more."""
        key = self._keys.get(task.key_id)
        if key is None:
            return
        for amounts in (key.beside, key.storing, key.ending):
            amounts.drop(task)
        key.moved.set()
        self._tidy(task.key_id)

    def _of(self, key_id: str) -> _Key:
        key = self._keys.get(key_id)
        if key is None:
            key = self._keys[key_id] = _Key()
        return key

    def _left(self, key_id: str, account: Account) -> int:
        """The balance without what is held beside it."""
        key = self._keys.get(key_id)
        return account.balance if key is None else account.balance - key.beside.sum

    async def _moved(self, key_id: str, until: float) -> None:
        """Waits until something that is on its way has come there. Raises `StoreUnavailable`."""
        key = self._keys.get(key_id)
        if key is None or not key.moving:
            return
        key.moved.clear()
        try:
            async with asyncio.timeout_at(until):
                await key.moved.wait()
        except TimeoutError:
            raise StoreUnavailable("The store cannot tell the key's credits now. Try again in a moment.") from None

    def _tidy(self, key_id: str) -> None:
        key = self._keys[key_id]
        if not key.beside.sum and not key.moving:
            del self._keys[key_id]
