"""A client that says nothing more."""

import asyncio
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request

from reynard.core.errors import UploadStalled
from reynard.http import uploads


def request(*messages: Any) -> Request:
    waiting = list(messages)

    async def receive() -> Any:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    return Request({"type": "http", "headers": []}, receive)


async def test_an_upload_that_stalls_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PATIENCE_S", 0.01)
    coming = request({"type": "http.request", "body": b"a", "more_body": True})
    assert await uploads._received(coming) == (b"a", True)
    with pytest.raises(UploadStalled):
        await uploads._received(coming)


async def test_a_client_that_is_gone_is_told_from_one_that_has_ended() -> None:
    assert await uploads._received(request({"type": "http.request"})) == (b"", False)
    with pytest.raises(ClientDisconnect):
        await uploads._received(request({"type": "http.disconnect"}))
