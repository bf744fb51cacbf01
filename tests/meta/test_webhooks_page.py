"""The page on webhooks: its example verifies what is sent, and its tables say what there is."""

import re
import time
from pathlib import Path
from typing import Any, get_args

import pytest

from reynard.core import webhooks
from reynard.ports.webhooks import Reason

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text("utf-8")
SECRET = bytes(range(32))
BODY = b'{"type": "generation.completed"}'


@pytest.fixture
def verify() -> Any:
    [example] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(example, namespace)
    return namespace["verify"]


def test_the_example_verifies_what_is_sent_and_nothing_else(verify: Any) -> None:
    shown = webhooks.shown(SECRET)
    sent = dict(webhooks.headers("msg_1", time.time(), BODY, [SECRET]))
    assert verify(shown, sent, BODY)
    assert not verify(shown, sent, BODY + b" ")
    assert not verify(shown, {**sent, "webhook-id": "msg_2"}, BODY)
    assert not verify(webhooks.shown(b"x" * 32), sent, BODY)
    assert not verify(shown, webhooks.headers("msg_1", time.time() - 301, BODY, [SECRET]), BODY)


def test_the_example_knows_two_signatures(verify: Any) -> None:
    sent = webhooks.headers("msg_1", time.time(), BODY, [b"x" * 32, SECRET])
    assert verify(webhooks.shown(SECRET), sent, BODY)


def test_every_reason_is_told() -> None:
    assert [reason for reason in get_args(Reason) if f"| `{reason}` |" not in PAGE] == []


def test_the_pauses_are_told() -> None:
    assert (5, 5 * 60, 30 * 60, *(hours * 3600 for hours in (2, 5, 10, 14, 20, 24))) == webhooks.RETRY_S
    assert "after 5 seconds, 5 minutes, 30 minutes, 2, 5, 10, 14, 20 and 24 hours" in PAGE
