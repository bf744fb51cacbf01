"""What several commands share: where the settings and the gateway are, and how to show a table."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import uvloop
from msgspec.structs import replace

from reynard import config
from reynard.config import Settings

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

ENVIRONMENT = os.environ  # noqa: TID251 the one reading; everything below gets it as an argument


def store_options(command: Command) -> Command:
    """`--config` and `--data`, as `serve` has them."""
    command = click.option("--data", type=click.Path(file_okay=False), help="The data directory.")(command)
    return click.option("--config", "config_file", type=click.Path(dir_okay=False), help="The settings file (TOML).")(
        command
    )


def load(config_file: str | None, **server: Any) -> Settings:
    """The settings, with what the command line says of the server on top. Raises `ConfigError`."""
    settings = config.load(None if config_file is None else Path(config_file), ENVIRONMENT)
    said = {name: value for name, value in server.items() if value is not None}
    return replace(settings, server=replace(settings.server, **said))


def run(work: Coroutine[Any, Any, T]) -> T:
    """`work`, to its end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def gateway_address() -> tuple[str, str]:
    """`REYNARD_URL` and `REYNARD_API_KEY`. Raises `click.UsageError` without a key."""
    key = ENVIRONMENT.get("REYNARD_API_KEY", "")
    if not key:
        raise click.UsageError("set REYNARD_API_KEY to a key of the gateway (`reynard keys create` makes one)")
    return ENVIRONMENT.get("REYNARD_URL") or "http://127.0.0.1:8080", key


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns, headings dimmed."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for index, row in enumerate([headings, *rows]):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.secho(line, dim=index == 0)
