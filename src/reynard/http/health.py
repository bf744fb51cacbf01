"""Whether the process lives, and whether it can work."""

from reynard.http.answers import Answer
from reynard.http.request import Request


async def healthz(request: Request) -> Answer:
    """The process answers."""
    return Answer(b'{"status":"ok"}')


async def readyz(request: Request) -> Answer:
    """The store takes writes too; 503 otherwise."""
    await request.services.engine.check_ready()
    return Answer(b'{"status":"ready"}')
