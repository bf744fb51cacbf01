"""A fault of this program: a 500 in our words, with all headers, logged once."""

import logging
from typing import Any, cast

import pytest
from tests.served import client_of

from reynard.engine.engine import Engine
from reynard.http import app
from reynard.testing.clock import FakeClock


class Broken:
    """An engine that fails at everything."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("a secret: sk-abc")


async def test_a_defect_is_answered_with_all_headers_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    broken = app.build(cast("Engine", Broken()), FakeClock(), max_body_bytes=1000, cors_origins=["*"])
    with caplog.at_level(logging.ERROR):
        async with client_of(broken) as client:
            response = await client.get("/v1/models", headers={"origin": "https://app.example"})
    assert (response.status_code, response.json()["error"]["code"]) == (500, "server_error")
    assert response.headers["x-request-id"]
    assert response.headers["access-control-allow-origin"] == "*"
    assert "secret" not in response.text
    assert len(caplog.records) == 1
