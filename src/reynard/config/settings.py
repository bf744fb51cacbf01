"""The settings, typed: one table of the file each."""

from typing import Annotated

from msgspec import Meta, Struct

from reynard.core.catalogue import Model
from reynard.core.channels import Auth, ChannelTraits, Dialect, Mapped, Quirks, Seconds
from reynard.core.messages import Name
from reynard.engine.capacity import Capacity
from reynard.engine.retention import Periods
from reynard.ports.telemetry import Audience

Port = Annotated[int, Meta(ge=0, le=65535)]
Bytes = Annotated[int, Meta(ge=1)]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class ServerSettings(Section, frozen=True, kw_only=True):
    """Where it listens, and what it takes. `drain_s`: how long a stop waits for what runs to come to its end.

    `max_connections` 0: as many as the descriptors that the process may have are good for.
    `metrics`: who may read them.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    data_dir: str = "./reynard-data"
    public_url: Annotated[str, Meta(pattern="^https?://[^/]")] = "http://localhost:8080"
    max_body_bytes: Bytes = 64_000_000
    max_connections: Annotated[int, Meta(ge=0)] = 0
    cors_origins: tuple[str, ...] = ("*",)
    drain_s: Annotated[float, Meta(ge=0)] = 8.0
    metrics: Audience = "open"


class StoreSettings(Section, frozen=True, kw_only=True):
    """The durable store."""

    url: Annotated[str, Meta(pattern="^sqlite$")] = "sqlite"


class ChunkSettings(Section, frozen=True, kw_only=True):
    """The chunk log. `max_bytes` bounds all streams together, `max_stream_bytes` each.

    `write_delay_ms`: how long chunks wait at most to be written together. `write_first`: delivered when written.
    """

    url: Annotated[str, Meta(pattern="^memory$")] = "memory"
    retention_s: Seconds = 900
    max_bytes: Bytes = 512_000_000
    max_stream_bytes: Bytes = 64_000_000
    write_delay_ms: Annotated[int, Meta(ge=0)] = 200
    write_first: bool = False


class FileSettings(Section, frozen=True, kw_only=True):
    """Uploaded files: where, for how long, how much a key may keep, and how large one may be."""

    url: Annotated[str, Meta(pattern="^(disk$|s3://[^/]+)")] = "disk"
    retention_s: Seconds = 259_200
    quota_bytes: Bytes = 1_000_000_000
    max_bytes: Bytes = 100_000_000


class MediaSettings(Section, frozen=True, kw_only=True):
    """What is fetched for a request. `max_bytes`: of one source. `max_held_bytes`: of all that is in memory at once."""

    allow_private_networks: bool = False
    max_bytes: Bytes = 100_000_000
    timeout_s: Seconds = 30
    max_held_bytes: Bytes = 256_000_000
    fetches_at_once: Annotated[int, Meta(ge=1)] = 16


class WebhookSettings(Section, frozen=True, kw_only=True):
    """How the ends of tasks are posted. `timeout_s`: of one POST. `concurrency`: at once; a key has half at most."""

    allow_private_networks: bool = False
    timeout_s: Seconds = 15
    concurrency: Annotated[int, Meta(ge=1)] = 32


Key = str | tuple[str, ...] | None
"""`env:NAME`, `file:/path`, the key itself, or a list of these."""


class Provider(Section, frozen=True, kw_only=True):
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


class Settings(Section, frozen=True, kw_only=True):
    """The whole file."""

    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    chunks: ChunkSettings = ChunkSettings()
    files: FileSettings = FileSettings()
    media: MediaSettings = MediaSettings()
    webhooks: WebhookSettings = WebhookSettings()
    engine: Capacity = Capacity()
    retention: Periods = Periods()
    providers: tuple[Provider, ...] = ()
    channels: tuple[ChannelSettings, ...] = ()
    models: tuple[Model, ...] = ()
