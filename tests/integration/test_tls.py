"""A gateway whose providers speak TLS, with certificates of an authority that its environment names."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from tests.certificates import Authority, self_signed
from tests.integration.test_answers import submit
from tests.processes import FORGIVING, Gateway, Upstream, channel, running, text_request

WAYS: Final[list[dict[str, Any]]] = [{"sync": True}, {"sync": True, "stream": True}, {}, {"stream": True}]


@contextmanager
def behind_tls(upstream: Upstream, certificate: Path) -> Iterator[str]:
    """The address of a relay to `upstream`, which shows that certificate; it ends when its clients have."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listening: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = Future()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", int(upstream.url.rpartition(":")[2]))
        await asyncio.gather(pipe(reader, far_writer), pipe(far_reader, writer))

    async def serve() -> None:
        over = asyncio.Event()
        async with await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context) as server:
            listening.set_result((asyncio.get_running_loop(), over, server.sockets[0].getsockname()[1]))
            await over.wait()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    loop, over, port = listening.result()
    try:
        yield f"https://localhost:{port}"
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream) -> Iterator[Gateway]:
    """With `gpt-5.5` at a provider whom nobody vouches for, and then at a sound one; `gpt-5.4` at the first alone."""
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority(folder)
    with (
        pytest.MonkeyPatch.context() as patch,
        behind_tls(shared_upstream, authority.certificate("localhost")) as sound,
        behind_tls(shared_upstream, self_signed(folder)) as unsound,
    ):
        patch.setenv("SSL_CERT_FILE", str(authority.file))
        first = channel(shared_upstream, name="unsound", more=FORGIVING).replace(shared_upstream.url, unsound)
        second = channel(shared_upstream, name="sound", models='["gpt-5.5"]', more="priority = 1")
        with running(Gateway(folder, first + second.replace(shared_upstream.url, sound))) as gateway:
            yield gateway


@pytest.fixture
def client(secured: Gateway, upstream: Upstream) -> Iterator[httpx2.Client]:
    with secured.client() as opened:
        yield opened


def ended(client: httpx2.Client, form: dict[str, Any], model: str) -> str:
    """What a caller reads in the end."""
    answer = submit(client, text_request(model=model, **form))
    if form.get("sync"):
        return answer.text
    task_id = answer.json()["id"]
    if form.get("stream"):
        return client.get(f"/v1/llm/generations/{task_id}/stream").text
    return client.get(f"/v1/tasks/{task_id}", params={"wait": 25}).text


@pytest.mark.parametrize("form", WAYS, ids=str)
def test_every_way_leads_past_an_unsound_certificate(client: httpx2.Client, form: dict[str, Any]) -> None:
    text = ended(client, form, "gpt-5.5")
    assert '"finish_reason":"stop"' in text
    assert "error" not in text.replace('"error":null', "")


@pytest.mark.parametrize("form", WAYS[:2], ids=str)
def test_it_is_told_what_the_certificate_lacks_and_no_more(client: httpx2.Client, form: dict[str, Any]) -> None:
    text = ended(client, form, "gpt-5.4")
    assert "its certificate is signed by nobody whom the system, or the file SSL_CERT_FILE, names" in text
    assert "all_platforms_exhausted" in text
    assert "localhost" not in text
    assert "sk-" not in text
