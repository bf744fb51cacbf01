"""What commands that work on the store itself share; they may, also while a gateway runs on it."""

import datetime
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from reynard.cli import settings as shared
from reynard.core.keys import Key
from reynard.core.ledger import Account, Credits, amount_of, in_credits
from reynard.ports.store import Keys, Store

T = TypeVar("T")


class KeyNotFound(Exception):
    """No key of that id."""


class NoStore(Exception):
    """Nothing is kept in the data directory: most likely another one is meant."""


class CreditAmount(click.ParamType[int]):
    """`25`, `-0.5`: credits, as micro-credits."""

    name = "credits"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Exact."""
        if isinstance(value, int):
            return value
        try:
            return amount_of(str(value))
        except ValueError as error:
            self.fail(f"`{value}` is no amount; {error}", param, ctx)


def on_store(config_file: str | None, data: str | None, work: Callable[[Store], Awaitable[T]]) -> T:
    """What `work` gives, with the store of the settings open. Raises `NoStore`."""
    folder = _folder(config_file, data)
    if not _has_store(folder):
        raise NoStore(f"there is no store in {folder}; check --data, or make one with `reynard keys create`")
    return _worked(folder, work)


def on_new_store(config_file: str | None, data: str | None, work: Callable[[Store], Awaitable[T]]) -> T:
    """The same; where there is no store, one is made, and stderr is told."""
    folder = _folder(config_file, data)
    if not _has_store(folder):
        click.echo(f"a new store in {folder}", err=True)
    return _worked(folder, work)


def _folder(config_file: str | None, data: str | None) -> Path:
    return Path(shared.load(config_file, data_dir=data).server.data_dir)


def _has_store(folder: Path) -> bool:
    from reynard.bootstrap.data_dir import STORE_FILE

    return (folder / STORE_FILE).exists()


def _worked(folder: Path, work: Callable[[Store], Awaitable[T]]) -> T:
    from reynard.bootstrap.data_dir import open_store

    async def worked() -> T:
        store = open_store(folder)
        try:
            return await work(store)
        finally:
            await store.close()

    return shared.run(worked())


async def found(store: Keys, key_id: str) -> Key:
    """The key. Raises `KeyNotFound`."""
    key = await store.find_key(key_id)
    if key is None:
        raise KeyNotFound(f"there is no key {key_id}; `reynard keys list` shows them")
    return key


def change(config_file: str | None, data: str | None, key_id: str, changed: Callable[[Key], Key]) -> None:
    """Some fields of a key, whoever else changes others. Raises `KeyNotFound`."""

    async def work(store: Store) -> None:
        key = await found(store, key_id)
        while not await store.update_key(changed(key), was=key):
            key = await found(store, key_id)  # somebody else changed it just now

    on_store(config_file, data, work)


def credits_of(account: Account) -> dict[str, Credits]:
    """Its figures in credits, by name."""
    return {name: in_credits(amount) for name, amount in msgspec.structs.asdict(account).items()}


def now() -> float:
    """Unix seconds."""
    return datetime.datetime.now(datetime.UTC).timestamp()


def print_json(value: Any) -> None:
    """On a line of its own."""
    click.echo(msgspec.json.encode(value))
