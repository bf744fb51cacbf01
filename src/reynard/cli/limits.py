"""The limits of a key, as options of the commands that make and change one."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click
from msgspec.structs import replace

from reynard.core.limits import Limits

Command = TypeVar("Command", bound=Callable[..., Any])
MOST: Final = 1_000_000_000
OFF: Final = "none"


class LimitCount(click.ParamType[int]):
    """A whole number from 1; `none` for no limit, which is 0 here."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See the class."""
        text = str(value)
        if text == OFF:
            return 0
        if not (text.isascii() and text.isdigit() and 0 < int(text[:11]) <= MOST):
            self.fail(f"`{value}` is no limit; write a whole number from 1 to {MOST}, or none", param, ctx)
        return int(text)


def limit_options(command: Command) -> Command:
    """`--rpm`, `--tpm`, `--concurrency`: None where they are not given."""
    for name, what in (("concurrency", "Tasks at once"), ("tpm", "Tokens a minute"), ("rpm", "Requests a minute")):
        command = click.option(f"--{name}", type=LimitCount(), help=f"{what}; `none` for no limit.")(command)
    return command


def limits_with(limits: Limits, given: Mapping[str, int | None]) -> Limits:
    """`limits`, changed as the options say."""
    return replace(limits, **{name: number or None for name, number in given.items() if number is not None})
