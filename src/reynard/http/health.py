"""Whether the process lives, and whether it can work."""

from starlette.requests import Request
from starlette.responses import Response

from reynard.http.requests import services


async def healthz(request: Request) -> Response:
    """The process answers."""
    return Response(b'{"status":"ok"}', media_type="application/json")


async def readyz(request: Request) -> Response:
    """The store takes writes too; 503 otherwise."""
    await services(request).engine.check_ready()
    return Response(b'{"status":"ready"}', media_type="application/json")
