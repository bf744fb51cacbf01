"""A client that goes away: its call ends with it."""

import asyncio
from types import TracebackType
from typing import Any

from reynard.http.asgi import ClientGone
from reynard.http.request import Request


class WhilePresent:
    """Cancels what runs inside as soon as the client goes, and raises `ClientGone` then."""

    __slots__ = ("_inside", "_is_gone", "_presence")

    def __init__(self, request: Request) -> None:
        self._presence = request.presence
        self._is_gone = False

    def __enter__(self) -> None:
        if self._presence.is_gone:
            raise ClientGone
        self._inside: asyncio.Task[Any] | None = asyncio.current_task()
        self._presence.watch(self._leave)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._presence.unwatch()
        if self._is_gone and isinstance(error, asyncio.CancelledError):
            raise ClientGone from None

    def _leave(self) -> None:
        self._is_gone = True
        if self._inside is not None:
            self._inside.cancel()
