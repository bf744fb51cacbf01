"""How long a provider asks to wait, by its header or in its body."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from reynard.core.channels import Channel
from reynard.core.errors import GenerationError
from reynard.engine.attempt import complete
from reynard.engine.health import Call
from reynard.engine.routes import Route
from reynard.engine.work import Identity
from reynard.ports.transport import WireRequest
from reynard.providers.gemini import GeminiCodec

BODY = b'{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"7s"}]}}'


class Limited:
    """A provider that takes no more; both its transport and its answer."""

    status = 429

    def __init__(self, header: float | None) -> None:
        self.retry_after_s = header

    @asynccontextmanager
    async def send(self, request: WireRequest) -> AsyncIterator[Any]:
        yield self

    async def parts(self) -> AsyncGenerator[bytes, None]:
        yield BODY

    async def read(self, limit: int) -> bytes:
        return BODY

    async def close(self) -> None: ...


@pytest.mark.parametrize(("header", "wait"), [(None, 7), (3, 3), (0, 0)])
async def test_the_header_outweighs_the_body(header: float | None, wait: float) -> None:
    route = Route(Channel(name="c", dialect="gemini", models=()), GeminiCodec(), Limited(header))
    request = WireRequest(path="/", body=b"{}", stream=False)
    with pytest.raises(GenerationError) as caught:
        await complete(request, route, Identity("x", 1, "m"), Call(0, 0, 0.0))
    assert caught.value.retry_after_s == wait
