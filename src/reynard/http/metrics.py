"""`GET /metrics`, for Prometheus. Who may read it is a setting: it tells names of channels and models, and volumes."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from reynard.core.errors import NotFound, PermissionDenied
from reynard.http.answers import Answer
from reynard.http.request import Request
from reynard.http.requests import caller_of
from reynard.ports.telemetry import Audience

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


async def metrics(request: Request) -> Answer:
    """The figures of this process. Raises what its audience says: `AuthenticationFailed`, `PermissionDenied`,
    `NotFound`."""
    await CHECKS[request.services.audience](request)
    return Answer(request.services.figures(), CONTENT_TYPE, headers={"cache-control": "no-store"})


async def _nothing(request: Request) -> None:
    """Whoever asks."""


async def _admin(request: Request) -> None:
    caller = await caller_of(request)
    if not caller.admin:
        raise PermissionDenied("The metrics are for admin keys.")


async def _off(request: Request) -> None:
    raise NotFound("There is nothing at this path. `/llms.txt` lists what there is.")


CHECKS: Final[Mapping[Audience, Callable[[Request], Awaitable[None]]]] = {
    "open": _nothing,
    "admin": _admin,
    "off": _off,
}
