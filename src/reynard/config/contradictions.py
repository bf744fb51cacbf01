"""What is wrong with settings that are each good by themselves."""

import re
from collections.abc import Iterator, Mapping
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from reynard.config.checks import meant
from reynard.config.secrets import secrets_of
from reynard.config.settings import ChannelSettings, Provider
from reynard.config.source import KeyPath, Table
from reynard.core.catalogue import Model
from reynard.engine.retention import Periods
from reynard.providers import google

Row = TypeVar("Row", bound=Struct)

_BLANK = re.compile(r"\b(?:LOCATION|PROJECT|RESOURCE)\b")

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


def contradictions(
    table: Table, ships: Table, providers: Mapping[str, Table], environment: Mapping[str, str]
) -> Iterator[tuple[KeyPath, str]]:
    """What each value by itself does not show; of the rows that are good in themselves."""
    yield from _retention_faults(table.get("retention"))
    channels, models = _good_rows(table, "channels", ChannelSettings), _good_rows(table, "models", Model)
    yield from _twice("channels", "name", [(index, channel.name) for index, channel in channels])
    yield from _twice("models", "id", [(index, model.id) for index, model in models])
    provided = _good_rows(table, "providers", Provider)
    yield from _twice("providers", "id", [(index, provider.id) for index, provider in provided])
    known = {row["id"] for row in ships["models"]} | {model.id for _, model in models}
    for index, model in models:
        for name in model.fallbacks:
            if name not in known:
                likely = meant(name, sorted(known))
                yield ("models", index, "fallbacks"), f"`{name}` is not in the catalogue{likely}"
    for index, channel in channels:
        if channel.provider is not None and channel.provider not in providers:
            likely = meant(channel.provider, sorted(providers))
            yield ("channels", index, "provider"), f"`{channel.provider}` is not a provider{likely}"
        for key, problem in _channel_faults(channel, known, environment):
            yield ("channels", index, key), problem


def _retention_faults(written: object) -> Iterator[tuple[KeyPath, str]]:
    try:
        periods = msgspec.convert({} if written is None else written, Periods)
    except msgspec.ValidationError:
        return  # told already, with its line
    if periods.tasks_s > periods.ledger_s:
        key = "tasks_s" if isinstance(written, dict) and "tasks_s" in written else "ledger_s"
        yield ("retention", key), "tasks_s must not exceed ledger_s: what a task cost is kept as long as the task"


def _channel_faults(
    channel: ChannelSettings, known: set[str], environment: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    for name in [model if isinstance(model, str) else model.id for model in channel.models]:
        if name not in known:
            likely = meant(name, sorted(known))
            yield "models", f"`{name}` is not in the catalogue{likely}; or add a [[models]] row"
    problem = _address_fault(channel)
    if problem is not None:
        yield "base_url", problem
    if not _is_path(channel.path):
        yield "path", "must begin with /, and may hold {model} and {verb} in braces"
    try:
        keys = secrets_of(channel, environment)
    except KeyError as error:
        name = error.args[0] if _VARIABLE.fullmatch(error.args[0]) else "variable of this name"  # a key, perhaps
        yield "api_key", f"the environment has no {name}; set it, or remove the channel"
    except (OSError, UnicodeDecodeError):
        yield "api_key", "the file cannot be read"
    else:
        problem = _key_fault(channel, keys)
        if problem is not None:
            yield "api_key", problem


def _address_fault(channel: ChannelSettings) -> str | None:
    """What is wrong with the address; it is not quoted, for it may hold a password."""
    if channel.dialect == "simulated" or channel.base_url.startswith("local:"):
        return None
    if not channel.base_url.startswith(("http://", "https://")):
        return "must be an http(s) address, as `https://api.openai.com/v1`"
    if blanks := sorted(set(_BLANK.findall(channel.base_url))):
        return f"write your own in place of {', '.join(blanks)}"
    if not _has_sound_port(channel.base_url):
        return "is no address; in a user's name or password, write %2F for a slash and %40 for an @"
    return None


def _has_sound_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _is_path(path: str) -> bool:
    try:
        return path.format(model="", verb="")[:1] in ("", "/")
    except (KeyError, IndexError, ValueError, AttributeError):
        return False


def _key_fault(channel: ChannelSettings, keys: tuple[str, ...]) -> str | None:
    """What is wrong with the keys, for the way in which the channel shows them."""
    match channel.auth:
        case "none" if keys:
            return 'has no use with auth = "none"; remove one of them'
        case "google" if len(keys) > 1:
            return "a channel has one Google account; write a channel for each"
        case "google":
            return google.fault(keys[0] if keys else None)
        case _:
            return None


def _good_rows(table: Table, section: str, kind: type[Row]) -> list[tuple[int, Row]]:
    rows = table.get(section)
    good: list[tuple[int, Row]] = []
    for index, row in enumerate(rows if isinstance(rows, list) else ()):
        try:
            good.append((index, msgspec.convert(row, kind)))
        except msgspec.ValidationError:
            continue  # told already, with its line
    return good


def _twice(section: str, key: str, names: list[tuple[int, str]]) -> Iterator[tuple[KeyPath, str]]:
    seen: set[str] = set()
    for index, name in names:
        if name in seen:
            yield (section, index, key), f"`{name}` is taken by another row"
        seen.add(name)
