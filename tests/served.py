"""An application behind the gateway's own server, in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from reynard.bootstrap.system import SystemClock
from reynard.http import server
from reynard.http.asgi import ASGIApp
from reynard.http.server import Server


@asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[int]:
    """The port at which `app` is served."""
    bound = server.listen("127.0.0.1", 0)
    running = Server(app, SystemClock(), drain_s=1, max_connections=100, cors_origins=["*"])
    await running.open(bound)
    task = asyncio.ensure_future(running.serve())
    try:
        yield bound.getsockname()[1]
    finally:
        running.stop()
        await task


@asynccontextmanager
async def client_of(app: ASGIApp) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of `app`."""
    async with listening(app) as port, httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        yield client
