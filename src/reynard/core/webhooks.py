"""Webhooks: what is delivered of the end of a task, how it is signed, and when it is tried again.

The signature, its headers and the schedule are those of Standard Webhooks 1.0
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from reynard.core.addresses import Refused, may_be_open, target
from reynard.core.errors import InvalidParam
from reynard.core.keys import Key
from reynard.core.task import Task

State = Literal["pending", "delivered", "failed"]

RETRY_S: Final = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""The pauses between tries, from the specification's own example: the tenth and last comes after three days."""
JITTER: Final = 0.1  # a pause is up to so much longer, so that what failed together does not come back together
LONGEST_PAUSE_S: Final = 86_400.0
GRACE_S: Final = 1_209_600.0
"""How much longer a task is kept that is still to be delivered. All tries together take ten days at the most, with the
longest pauses that a receiver may ask for; who has it delivered again and again does not keep it for ever."""
LEAST_POSTPONED_S: Final = 5.0
MOST_POSTPONED_S: Final = 600.0
TRIES_KEPT: Final = 100  # of a delivery, the last ones
GONE: Final = 410  # "no longer interested in receiving webhooks"
OVERLAP_S: Final = 86_400.0  # how long a secret that was rotated away still signs
SHOWN_AS: Final = "whsec_"
LONGEST_URL: Final = 2_048


class Delivery(Struct, frozen=True, kw_only=True):
    """An outbox row, written in the same commit as the end of its task. Times are Unix seconds.

    `id` is the `webhook-id` of every try, so that a receiver knows a repetition. `attempt`: tries so far.
    """

    id: str
    task_id: str
    key_id: str
    url: str
    created: float
    due: float
    state: State = "pending"
    attempt: int = 0


class Try(Struct, frozen=True, kw_only=True):
    """One POST of a delivery. `status`: of HTTP, if there was an answer; else `error` says in a word why not."""

    at: float
    status: int | None = None
    error: str | None = None
    took_ms: int


def delivery_of(task: Task) -> Delivery | None:
    """What comes with the end of `task`; None if nobody wants to be told."""
    url = task.terms.callback_url
    if url is None or task.ended is None:
        return None
    return Delivery(
        id=f"msg_{task.id}", task_id=task.id, key_id=task.key_id, url=url, created=task.ended, due=task.ended
    )


def next_due(attempt: int, now: float, uniform: float) -> float | None:
    """When to try again after `attempt` tries that failed; None after the last. `uniform`: from [0, 1), for jitter."""
    if attempt > len(RETRY_S):
        return None
    return now + RETRY_S[attempt - 1] * (1 + JITTER * uniform)


def after(delivery: Delivery, tried: Try, now: float, uniform: float, retry_after_s: float | None = None) -> Delivery:
    """`delivery` after a try: delivered by any 2xx, failed by 410 or the last try, else due again.

    `retry_after_s`: the receiver's own wish, which outweighs the schedule where it is longer; a day at the most.
    """
    attempt = delivery.attempt + 1
    if tried.status is not None and 200 <= tried.status < 300:
        return replace(delivery, attempt=attempt, state="delivered")
    due = None if tried.status == GONE else next_due(attempt, now, uniform)
    if due is None:
        return replace(delivery, attempt=attempt, state="failed")
    asked = now + min(retry_after_s or 0.0, LONGEST_PAUSE_S)
    return replace(delivery, attempt=attempt, due=max(due, asked))


def postponed(delivery: Delivery, now: float, uniform: float) -> Delivery:
    """`delivery`, when the gateway could not try: later, and no try is lost. The older it is, the later."""
    pause_s = min(max(LEAST_POSTPONED_S, (now - delivery.created) / 4), MOST_POSTPONED_S)
    return replace(delivery, due=now + pause_s * (1 + JITTER * uniform))


def again(delivery: Delivery, now: float) -> Delivery:
    """`delivery`, to be made once more from the first try on, under the same id."""
    return replace(delivery, attempt=0, state="pending", due=now)


def secret_of(master: bytes, key_id: str, version: int) -> bytes:
    """The secret of a key, 32 bytes: a function of the gateway's own, so that no row has to hold it."""
    return hmac.digest(master, f"webhooks/{key_id}/{version}".encode(), hashlib.sha256)


def shown(secret: bytes) -> str:
    """A secret as people and libraries have it: `whsec_` and base64."""
    return SHOWN_AS + b64encode(secret).decode("ascii")


def versions(key: Key, now: float) -> tuple[int, ...]:
    """The versions of a key's secret that sign now, the newest first."""
    overlaps = key.rotated is not None and now < key.rotated
    return (key.signing, key.signing - 1) if overlaps else (key.signing,)


def rotated(key: Key, now: float) -> Key:
    """`key` with the next version of its secret; the one before signs as well for a day."""
    return replace(key, signing=key.signing + 1, rotated=now + OVERLAP_S)


def headers(delivery_id: str, now: float, body: bytes, secrets: Iterable[bytes]) -> Mapping[str, str]:
    """What goes with a body sent now: its id, the time of this try, and a signature by each secret."""
    timestamp = int(now)
    signatures = [signature(secret, delivery_id, timestamp, body) for secret in secrets]
    return {
        "content-type": "application/json",
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def signature(secret: bytes, delivery_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` and HMAC-SHA256 of `id.timestamp.body`, in base64."""
    signed = b"%s.%d.%s" % (delivery_id.encode(), timestamp, body)
    return "v1," + b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode("ascii")


def check_callback_url(url: str, param: str, *, private: bool = False) -> None:
    """Raises `InvalidParam` for an address that could never be posted to: what `addresses.target` refuses, is longer
    than 2,048 characters or has white space, and, unless `private` ones are taken, a host that is plainly not in the
    public internet.

    What a name leads to is looked at when it is posted to, each time.
    """
    try:
        goal = None if len(url) > LONGEST_URL or " " in url else target(url)
    except Refused as refused:
        raise _malformed(param, f": {refused}.") from None
    if goal is None:
        raise _malformed(param, ".")
    if not (private or may_be_open(goal)):
        raise InvalidParam(f"`{param}` must have a host in the public internet.", param=param)


def _malformed(param: str, reason: str) -> InvalidParam:
    return InvalidParam(
        f"`{param}` must be an http(s) URL of at most {LONGEST_URL} characters, as `https://example.com/hook`{reason}",
        param=param,
    )
