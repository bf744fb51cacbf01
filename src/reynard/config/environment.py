"""`REYNARD_SERVER__PORT=8080`: the environment on top of the file."""

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from reynard.config.checks import meant, mismatch
from reynard.config.settings import Settings
from reynard.config.source import KeyPath, Table

PREFIX: Final = "REYNARD_"


def variables(environment: Mapping[str, str]) -> Iterator[tuple[tuple[str, str], str]]:
    """`REYNARD_SERVER__PORT=8080` → `("server", "port")`."""
    for variable, text in environment.items():
        section, separator, key = variable.removeprefix(PREFIX).lower().partition("__")
        if variable.startswith(PREFIX) and separator:
            yield (section, key), text


def override(table: Table, variables: Mapping[tuple[str, str], str]) -> Iterator[tuple[KeyPath, str]]:
    """Puts the variables into `table`, and tells what is wrong with them."""
    sections = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    for (section, key), text in variables.items():
        fields = _settings_of(sections.get(section))
        if key not in fields:
            known = [variable_of((name, field)) for name, kind in sections.items() for field in _settings_of(kind)]
            yield (section, key), f"is not a setting{meant(variable_of((section, key)), known)}"
            continue
        value = _value(text, fields[key])
        problem = mismatch(fields[key], value)
        if problem is not None:
            yield (section, key), problem
        written = table.get(section, {})
        if isinstance(written, dict):
            table[section] = {**written, key: value}


def _settings_of(section: Any) -> dict[str, Any]:
    """The settings of a section and their types; none of what is no table."""
    if not (isinstance(section, type) and issubclass(section, Struct)):
        return {}
    return {field.name: field.type for field in msgspec.structs.fields(section)}


def _value(text: str, kind: Any) -> Any:
    """`text` as TOML has it, or as it stands."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return text if mismatch(kind, value) is not None and mismatch(kind, text) is None else value


def variable_of(path: KeyPath) -> str:
    """The variable of a setting."""
    return f"{PREFIX}{'__'.join(map(str, path))}".upper()
