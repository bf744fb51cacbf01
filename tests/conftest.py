import asyncio
import functools
import gc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpcore2
import httpx2
import pytest
import uvloop

from tests.processes import FORGIVING, FreshGateway, Gateway, Upstream, channel, running


def pytest_collection_finish() -> None:
    """The SDKs' types are hundreds of megabytes of objects that stay: the collector need not look at them each time."""
    gc.collect()
    gc.freeze()


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The client for providers runs on the server's own event loop, whose sockets and TLS are not Python's."""
    if item.path.name.startswith("test_upstream_"):
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="session", autouse=True)
def certificates() -> Iterator[None]:
    """The system's, read once: every client would read them anew, which takes it twenty times as long as a call."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpcore2, "default_ssl_context", functools.cache(httpcore2.default_ssl_context))
        yield


@pytest.fixture(scope="session")
def shared_upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with running(Upstream(tmp_path_factory.mktemp("upstream"))) as process:
        yield process


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Upstream:
    """One provider for all tests, behaving well at the start of each."""
    shared_upstream.behave()
    return shared_upstream


@pytest.fixture(scope="session")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    config = channel(shared_upstream, more=f"concurrency = 256\n{FORGIVING}")
    config += channel(shared_upstream, name="local", models='["smollm2-135m"]')  # the real one has its own tests
    with running(FreshGateway(folder, config, demo=True)) as process:
        yield process


@pytest.fixture
def gateway(shared_gateway: Gateway, upstream: Upstream) -> Gateway:
    """One gateway for all tests that leave it as they found it."""
    return shared_gateway


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx2.Client]:
    with gateway.client() as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For a gateway of one's own."""
    return tmp_path
