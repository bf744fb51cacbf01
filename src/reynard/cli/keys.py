"""`reynard keys`: the life of API keys. Works on the store itself, also while a gateway runs on it."""

import datetime
from typing import Any

import click
import msgspec
from msgspec.structs import replace

from reynard.cli import settings as shared
from reynard.cli.fields import Lifetime, ModelNames, bound_to, in_words
from reynard.cli.limits import limit_options, limits_with
from reynard.cli.store import CreditAmount, change, credits_of, found, now, on_new_store, on_store, print_json
from reynard.core import keys as made
from reynard.core.keys import Key
from reynard.core.ledger import Account, Entry, shown
from reynard.core.limits import Limits
from reynard.core.webhooks import check_callback_url
from reynard.ports.store import Store

NOT_SHOWN = ("digest", "signing", "limits")  # of the limits, each is shown by itself
HEADINGS = ["ID", "KEY", "NAME", "STATE", "CREDITS", "RESERVED", "USED", "MODELS"]


class KeyRevoked(Exception):
    """It cannot be used again."""


@click.group()
def keys() -> None:
    """Make API keys and look after them.

    \b
    Example:
      reynard keys create --name ci --models smollm2-135m --expires 30d --credits 25
    """


@keys.command()
@click.option("--name", default="", help="What it is for.")
@click.option("--models", type=ModelNames(), help="The only models it may use, separated by commas; `all` for all.")
@click.option("--expires", type=Lifetime(), help="How long it lasts, as 30d.")
@click.option("--group", default="default", help="A word that groups keys; tasks carry it.")
@click.option("--callback-url", help="Who is told of the ends of its tasks, where a request names nobody.")
@click.option("--admin", is_flag=True, help="It may administer the gateway.")
@click.option("--credits", "granted", type=CreditAmount(), help="What it may use up, as 25; else no limit.")
@limit_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@shared.store_options
def create(
    name: str,
    models: tuple[str, ...] | None,
    expires: float | None,
    group: str,
    callback_url: str | None,
    admin: bool,
    granted: int | None,
    as_json: bool,
    config_file: str | None,
    data: str | None,
    **limits: int | None,
) -> None:
    """Make a key; it is printed once, alone on the last line.

    \b
    Example:
      reynard keys create --name ci --expires 30d --credits 25 --rpm 60
    """
    from reynard.bootstrap.data_dir import new_key
    from reynard.bootstrap.system import SystemChance, SystemClock

    if granted is not None and granted < 0:
        raise click.BadParameter("a new key cannot owe anything", param_hint="--credits")
    clock = SystemClock()
    callback = _receiver(callback_url, config_file)
    bound = bound_to(models, config_file)
    end = None if expires is None else clock.now() + expires
    fields = {
        "models": bound,
        "expires": end,
        "group": group,
        "callback_url": callback,
        "admin": admin,
        "limited": granted is not None,
        "limits": limits_with(Limits(), limits),
    }
    secret, key = new_key(SystemChance(), clock, name=name, **fields)

    async def add(store: Store) -> Account:
        await store.add_key(key)
        if granted:  # a key whose grant does not come, can use nothing up
            await store.post(Entry(key_id=key.id, kind="grant", amount=granted, at=key.created, note="at its creation"))
        return await store.account(key.id)

    account = on_new_store(config_file, data, add)
    if as_json:
        print_json({"id": key.id, "key": secret, **_shown(key, account)})
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

    async def listed(store: Store) -> list[tuple[Key, Account]]:
        accounts = await store.accounts()
        return [(key, accounts.get(key.id, Account())) for key in await store.list_keys()]

    rows = on_store(config_file, data, listed)
    if as_json:
        print_json([_shown(key, account) for key, account in rows])
    else:
        shared.table(HEADINGS, [_row(key, account) for key, account in rows])


@keys.command()
@click.argument("key_id")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@shared.store_options
def show(key_id: str, as_json: bool, config_file: str | None, data: str | None) -> None:
    """One key, with its credits: the balance that it may still reserve, what is reserved, and what is used.

    \b
    Example:
      reynard keys show key-0a1b2c3d4e5f
    """

    async def find(store: Store) -> tuple[Key, Account]:
        return await found(store, key_id), await store.account(key_id)

    fields = _shown(*on_store(config_file, data, find))
    if as_json:
        print_json(fields)
    else:
        shared.table(["FIELD", "VALUE"], list(in_words(fields)))


