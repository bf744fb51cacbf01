"""Settings, read once: what ships, the operator's file, the environment, in this order (TOML).

Every fault of a file is found and told together, each with its line, its key, and what would be right.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from reynard.core.catalogue import Model
from reynard.core.channels import Auth, Carried, Channel, ChannelTraits, Dialect, Mapped, Quirks, Seconds
from reynard.core.messages import Name
from reynard.engine.worker import Capacity
from reynard.providers import google

PREFIX: Final = "REYNARD_"
NAMED_BY: Final = {"providers": "id", "channels": "name", "models": "id"}
KeyPath = tuple[str | int, ...]
Table = dict[str, Any]
Row = TypeVar("Row", bound=Struct)

_ROW = re.compile(r"\s*\[\[\s*([\w-]+)\s*\]\]")
_HEADER = re.compile(r"\s*\[\s*([\w.-]+)\s*\]")
_KEY = re.compile(r"\s*([\w.\s-]+?)\s*=")
_BLANK = re.compile(r"\b(?:LOCATION|PROJECT|RESOURCE)\b")
Port = Annotated[int, Meta(ge=0, le=65535)]
Bytes = Annotated[int, Meta(ge=1)]


class _Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class ServerSettings(_Section, frozen=True, kw_only=True):
    """Where it listens, and what it takes. `drain_s`: how long a stop waits for what runs to come to its end."""

    host: str = "127.0.0.1"
    port: Port = 8080
    data_dir: str = "./reynard-data"
    public_url: Annotated[str, Meta(pattern="^https?://[^/]")] = "http://localhost:8080"
    max_body_bytes: Bytes = 64_000_000
    cors_origins: tuple[str, ...] = ("*",)
    drain_s: Annotated[float, Meta(ge=0)] = 8.0


class StoreSettings(_Section, frozen=True, kw_only=True):
    """The durable store."""

    url: Annotated[str, Meta(pattern="^sqlite$")] = "sqlite"


class ChunkSettings(_Section, frozen=True, kw_only=True):
    """The chunk log. `max_bytes` bounds all streams together, `max_stream_bytes` each."""

    url: Annotated[str, Meta(pattern="^memory$")] = "memory"
    retention_s: Seconds = 900
    max_bytes: Bytes = 512_000_000
    max_stream_bytes: Bytes = 64_000_000


class FileSettings(_Section, frozen=True, kw_only=True):
    """Uploaded files: where, for how long, how much a key may keep, and how large one may be."""

    url: Annotated[str, Meta(pattern="^(disk$|s3://[^/]+)")] = "disk"
    retention_s: Seconds = 259_200
    quota_bytes: Bytes = 1_000_000_000
    max_bytes: Bytes = 100_000_000


class MediaSettings(_Section, frozen=True, kw_only=True):
    """What is fetched for a request. `max_held_bytes` is kept in memory for further attempts of a task."""

    allow_private_networks: bool = False
    max_bytes: Bytes = 100_000_000
    timeout_s: Seconds = 30
    max_held_bytes: Bytes = 256_000_000
    fetches_at_once: Annotated[int, Meta(ge=1)] = 8


Key = str | tuple[str, ...] | None
"""`env:NAME`, `file:/path`, the key itself, or a list of these."""


class Provider(_Section, frozen=True, kw_only=True):
    """What all channels of a provider have in common; a channel names it, and says what is different.

    Words in capitals in `base_url` are the operator's to replace, in the channel's own `base_url`.
    """

    id: Name
    dialect: Dialect
    base_url: str = ""
    path: str = ""
    auth: Auth | None = None
    api_key: Key = None
    quirks: Quirks = Quirks()


class ChannelSettings(ChannelTraits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A channel as it is written. `provider`: the row that it takes from what it does not say itself."""

    provider: Name | None = None
    api_key: Key = None
    models: tuple[Name | Mapped, ...]


class Settings(_Section, frozen=True, kw_only=True):
    """The whole file."""

    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    chunks: ChunkSettings = ChunkSettings()
    files: FileSettings = FileSettings()
    media: MediaSettings = MediaSettings()
    engine: Capacity = Capacity()
    providers: tuple[Provider, ...] = ()
    channels: tuple[ChannelSettings, ...] = ()
    models: tuple[Model, ...] = ()


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


