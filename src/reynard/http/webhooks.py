"""`/v1/webhooks`: what was delivered of the ends of tasks, and the secret that signs it."""

from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct

from reynard.core.errors import InvalidParam
from reynard.core.webhooks import Delivery, State, Try
from reynard.engine.webhooks import Secret
from reynard.http.answers import Answer
from reynard.http.request import Request
from reynard.http.requests import caller_of, number
from reynard.ports.store import DeliveryFilter

MOST_LISTED = 100


class DeliveryView(Struct, kw_only=True):
    """A delivery. `id`: the `webhook-id`. `attempt`: tries so far. `due`: the next one; null if there is none."""

    id: str
    object: Literal["webhook.delivery"] = "webhook.delivery"
    task_id: str
    url: str
    state: State
    attempt: int
    created: float
    due: float | None


class TryView(Struct, kw_only=True):
    """One POST. `status`: of HTTP, if there was an answer; else `error`."""

    at: float
    status: int | None
    error: str | None
    took_ms: int


class DeliveryDetails(DeliveryView, kw_only=True):
    """A delivery, with its last tries, oldest first."""

    tries: list[TryView]


class DeliveryList(Struct, kw_only=True):
    """A page of deliveries, newest first."""

    object: Literal["list"] = "list"
    data: list[DeliveryView]
    has_more: bool


class SecretView(Struct, kw_only=True):
    """`whsec_…`, and until when it signs (Unix seconds; null: until it is rotated)."""

    secret: str
    expires: float | None


class SecretList(Struct, kw_only=True):
    """The secrets that sign now, the newest first: two for a day after a rotation."""

    object: Literal["list"] = "list"
    data: list[SecretView]


async def list_deliveries(request: Request) -> Answer:
    """The caller's own, newest first."""
    caller = await caller_of(request)
    query = request.query_params
    state: Any = query.get("state")
    if state is not None and state not in get_args(State):
        raise InvalidParam(f"`state` must be one of {', '.join(get_args(State))}.", param="state")
    wanted = DeliveryFilter(
        key_id=caller.id,
        task_id=query.get("task_id"),
        state=state,
        after=query.get("after"),
        limit=number(request, "limit", 20, least=1, most=MOST_LISTED, whole=True),
    )
    found = await request.services.engine.webhooks.page(wanted)
    page = DeliveryList(data=[DeliveryView(**_shown(one)) for one in found.deliveries], has_more=found.has_more)
    return Answer(msgspec.json.encode(page))


async def get_delivery(request: Request) -> Answer:
    """One of the caller's own, with what was tried."""
    caller = await caller_of(request)
    found, tries = await request.services.engine.webhooks.find(request.path_params["delivery_id"], caller)
    return Answer(msgspec.json.encode(details(found, tries)))


async def redeliver(request: Request) -> Answer:
    """Due at once, under the same id."""
    caller = await caller_of(request)
    found = await request.services.engine.webhooks.redeliver(request.path_params["delivery_id"], caller)
    return Answer(msgspec.json.encode(DeliveryView(**_shown(found))))


async def get_secret(request: Request) -> Answer:
    """What the caller verifies with."""
    caller = await caller_of(request)
    return _secrets(request.services.engine.webhooks.secrets(caller))


async def rotate_secret(request: Request) -> Answer:
    """A new one; the one before signs as well for a day."""
    caller = await caller_of(request)
    return _secrets(await request.services.engine.webhooks.rotate(caller))


def details(delivery: Delivery, tries: list[Try]) -> DeliveryDetails:
    """A delivery, with what was tried."""
    return DeliveryDetails(
        **_shown(delivery),
        tries=[TryView(at=one.at, status=one.status, error=one.error, took_ms=one.took_ms) for one in tries],
    )


def _shown(delivery: Delivery) -> dict[str, Any]:
    fields = {name: getattr(delivery, name) for name in ("id", "task_id", "url", "state", "attempt", "created")}
    return {**fields, "due": delivery.due if delivery.state == "pending" else None}


def _secrets(found: list[Secret]) -> Answer:
    page = SecretList(data=[SecretView(secret=one.secret, expires=one.expires) for one in found])
    return Answer(msgspec.json.encode(page), headers={"cache-control": "no-store"})
