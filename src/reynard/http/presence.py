"""A client that goes away: its call ends with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from reynard.http.requests import services


class ClientGone(Exception):
    """The client closed its connection; there is nobody to answer."""


@asynccontextmanager
async def while_present(request: Request) -> AsyncIterator[None]:
    """Cancels what runs inside as soon as the client disconnects, and raises `ClientGone` then.

    The body must have been read: from there on, all that ASGI can receive is the disconnect.
    """
    inside = asyncio.current_task()
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        if inside is not None:
            inside.cancel()

    watcher = services(request).jobs.start(watch())
    try:
        yield
    except asyncio.CancelledError:
        if gone:
            raise ClientGone from None
        raise
    finally:
        watcher.cancel()
