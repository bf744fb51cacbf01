"""The fields of a key, as options take them and as people read them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import click
import msgspec

from reynard.cli import settings as shared

SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
EVERY_MODEL: Final = ("all",)
SPOKEN: Final[Mapping[Any, str]] = {True: "yes", False: "no", "": "-"}
OF_NONE: Final = {"models": "all", "expires": "never", "revoked": "no"}


class Lifetime(click.ParamType[float | None]):
    """`30d`, `12h`, or `never`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """Seconds, more than none; None for ever."""
        if value is None or value == "never":
            return None
        said = re.fullmatch(r"(\d{1,6})([smhdw])", str(value))
        if said is None:
            self.fail(f"`{value}` is not a time; write 30d, 12h, 45m or never", param, ctx)
        if int(said[1]) == 0:
            self.fail(f"`{value}` is no time at all; `reynard keys revoke` ends a key", param, ctx)
        return float(said[1]) * SECONDS[said[2]]


class ModelNames(click.ParamType[tuple[str, ...]]):
    """`gpt-5.5,gpt-5.4`, or `all`."""

    name = "models"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """One name at least."""
        names = tuple(filter(None, (name.strip() for name in str(value).split(","))))
        if not names:
            self.fail("it names no model; write names with commas between, or all", param, ctx)
        if len(names) > 1 and EVERY_MODEL[0] in names:
            self.fail("`all` stands alone", param, ctx)
        return names


def bound_to(names: tuple[str, ...] | None, config_file: str | None) -> tuple[str, ...] | None:
    """The models of a key; None for all. Of names that the catalogue does not have, stderr is told."""
    if names is None or names == EVERY_MODEL:
        return None
    _warn_of_unknown(names, config_file)
    return names


def in_words(fields: Mapping[str, Any]) -> Iterable[list[str]]:
    """Rows of a table."""
    for name, value in fields.items():
        yield [name.replace("_", " "), OF_NONE.get(name, "none") if value is None else _text(value)]


def _warn_of_unknown(names: tuple[str, ...], config_file: str | None) -> None:
    known = {model.id for model in shared.load(config_file).models}
    unknown = [f"`{name}`" for name in names if name not in known]
    if unknown:
        click.echo(f"not in the catalogue, as it is now: {', '.join(unknown)}", err=True)


def _text(value: Any) -> str:
    match value:
        case bool() | "":
            return SPOKEN[value]
        case list() | tuple():
            return ",".join(value)
        case msgspec.Raw():
            return bytes(value).decode()
        case _:
            return str(value)
