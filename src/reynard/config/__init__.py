"""Settings, read once: what ships, the operator's file, the environment, in this order (TOML).

Every fault of a file is found and told together, each with its line, its key, and what would be right.
"""

from reynard.config.loading import channel_of, load
from reynard.config.secrets import secrets_of
from reynard.config.settings import ChannelSettings, Provider, ServerSettings, Settings
from reynard.config.source import ConfigError, Fault

__all__ = [
    "ChannelSettings",
    "ConfigError",
    "Fault",
    "Provider",
    "ServerSettings",
    "Settings",
    "channel_of",
    "load",
    "secrets_of",
]