def load(file: Path | None, environment: Mapping[str, str]) -> Settings:
    """The settings in force: what ships is changed by `file`, and that by the environment. Raises `ConfigError`."""
    source = _Source.of(file)
    ships = tomllib.loads(files("reynard").joinpath("defaults.toml").read_text("utf-8"))
    providers = _providers(source.table, ships)
    table = _completed(source.table, ships, providers)
    variables = dict(_variables(environment))
    faults = [source.fault(path, problem) for path, problem in _faults(Settings, table, ())]
    faults += [Fault(_name(path), "", problem) for path, problem in _override(table, variables)]
    faults += [source.fault(path, problem) for path, problem in _contradictions(table, ships, providers, environment)]
    if faults:
        raise ConfigError(faults)
    ships["channels"] = [_provided(row, providers) for row in ships["channels"]]
    return msgspec.convert(_with_shipped(table, ships, environment), Settings)


def channel_of(settings: ChannelSettings, models: Iterable[Model]) -> Channel:
    """The channel, without its secrets, and with what the catalogue says of its models."""
    known = {model.id: model for model in models}
    mapped = [model if isinstance(model, Mapped) else Mapped(model, model) for model in settings.models]
    carried = tuple(
        Carried(model.id, model.upstream, known[model.id].thinking, known[model.id].unsupported) for model in mapped
    )
    return Channel(models=carried, **{field: getattr(settings, field) for field in ChannelTraits.__struct_fields__})


