"""`reynard keys`: the life of API keys. Works on the store itself, also while a gateway runs on it."""

import datetime
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from msgspec.structs import replace

from reynard.cli import settings as shared
from reynard.core import keys as made
from reynard.core.keys import Key
from reynard.core.webhooks import check_callback_url
from reynard.ports.store import Keys

T = TypeVar("T")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class KeyNotFound(Exception):
    """No key of that id."""


class Lifetime(click.ParamType[float | None]):
    """`30d`, `12h`, or `never`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """Seconds; None for ever."""
        if value is None or value == "never":
            return None
        found = re.fullmatch(r"(\d{1,6})([smhdw])", str(value))
        if found is None:
            self.fail(f"`{value}` is not a time; write 30d, 12h, 45m or never", param, ctx)
        return float(found[1]) * SECONDS[found[2]]


@click.group()
def keys() -> None:
    """Make API keys and look after them.

    \b
    Example:
      reynard keys create --name ci --models smollm2-135m --expires 30d
    """


@keys.command()
@click.option("--name", default="", help="What it is for.")
@click.option("--models", help="The only models it may use, separated by commas.")
@click.option("--expires", type=Lifetime(), help="How long it lasts, as 30d.")
@click.option("--group", default="default", help="A word that groups keys; tasks carry it.")
@click.option("--callback-url", help="Who is told of the ends of its tasks, where a request names nobody.")
@click.option("--admin", is_flag=True, help="It may administer the gateway.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@shared.store_options
def create(
    name: str,
    models: str | None,
    expires: float | None,
    group: str,
    callback_url: str | None,
    admin: bool,
    as_json: bool,
    config_file: str | None,
    data: str | None,
) -> None:
    """Make a key; it is printed once, alone on the last line.

    \b
    Example:
      reynard keys create --name ci --expires 30d
    """
    from reynard.bootstrap import SystemChance, SystemClock, new_key

    clock = SystemClock()
    callback = _receiver(callback_url, config_file)
    bound = None if models is None else tuple(filter(None, models.split(",")))
    end = None if expires is None else clock.now() + expires
    fields = {"models": bound, "expires": end, "group": group, "callback_url": callback, "admin": admin}
    secret, key = new_key(SystemChance(), clock, name=name, **fields)
    _with_store(config_file, data, lambda store: store.add_key(key))
    if as_json:
        _print_json({"id": key.id, "key": secret, **_shown(key)})
    else:
        click.echo(f"{key.id} made; the key is shown once:", err=True)
        click.echo(secret)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@shared.store_options
def list_keys(as_json: bool, config_file: str | None, data: str | None) -> None:
    """All keys, oldest first.

    \b
    Example:
      reynard keys list
    """
    found = _with_store(config_file, data, lambda store: store.list_keys())
    if as_json:
        _print_json([_shown(key) for key in found])
        return
    rows = [[key.id, key.hint, key.name or "-", _state(key), ",".join(key.models or ()) or "all"] for key in found]
    shared.table(["ID", "KEY", "NAME", "STATE", "MODELS"], rows)


@keys.command()
@click.argument("key_id")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@shared.store_options
def show(key_id: str, as_json: bool, config_file: str | None, data: str | None) -> None:
    """One key.

    \b
    Example:
      reynard keys show key-0a1b2c3d4e5f
    """

    async def find(store: Keys) -> Key:
        return await _found(store, key_id)

    shown = _shown(_with_store(config_file, data, find))
    if as_json:
        _print_json(shown)
    else:
        shared.table(["FIELD", "VALUE"], [[name, str(value)] for name, value in shown.items()])


@keys.command()
@click.argument("key_id")
@click.option("--name", help="What it is for.")
@click.option("--models", help="The only models it may use, separated by commas; `all` for all.")
@click.option("--expires", type=Lifetime(), help="How long it lasts from now, as 30d; `never`.")
@click.option("--group", help="A word that groups keys.")
@click.option("--callback-url", help="Who is told of the ends of its tasks, where a request names nobody; `none`.")
@shared.store_options
def update(
    key_id: str,
    name: str | None,
    models: str | None,
    expires: float | None,
    group: str | None,
    callback_url: str | None,
    config_file: str | None,
    data: str | None,
) -> None:
    """Change a key.

    \b
    Example:
      reynard keys update key-0a1b2c3d4e5f --models all --expires never
    """
    changes: dict[str, Any] = {field: value for field, value in (("name", name), ("group", group)) if value is not None}
    if models is not None:
        changes["models"] = None if models == "all" else tuple(filter(None, models.split(",")))
    if _was_given("expires"):
        changes["expires"] = None if expires is None else _now() + expires
    if callback_url is not None:
        changes["callback_url"] = _receiver(callback_url, config_file)
    _change(config_file, data, key_id, changes)
    click.echo(f"{key_id} changed")


@keys.command()
@click.argument("key_id")
@shared.store_options
def revoke(key_id: str, config_file: str | None, data: str | None) -> None:
    """End a key, at once, for good.

    \b
    Example:
      reynard keys revoke key-0a1b2c3d4e5f
    """
    _change(config_file, data, key_id, {"revoked": _now()})
    click.echo(f"{key_id} revoked")


@keys.command()
@click.argument("key_id")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@shared.store_options
def rotate(key_id: str, as_json: bool, config_file: str | None, data: str | None) -> None:
    """Give a key a new secret; the old one ends at once. Its tasks stay its own.

    \b
    Example:
      reynard keys rotate key-0a1b2c3d4e5f
    """
    from reynard.bootstrap import SystemChance

    secret = made.make(SystemChance().below)
    _change(config_file, data, key_id, {"digest": made.digest(secret), "hint": made.hint(secret)})
    if as_json:
        _print_json({"id": key_id, "key": secret})
    else:
        click.echo(f"{key_id} has a new secret; it is shown once:", err=True)
        click.echo(secret)


def _receiver(url: str | None, config_file: str | None) -> str | None:
    """A `--callback-url`, by the rules of the settings. Raises `InvalidParam`."""
    if url is None or url == "none":
        return None
    private = shared.load(config_file).webhooks.allow_private_networks
    check_callback_url(url, "--callback-url", private=private)
    return url


def _with_store(config_file: str | None, data: str | None, work: Callable[[Keys], Awaitable[T]]) -> T:
    from reynard.bootstrap import open_store

    async def worked() -> T:
        store = open_store(Path(shared.load(config_file, data_dir=data).server.data_dir))
        try:
            return await work(store)
        finally:
            await store.close()

    return shared.run(worked())


async def _found(store: Keys, key_id: str) -> Key:
    for key in await store.list_keys():
        if key.id == key_id:
            return key
    raise KeyNotFound(f"there is no key {key_id}; `reynard keys list` shows them")


def _change(config_file: str | None, data: str | None, key_id: str, changes: dict[str, Any]) -> None:
    async def change(store: Keys) -> None:
        key = await _found(store, key_id)
        while not await store.update_key(replace(key, **changes), was=key):
            key = await _found(store, key_id)  # somebody else changed it just now

    _with_store(config_file, data, change)


def _shown(key: Key) -> dict[str, Any]:
    """A key without its digest, times as people read them."""
    fields = {name: value for name, value in msgspec.structs.asdict(key).items() if name != "digest"}
    for name in ("created", "expires", "revoked", "rotated"):
        if fields[name] is not None:
            fields[name] = datetime.datetime.fromtimestamp(fields[name], datetime.UTC).isoformat(timespec="seconds")
    return {**fields, "state": _state(key)}


def _state(key: Key) -> str:
    if key.revoked is not None:
        return "revoked"
    return "good" if key.is_good(_now()) else "expired"


def _now() -> float:
    return datetime.datetime.now(datetime.UTC).timestamp()


def _was_given(option: str) -> bool:
    source = click.get_current_context().get_parameter_source(option)
    return source is click.core.ParameterSource.COMMANDLINE


def _print_json(value: Any) -> None:
    click.echo(msgspec.json.encode(value))
