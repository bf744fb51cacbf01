"""From text to settings, and from a channel's settings to the channel."""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from reynard.config import checks, rows
from reynard.config import environment as overrides
from reynard.config.contradictions import contradictions
from reynard.config.settings import ChannelSettings, Settings
from reynard.config.source import ConfigError, Fault, Source
from reynard.core.catalogue import Model
from reynard.core.channels import Carried, Channel, ChannelTraits, Mapped

SHIPPED: Final = Path(__file__).parents[1] / "defaults.toml"


def load(file: Path | None, environment: Mapping[str, str]) -> Settings:
    """The settings in force: what ships is changed by `file`, and that by the environment. Raises `ConfigError`."""
    source = Source.of(file)
    ships = tomllib.loads(SHIPPED.read_text("utf-8"))
    providers = rows.providers(source.table, ships)
    table = rows.completed(source.table, ships, providers)
    variables = dict(overrides.variables(environment))
    faults = [source.fault(path, problem) for path, problem in checks.faults(Settings, table, ())]
    faults += [
        Fault(overrides.variable_of(path), "", problem) for path, problem in overrides.override(table, variables)
    ]
    contradicted = contradictions(table, ships, providers, environment)
    faults += [source.fault(path, problem) for path, problem in contradicted]
    if faults:
        raise ConfigError(faults)
    ships["channels"] = [rows.provided(row, providers) for row in ships["channels"]]
    return msgspec.convert(rows.with_shipped(table, ships, environment), Settings)


def channel_of(settings: ChannelSettings, models: Iterable[Model]) -> Channel:
    """The channel, without its secrets, and with what the catalogue says of its models."""
    known = {model.id: model for model in models}
    mapped = [model if isinstance(model, Mapped) else Mapped(model, model) for model in settings.models]
    carried = tuple(
        Carried(model.id, model.upstream, known[model.id].thinking, known[model.id].unsupported) for model in mapped
    )
    return Channel(models=carried, **{field: getattr(settings, field) for field in ChannelTraits.__struct_fields__})