def secrets_of(settings: ChannelSettings, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of a channel. Raises `KeyError` for a variable that is not set, `OSError` for a file that is not."""
    written = settings.api_key or ()
    return tuple(_secret(reference, environment) for reference in ((written,) if isinstance(written, str) else written))


def _secret(reference: str, environment: Mapping[str, str]) -> str:
    scheme, _, name = reference.partition(":")
    if scheme == "env":
        return environment.get(name) or _unset(name)
    if scheme == "file":
        return Path(name).read_text("utf-8").strip()
    return reference


def _unset(name: str) -> str:
    raise KeyError(name)


class _Source:
    """The operator's file, its text kept to find the line of a key."""

    def __init__(self, name: str, text: str, table: Table) -> None:
        self._name = name
        self._text = text
        self.table = table

    @classmethod
    def of(cls, file: Path | None) -> "_Source":
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


def _faults(kind: Any, value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with `value` as a `kind`, all of it."""
    if isinstance(kind, type) and issubclass(kind, Struct) and isinstance(value, dict):
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        for key in value:
            if key not in fields:
                yield (*path, key), f"is not a setting here{_meant(key, fields)}"
        for name, field in fields.items():
            if name in value:
                yield from _faults(field.type, value[name], (*path, name))
            elif field.required:
                yield (*path, name), "is missing"
    elif get_origin(kind) is tuple and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(get_args(kind)[0], item, (*path, index))
    else:
        problem = _mismatch(kind, value)
        if problem is not None:
            yield path, problem


def _mismatch(kind: Any, value: Any) -> str | None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        reason = str(error).replace("`", "")
        choices = [choice for choice in get_args(kind) if isinstance(choice, str)]
        return f"{reason[:1].lower()}{reason[1:]}" + (f"; it takes {', '.join(choices)}" if choices else "")
    return None


def _meant(key: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(key, list(known), 1)
    return f"; did you mean `{close[0]}`?" if close else f"; there are: {', '.join(known)}"


def _providers(table: Table, ships: Table) -> dict[str, Table]:
    """The provider rows in force by id: the operator's on top of those that ship, without what is wrong in them."""
    rows = {row["id"]: row for row in ships["providers"]}
    fields = {field.name: field.type for field in msgspec.structs.fields(Provider)}
    written = table.get("providers")
    for row in written if isinstance(written, list) else ():
        if isinstance(row, dict) and isinstance(row.get("id"), str):
            sound = {
                key: value for key, value in row.items() if key in fields and not any(_faults(fields[key], value, ()))
            }
            rows[row["id"]] = _on_top(sound, rows.get(row["id"], {}))
    return rows


def _on_top(row: Table, below: Table) -> Table:
    """`row`, and what it leaves out as it is in `below`; quirks one by one."""
    quirks = {**below.get("quirks", {}), **row["quirks"]} if isinstance(row.get("quirks"), dict) else None
    return {**below, **row} if quirks is None else {**below, **row, "quirks": quirks}


def _provided(row: Table, providers: Mapping[str, Table]) -> Table:
    """A channel's row on top of its provider's. A provider that is unknown has a fault of its own, and no others."""
    if "provider" not in row:
        return row
    provider = providers.get(str(row["provider"]), {"dialect": "simulated"})
    return _on_top(row, {key: value for key, value in provider.items() if key != "id"})


def _completed(table: Table, ships: Table, providers: Mapping[str, Table]) -> Table:
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
            return _provided({**shipped, **row}, providers)
        case _:
            return {**shipped, **row}


def _with_shipped(table: Table, ships: Table, environment: Mapping[str, str]) -> Table:
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


def _contradictions(
    table: Table, ships: Table, providers: Mapping[str, Table], environment: Mapping[str, str]
) -> Iterator[tuple[KeyPath, str]]:
    """What each value by itself does not show; of the rows that are good in themselves."""
    channels, models = _good_rows(table, "channels", ChannelSettings), _good_rows(table, "models", Model)
    yield from _twice("channels", "name", [(index, channel.name) for index, channel in channels])
    yield from _twice("models", "id", [(index, model.id) for index, model in models])
    provided = _good_rows(table, "providers", Provider)
    yield from _twice("providers", "id", [(index, provider.id) for index, provider in provided])
    known = {row["id"] for row in ships["models"]} | {model.id for _, model in models}
    for index, channel in channels:
        if channel.provider is not None and channel.provider not in providers:
            meant = _meant(channel.provider, sorted(providers))
            yield ("channels", index, "provider"), f"`{channel.provider}` is not a provider{meant}"
        for key, problem in _channel_faults(channel, known, environment):
            yield ("channels", index, key), problem


def _channel_faults(
    channel: ChannelSettings, known: set[str], environment: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    for name in [model if isinstance(model, str) else model.id for model in channel.models]:
        if name not in known:
            meant = _meant(name, sorted(known))
            yield "models", f"`{name}` is not in the catalogue{meant}; or add a [[models]] row"
    if channel.dialect != "simulated" and not channel.base_url.startswith(("http://", "https://", "local:")):
        yield "base_url", "must be an http(s) address, as `https://api.openai.com/v1`"
    elif blanks := sorted(set(_BLANK.findall(channel.base_url))):
        yield "base_url", f"write your own in place of {', '.join(blanks)}: `{channel.base_url}`"
    if not _is_path(channel.path):
        yield "path", "must begin with /, and may hold {model} and {verb} in braces"
    try:
        keys = secrets_of(channel, environment)
    except KeyError as error:
        yield "api_key", f"the environment has no {error.args[0]}; set it, or remove the channel"
    except (OSError, UnicodeDecodeError):
        yield "api_key", "the file cannot be read"
    else:
        problem = _key_fault(channel, keys)
        if problem is not None:
            yield "api_key", problem


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


def _variables(environment: Mapping[str, str]) -> Iterator[tuple[tuple[str, str], str]]:
    """`REYNARD_SERVER__PORT=8080` → `("server", "port")`."""
    for variable, text in environment.items():
        section, separator, key = variable.removeprefix(PREFIX).lower().partition("__")
        if variable.startswith(PREFIX) and separator:
            yield (section, key), text


def _override(table: Table, variables: Mapping[tuple[str, str], str]) -> Iterator[tuple[KeyPath, str]]:
    """Puts the variables into `table`, and tells what is wrong with them."""
    sections = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    for (section, key), text in variables.items():
        fields = _settings_of(sections.get(section))
        if key not in fields:
            known = [_name((name, field)) for name, kind in sections.items() for field in _settings_of(kind)]
            yield (section, key), f"is not a setting{_meant(_name((section, key)), known)}"
            continue
        value = _value(text, fields[key])
        problem = _mismatch(fields[key], value)
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
    return text if _mismatch(kind, value) is not None and _mismatch(kind, text) is None else value


def _name(path: KeyPath) -> str:
    return f"{PREFIX}{'__'.join(map(str, path))}".upper()
