"""The operator's file, and where in it something is wrong."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

KeyPath = tuple[str | int, ...]
Table = dict[str, Any]

_ROW = re.compile(r"\s*\[\[\s*([\w-]+)\s*\]\]")
_HEADER = re.compile(r"\s*\[\s*([\w.-]+)\s*\]")
_KEY = re.compile(r"\s*([\w.\s-]+?)\s*=")


class Fault(Struct, frozen=True):
    """One thing that is wrong with the settings."""

    where: str  # file and line, or the variable
    key: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.problem}" if self.key else f"{self.where}: {self.problem}"


class ConfigError(Exception):
    """The settings cannot be used; every fault in them."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


class Source:
    """The operator's file, its text kept to find the line of a key."""

    def __init__(self, name: str, text: str, table: Table) -> None:
        self._name = name
        self._text = text
        self.table = table

    @classmethod
    def of(cls, file: Path | None) -> "Source":
        """Reads `file`. Raises `ConfigError` if it is not there, or no TOML."""
        if file is None:
            return cls("settings", "", {})
        try:
            text = file.read_text("utf-8")
            return cls(str(file), text, tomllib.loads(text))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError([Fault(str(file), "", f"cannot be read: {reason}")]) from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError([Fault(str(file), "", f"is not TOML: {error}")]) from None

    def fault(self, path: KeyPath, problem: str) -> Fault:
        """`problem` at `path`, with its line."""
        key = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
        return Fault(f"{self._name}:{self._line(path)}" if self._text else self._name, key, problem)

    def _line(self, path: KeyPath) -> int:
        """The line of the key that comes closest to `path`."""
        found, closest = 1, 0
        for number, here in self._keys():
            if len(here) > closest and path[: len(here)] == here:
                found, closest = number, len(here)
        return found

    def _keys(self) -> Iterator[tuple[int, KeyPath]]:
        """Line by line, which key is written there."""
        table: KeyPath = ()
        count: dict[str, int] = {}
        for number, line in enumerate(self._text.splitlines(), 1):
            if row := _ROW.match(line):
                count[row[1]] = count.get(row[1], -1) + 1
                table = (row[1], count[row[1]])
                yield number, table
            elif header := _HEADER.match(line):
                first, *inner = header[1].split(".")
                table = (first, count[first], *inner) if first in count else (first, *inner)
                yield number, table
            elif key := _KEY.match(line):
                yield number, (*table, *key[1].strip().split("."))
