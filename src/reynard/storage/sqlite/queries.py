"""The statements of `queries.sql`, by name."""

import re
import sqlite3
from collections.abc import Iterator
from importlib.resources import files

_NAMED = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load(resource: str = "queries.sql") -> dict[str, str]:
    """Name → statement."""
    parts = _NAMED.split(read(resource))[1:]
    return {name: statement.strip().rstrip(";") for name, statement in zip(parts[::2], parts[1::2], strict=True)}


def statements(resource: str) -> Iterator[str]:
    """The statements of a script, one by one, so that they fit into a transaction of the caller's."""
    statement = ""
    for line in read(resource).splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def read(resource: str) -> str:
    """The text of a file beside this module."""
    return files(__package__).joinpath(resource).read_text("utf-8")
