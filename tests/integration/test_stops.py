"""The stop of a gateway with calls under way (`bootstrap.serving`)."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_answers import wait_for
from tests.integration.test_overload import is_open
from tests.processes import Gateway, Upstream, channel, running, text_request

SOON_S = 3


@pytest.mark.parametrize("form", [{"sync": True}, {"sync": True, "stream": True}, {"stream": True}])
def test_a_second_signal_ends_the_wait_for_what_runs(folder: Path, upstream: Upstream, form: dict[str, Any]) -> None:
    upstream.behave(tokens=1000, tokens_per_s=10)
    settings = f"[server]\ndrain_s = 60\n{channel(upstream)}"
    with running(Gateway(folder, settings)) as gateway, gateway.client() as client, ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.post, "/v1/llm/generations", json=text_request(**form))
        wait_for(lambda: upstream.state()["open"] == 1)
        gateway.popen.send_signal(signal.SIGTERM)
        wait_for(lambda: not is_open(gateway))
        asked_again = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - asked_again < SOON_S
        if "sync" in form:
            assert '"code":"server_restarted"' in call.result().text
        assert "Traceback" not in (folder / "gateway.log").read_text()