@keys.command()
@click.argument("key_id")
@click.option("--name", help="What it is for.")
@click.option("--models", type=ModelNames(), help="The only models it may use, separated by commas; `all` for all.")
@click.option("--expires", type=Lifetime(), help="How long it lasts from now, as 30d; `never`.")
@click.option("--group", help="A word that groups keys.")
@click.option("--callback-url", help="Who is told of the ends of its tasks, where a request names nobody; `none`.")
@click.option("--limited/--unlimited", default=None, help="Whether its balance must cover what it asks for.")
@limit_options
@shared.store_options
def update(
    key_id: str,
    name: str | None,
    models: tuple[str, ...] | None,
    expires: float | None,
    group: str | None,
    callback_url: str | None,
    limited: bool | None,
    config_file: str | None,
    data: str | None,
    **limits: int | None,
) -> None:
    """Change a key. Its balance is changed by `reynard keys credit`.

    \b
    Example:
      reynard keys update key-0a1b2c3d4e5f --models all --expires never --unlimited --rpm none
    """
    given = {"name": name, "group": group, "limited": limited}
    changes: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    if models is not None:
        changes["models"] = bound_to(models, config_file)
    if _was_given("expires"):
        changes["expires"] = None if expires is None else now() + expires
    if callback_url is not None:
        changes["callback_url"] = _receiver(callback_url, config_file)
    if not changes and not any(limit is not None for limit in limits.values()):
        raise click.UsageError("say what to change; `reynard keys update --help` lists what can be")
    change(
        *(config_file, data, key_id),
        lambda key: replace(key, **changes, limits=limits_with(key.limits, limits)),
    )
    click.echo(f"{key_id} changed")


@keys.command(context_settings={"ignore_unknown_options": True})  # -5 is an amount
@click.argument("key_id")
@click.argument("amount", type=CreditAmount())
@click.option("--note", default="", help="Why; it is kept with the entry.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@shared.store_options
def credit(key_id: str, amount: int, note: str, as_json: bool, config_file: str | None, data: str | None) -> None:
    """Give a key credits; an amount below zero takes some back. Prints the new balance.

    \b
    Example:
      reynard keys credit key-0a1b2c3d4e5f 25 --note "invoice 7"
      reynard keys credit key-0a1b2c3d4e5f -2.5
    """

    async def grant(store: Store) -> tuple[Key, Account]:
        key = await found(store, key_id)
        await store.post(Entry(key_id=key_id, kind="grant", amount=amount, at=now(), note=note))
        return key, await store.account(key_id)

    key, account = on_store(config_file, data, grant)
    if as_json:
        print_json({"id": key_id, **credits_of(account)})
    else:
        click.echo(f"{key_id} has {shown(account.balance)} credits")
    if not key.limited:
        click.echo(f"it has no limit: `reynard keys update {key_id} --limited` sets its balance as one", err=True)


@keys.command()
@click.argument("key_id")
@shared.store_options
def revoke(key_id: str, config_file: str | None, data: str | None) -> None:
    """End a key, at once, for good.

    \b
    Example:
      reynard keys revoke key-0a1b2c3d4e5f
    """
    change(config_file, data, key_id, lambda key: replace(key, revoked=now()))
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
    from reynard.bootstrap.system import SystemChance

    secret = made.make(SystemChance().below)

    def changed(key: Key) -> Key:
        if key.revoked is not None:
            raise KeyRevoked(f"{key_id} is revoked, for good; `reynard keys create` makes another")
        return replace(key, digest=made.digest(secret), hint=made.hint(secret))

    change(config_file, data, key_id, changed)
    if as_json:
        print_json({"id": key_id, "key": secret})
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


def _shown(key: Key, account: Account) -> dict[str, Any]:
    """A key without what is secret, times and credits as people read them."""
    fields = {name: value for name, value in msgspec.structs.asdict(key).items() if name not in NOT_SHOWN}
    for name in ("created", "expires", "revoked", "rotated"):
        if fields[name] is not None:
            fields[name] = datetime.datetime.fromtimestamp(fields[name], datetime.UTC).isoformat(timespec="seconds")
    fields["previous_webhook_secret_until"] = fields.pop("rotated")
    return {**fields, **msgspec.structs.asdict(key.limits), "state": _state(key), **credits_of(account)}


def _row(key: Key, account: Account) -> list[str]:
    models = ",".join(key.models or ()) or "all"
    balance = shown(account.balance) if key.limited else "unlimited"
    return [
        *(key.id, key.hint, key.name or "-", _state(key)),
        *(balance, shown(account.reserved), shown(account.used), models),
    ]


def _state(key: Key) -> str:
    if key.revoked is not None:
        return "revoked"
    return "good" if key.is_good(now()) else "expired"


def _was_given(option: str) -> bool:
    source = click.get_current_context().get_parameter_source(option)
    return source is click.core.ParameterSource.COMMANDLINE
