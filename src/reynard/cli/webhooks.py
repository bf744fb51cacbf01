"""`reynard webhooks`: what was delivered, and the secrets. Works on the store, also while a gateway runs on it."""

import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from reynard.cli import settings as shared
from reynard.cli.store import now, on_store, print_json
from reynard.core import webhooks as rules
from reynard.core.webhooks import Delivery, Try
from reynard.ports.store import DeliveryFilter, Store


class NotThere(Exception):
    """No delivery, or no key, of that id."""


@click.group()
def webhooks() -> None:
    """See what was delivered, deliver it again, and look after the secrets.

    \b
    Example:
      reynard webhooks list --state failed
    """


@webhooks.command("list")
@click.option("--key", "key_id", help="Only those of this key.")
@click.option("--task", "task_id", help="Only that of this task.")
@click.option("--state", type=click.Choice(["pending", "delivered", "failed"]), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@shared.store_options
def list_deliveries(
    key_id: str | None,
    task_id: str | None,
    state: Any,
    limit: int,
    as_json: bool,
    config_file: str | None,
    data: str | None,
) -> None:
    """Deliveries, newest first.

    \b
    Example:
      reynard webhooks list --key key-0a1b2c3d4e5f --limit 5
    """
    wanted = DeliveryFilter(key_id=key_id, task_id=task_id, state=state, limit=limit)
    found = on_store(config_file, data, lambda store: store.list_deliveries(wanted)).deliveries
    if as_json:
        print_json([_shown(one) for one in found])
        return
    rows = [[one.id, one.state, str(one.attempt), _time(one.created), one.url] for one in found]
    shared.table(["ID", "STATE", "TRIES", "CREATED", "URL"], rows)


@webhooks.command()
@click.argument("delivery_id")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@shared.store_options
def show(delivery_id: str, as_json: bool, config_file: str | None, data: str | None) -> None:
    """One delivery, and what was tried.

    \b
    Example:
      reynard webhooks show msg_task-llm-1776874481-rj6bs3yb
    """

    async def find(store: Store) -> tuple[Delivery, list[Try]]:
        return await _found(store, delivery_id), await store.tries(delivery_id, rules.TRIES_KEPT)

    found, tries = on_store(config_file, data, find)
    if as_json:
        shown = [{**msgspec.structs.asdict(one), "at": _time(one.at)} for one in tries]
        print_json({**_shown(found), "tries": shown})
        return
    shared.table(["FIELD", "VALUE"], [[name, str(value)] for name, value in _shown(found).items()])
    for one in tries:
        click.echo(f"{_time(one.at)}  {one.status or one.error}  {one.took_ms} ms")


@webhooks.command()
@click.argument("delivery_id")
@shared.store_options
def redeliver(delivery_id: str, config_file: str | None, data: str | None) -> None:
    """Deliver once more, whatever became of it before; a gateway that runs does so within seconds.

    \b
    Example:
      reynard webhooks redeliver msg_task-llm-1776874481-rj6bs3yb
    """

    async def put_back(store: Store) -> None:
        await store.put_back(rules.again(await _found(store, delivery_id), now()))

    on_store(config_file, data, put_back)
    click.echo(f"{delivery_id} is due")


@webhooks.command()
@click.argument("key_id")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@shared.store_options
def secret(key_id: str, as_json: bool, config_file: str | None, data: str | None) -> None:
    """What the webhooks of a key are signed with.

    \b
    Example:
      reynard webhooks secret key-0a1b2c3d4e5f
    """
    key = on_store(config_file, data, lambda store: store.find_key(key_id))
    _show_secrets(key, key_id, as_json, _master(config_file, data))


@webhooks.command()
@click.argument("key_id")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@shared.store_options
def rotate(key_id: str, as_json: bool, config_file: str | None, data: str | None) -> None:
    """Give the webhooks of a key a new secret; the one before signs as well for a day.

    \b
    Example:
      reynard webhooks rotate key-0a1b2c3d4e5f
    """
    from reynard.engine.webhooks import rotate as rotated

    master = _master(config_file, data)  # first: what cannot be shown is not rotated
    _show_secrets(on_store(config_file, data, lambda store: rotated(store, key_id, now())), key_id, as_json, master)


def _master(config_file: str | None, data: str | None) -> bytes:
    """It is not made here: the gateway's user must own it. Raises `MasterUnreadable`."""
    from reynard.bootstrap.data_dir import open_master

    return open_master(Path(shared.load(config_file, data_dir=data).server.data_dir))()


def _show_secrets(key: Any, key_id: str, as_json: bool, master: bytes) -> None:
    from reynard.engine.webhooks import secrets_of

    if key is None:
        raise NotThere(f"there is no key {key_id}; `reynard keys list` shows them")
    found = secrets_of(key, master, now())
    if as_json:
        print_json([msgspec.structs.asdict(one) for one in found])
        return
    for one in found:
        click.echo(one.secret if one.expires is None else f"{one.secret}  until {_time(one.expires)}")


async def _found(store: Store, delivery_id: str) -> Delivery:
    found = await store.find_delivery(delivery_id)
    if found is None:
        raise NotThere(f"there is no delivery {delivery_id}; `reynard webhooks list` shows them")
    return found


def _shown(delivery: Delivery) -> dict[str, Any]:
    """A delivery, times as people read them."""
    fields = msgspec.structs.asdict(delivery)
    due = _time(delivery.due) if delivery.state == "pending" else None
    return {**fields, "created": _time(delivery.created), "due": due}


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
