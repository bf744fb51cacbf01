"""SIGKILL right before and right after each commit, within transactions, mid-stream and in recovery itself."""

from pathlib import Path

import pytest
from tests.crash.doomed import Doomed, crowd_of, dies_while_it_starts
from tests.crash.gateway import BOUNDARIES, Order
from tests.crash.invariants import check
from tests.processes import Upstream, running
from tests.receiver import Receiver

STORED_FIRST = (
    *("async", "async, repeatable", "stream, unread", "stream, read"),
    *("sync, repeatable", "sync stream"),
)
ALL = (*STORED_FIRST, "sync")
CANCELLED = ("async, cancelled", "stream, read, cancelled")
TOLD = ("async", "sync", "sync stream", "stream, read, cancelled")
REPEATABLE = ("async, repeatable", "stream, read, repeatable", "sync, repeatable")
UNREAD = ("async", "async, repeatable", "stream, unread")
READ = ("stream, read", "stream, read, repeatable")

HAPPENS_IN: dict[str, tuple[str, ...]] = {
    "before the hold": STORED_FIRST,
    "within the hold": ALL,
    "before the hold's commit": STORED_FIRST,
    "after the hold": STORED_FIRST,
    "after an idempotent hold": REPEATABLE,
    "between the hold and what is written next": REPEATABLE,
    "before the reader's mark": READ,
    "after the reader's mark": READ,
    "mid-stream": ("stream, unread", *READ),
    "before chunks are written": ("stream, unread", *READ),
    "after chunks are written": ("stream, unread", *READ),
    "before the end": ALL,
    "within the end, before its settlement": ALL,
    "within the end, before its usage": ALL,
    "before the end's commit": ALL,
    "between the end and what is written next": ("async", "stream, read", "sync"),
    "after the end": ALL,
    "before the stream is told its end": ("stream, unread", *READ),
    "before a cancel is kept": CANCELLED,
    "after a cancel is kept": CANCELLED,
    "before a webhook is sent": TOLD,
    "after a webhook is sent": TOLD,
    "after a webhook is recorded": TOLD,
}
IN_RECOVERY = [
    ("before recovery", 1),
    *(("before a recovered task is kept", nth) for nth in (1, 3)),
    *(("after a recovered task is kept", nth) for nth in (1, 3)),
    ("after the claim", 1),
]
PACE = {"first_token_ms": 5, "tokens": 30, "tokens_per_s": 300}


def test_every_boundary_is_tried() -> None:
    assert {*HAPPENS_IN, *(boundary for boundary, _ in IN_RECOVERY)} == BOUNDARIES.keys()


@pytest.mark.parametrize("boundary", HAPPENS_IN)
def test_a_kill(boundary: str, folder: Path, upstream: Upstream, receiver: Receiver) -> None:
    gateway = Doomed(folder, upstream)
    crowd = crowd_of(gateway, receiver)
    for seed, kind in enumerate(HAPPENS_IN[boundary]):
        with running(gateway), crowd.client(gateway.url) as client:
            check(gateway, crowd)
            upstream.behave(**PACE, seed=seed)
            gateway.arm(Order(boundary, 10 if boundary == "mid-stream" else 1))
            crowd.ask(client, kind, "kimi-k2.6" if "cancelled" in kind else "gpt-5.5")
            gateway.die()
        gateway = Doomed(folder, upstream)
    with running(gateway):
        check(gateway, crowd)
    for told in crowd.told:
        if told.final is not None and told.kind in UNREAD:
            assert told.final["status"] == "completed"  # what nobody had read simply begins anew


@pytest.mark.parametrize(("boundary", "nth"), IN_RECOVERY)
def test_a_kill_of_who_recovers_from_a_kill(
    boundary: str, nth: int, folder: Path, upstream: Upstream, receiver: Receiver
) -> None:
    upstream.behave(**PACE)
    gateway = Doomed(folder, upstream)
    crowd = crowd_of(gateway, receiver)
    with running(gateway), crowd.client(gateway.url) as client:
        for kind in ("async", "stream, unread", "async, repeatable", "stream, unread"):
            crowd.ask(client, kind, "kimi-k2.6")
        gateway.arm(Order("mid-stream", 60))
        crowd.ask(client, "stream, read", "kimi-k2.6")
        gateway.die()
    upstream.behave(**PACE, seed=1)
    dies_while_it_starts(folder, upstream, Order(boundary, nth))
    with running(Doomed(folder, upstream)) as gateway:
        check(gateway, crowd)
