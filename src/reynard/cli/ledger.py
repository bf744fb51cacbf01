"""`reynard ledger`: the credits of all keys, entry by entry; on the store itself, also while a gateway runs on it."""

import datetime
import itertools
import sys
from typing import Any, Final

import click
import msgspec

from reynard.cli import settings as shared
from reynard.cli.store import found, on_store, print_json
from reynard.core.ledger import Entry, in_credits, shown
from reynard.ports.store import Fault, Store, Told

MOST_FAULTS: Final = 1_000
MOST_LISTED: Final = 10_000


@click.group()
def ledger() -> None:
    """Look into the ledger of credits, and check it.

    \b
    Example:
      reynard ledger verify
    """


@ledger.command("list")
@click.argument("key_id")
@click.option("--limit", type=click.IntRange(1, MOST_LISTED), default=50, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@shared.store_options
def list_entries(key_id: str, limit: int, as_json: bool, config_file: str | None, data: str | None) -> None:
    """The entries of a key, newest first.

    \b
    Example:
      reynard ledger list key-0a1b2c3d4e5f
    """

    async def entries(store: Store) -> list[Entry]:
        await found(store, key_id)
        return list(await store.entries(key_id, limit))

    listed = on_store(config_file, data, entries)
    if as_json:
        print_json([_shown(entry) for entry in listed])
    else:
        shared.table(["TIME", "KIND", "AMOUNT", "COST", "TASK", "NOTE"], [_row(entry) for entry in listed])


@ledger.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@shared.store_options
def verify(as_json: bool, config_file: str | None, data: str | None) -> None:
    """Add up the whole ledger, and compare: accounts, holds and their ends, tasks, bills, usage.

    Prints what is wrong, and ends with code 1 if anything is. What was correct when it began is told as correct: it
    may run beside a gateway.

    \b
    Example:
      reynard ledger verify
    """

    async def audit(store: Store) -> list[Fault]:
        return list(itertools.islice(store.audit(_progress(hidden=as_json)), MOST_FAULTS))

    faults = on_store(config_file, data, audit)
    if as_json:
        print_json({"good": not faults, "faults": [msgspec.structs.asdict(fault) for fault in faults]})
    else:
        _tell(faults)
    if faults:
        sys.exit(1)


def _progress(*, hidden: bool) -> Told:
    """Shows how far it is, to whoever watches."""

    def told(done: int, of: int) -> None:
        click.echo(f"\r{100 * done // of:>3} %", err=True, nl=done == of)

    return (lambda done, of: None) if hidden or not sys.stderr.isatty() else told


def _tell(faults: list[Fault]) -> None:
    for fault in faults:
        about = fault.key_id if fault.task_id is None else f"{fault.key_id}, {fault.task_id}"
        click.secho(f"{about}: {fault.message}", fg="red")
    if not faults:
        click.secho("the ledger is correct", fg="green")
    elif len(faults) == MOST_FAULTS:
        click.echo(f"these are the first {MOST_FAULTS}; there may be more", err=True)


def _shown(entry: Entry) -> dict[str, Any]:
    amounts = {"at": _time(entry), "amount": in_credits(entry.amount), "cost": in_credits(entry.cost)}
    return {**msgspec.structs.asdict(entry), **amounts}


def _row(entry: Entry) -> list[str]:
    cost = shown(entry.cost) if entry.cost else "-"
    return [_time(entry), entry.kind, shown(entry.amount), cost, entry.task_id or "-", entry.note]


def _time(entry: Entry) -> str:
    return datetime.datetime.fromtimestamp(entry.at, datetime.UTC).isoformat(timespec="seconds")
