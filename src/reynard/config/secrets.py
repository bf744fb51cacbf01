"""The keys of channels, from where their settings say they are."""

from collections.abc import Mapping
from pathlib import Path

from reynard.config.settings import ChannelSettings


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
