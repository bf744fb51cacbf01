"""Settings that are loaded anew with calls under way (`bootstrap.wiring`)."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.integration.test_answers import wait_for
from tests.integration.test_overload import descriptors
from tests.processes import Gateway, Upstream, channel, running, text_request

CALLS = 6


@pytest.mark.parametrize("more", ["connect_timeout_s = 3", None], ids=["changed", "removed"])
def test_calls_end_as_they_began_and_their_connections_with_them(
    folder: Path, upstream: Upstream, more: str | None
) -> None:
    upstream.behave(first_token_ms=1000, tokens=20)
    with (
        running(Gateway(folder, channel(upstream, more="connect_timeout_s = 4"))) as gateway,
        gateway.client() as client,
        ThreadPoolExecutor(CALLS) as pool,
    ):
        bodies = [text_request(sync=True, stream=bool(number % 2)) for number in range(CALLS)]
        calls = [pool.submit(client.post, "/v1/llm/generations", json=body) for body in bodies]
        wait_for(lambda: upstream.state()["open"] == CALLS)
        busy = descriptors(gateway)
        gateway.config.write_text("" if more is None else channel(upstream, more=more))
        gateway.popen.send_signal(signal.SIGHUP)
        wait_for(lambda: "loaded anew" in (folder / "gateway.log").read_text())
        assert upstream.state()["open"] == CALLS
        assert all('"finish_reason":"stop"' in call.result().text for call in calls)
        wait_for(lambda: descriptors(gateway) <= busy - CALLS)
