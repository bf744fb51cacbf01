"""The statements of `queries.sql`, by name."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

_NAMED = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load(resource: str = "queries.sql") -> dict[str, str]:
    """Name → statement. Raises `ValueError` for two of one name."""
    parts = _NAMED.split(read(resource))[1:]
    named = {name: statement.strip().rstrip(";") for name, statement in zip(parts[::2], parts[1::2], strict=True)}
    if len(named) < len(parts) // 2:
        raise ValueError(f"`{resource}` has two statements of one name")
    return named


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
    return (Path(__file__).parent / resource).read_text("utf-8")
