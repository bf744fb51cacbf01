"""Rows on top of rows: the operator's, what ships, and what all channels of a provider have in common."""

from collections.abc import Mapping
from typing import Final

import msgspec

from reynard.config.checks import faults
from reynard.config.settings import Provider
from reynard.config.source import Table

NAMED_BY: Final = {"providers": "id", "channels": "name", "models": "id"}
"""The sections that are lists of rows, and the field that names a row."""


def providers(table: Table, ships: Table) -> dict[str, Table]:
    """The provider rows in force by id: the operator's on top of those that ship, without what is wrong in them."""
    rows = {row["id"]: row for row in ships["providers"]}
    fields = {field.name: field.type for field in msgspec.structs.fields(Provider)}
    written = table.get("providers")
    for row in written if isinstance(written, list) else ():
        if isinstance(row, dict) and isinstance(row.get("id"), str):
            sound = {
                key: value for key, value in row.items() if key in fields and not any(faults(fields[key], value, ()))
            }
            rows[row["id"]] = _on_top(sound, rows.get(row["id"], {}))
    return rows


def _on_top(row: Table, below: Table) -> Table:
    """`row`, and what it leaves out as it is in `below`; quirks one by one."""
    quirks = {**below.get("quirks", {}), **row["quirks"]} if isinstance(row.get("quirks"), dict) else None
    return {**below, **row} if quirks is None else {**below, **row, "quirks": quirks}


def provided(row: Table, providers: Mapping[str, Table]) -> Table:
    """A channel's row on top of its provider's. A provider that is unknown has a fault of its own, and no others."""
    if "provider" not in row:
        return row
    provider = providers.get(str(row["provider"]), {"dialect": "simulated"})
    return _on_top(row, {key: value for key, value in provider.items() if key != "id"})


def completed(table: Table, ships: Table, providers: Mapping[str, Table]) -> Table:
    """The operator's rows, each on top of the shipped row of the same name: what it leaves out stays as it ships, or as
    its provider has it."""
    whole = dict(table)
    for section, name in NAMED_BY.items():
        shipped = {row[name]: row for row in ships[section]}
        rows = table.get(section)
        if isinstance(rows, list):
            whole[section] = [
                _whole_row(section, row, shipped.get(str(row.get(name)), {}), providers)
                if isinstance(row, dict)
                else row
                for row in rows
            ]
    return whole


def _whole_row(section: str, row: Table, shipped: Table, providers: Mapping[str, Table]) -> Table:
    match section:
        case "providers":
            return _on_top(row, shipped)
        case "channels":
            return provided({**shipped, **row}, providers)
        case _:
            return {**shipped, **row}


def with_shipped(table: Table, ships: Table, environment: Mapping[str, str]) -> Table:
    """The shipped rows that the operator did not write, too; a shipped channel is in force where its key is set."""
    whole = dict(table)
    for section, name in NAMED_BY.items():
        own = {row[name]: row for row in table.get(section, ())}
        kept = [own.pop(row[name], row) for row in ships[section]]
        whole[section] = [*kept, *own.values()]
    written = {row["name"] for row in table.get("channels", ())}
    whole["channels"] = [row for row in whole["channels"] if row["name"] in written or _has_key(row, environment)]
    return whole


def _has_key(row: Table, environment: Mapping[str, str]) -> bool:
    reference = str(row.get("api_key", ""))
    return not reference.startswith("env:") or bool(environment.get(reference[4:]))
