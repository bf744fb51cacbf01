"""Work that has begun comes to its end, whether or not its caller still waits: what follows must not overtake it."""

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def whole(work: "asyncio.Future[T]") -> T:
    """The result of `work`. A caller that is cancelled is so only once `work` has ended."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        if not work.done():
            await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # it is looked at: nobody else will
        raise
