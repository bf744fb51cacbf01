"""The only place where parts are wired: settings in, a running gateway out."""

import asyncio
import fcntl
import logging
import random
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import wreq
from msgspec.structs import replace
from starlette.types import ASGIApp

from reynard.config import ConfigError, ServerSettings, Settings, channel_of, secrets_of
from reynard.core import keys
from reynard.core.catalogue import Catalogue
from reynard.core.channels import Carried, Channel
from reynard.core.keys import Key
from reynard.core.simulation import Simulation
from reynard.core.task import RunPolicy
from reynard.engine.access import Access
from reynard.engine.account import Accounts
from reynard.engine.admission import Admission
from reynard.engine.billing import Billing
from reynard.engine.calls import Calls
from reynard.engine.courier import Courier
from reynard.engine.endings import Endings
from reynard.engine.engine import Engine
from reynard.engine.failover import Failover, RetryPolicy
from reynard.engine.files import FileLimits, Files
from reynard.engine.jobs import Jobs
from reynard.engine.media import Gatherer, MediaLimits
from reynard.engine.outbox import Outbox
from reynard.engine.recovery import Recovery
from reynard.engine.repeats import Repeats
from reynard.engine.retention import Retention
from reynard.engine.routes import Route, Routes
from reynard.engine.webhooks import Webhooks
from reynard.engine.worker import Worker
from reynard.http import app, door, server, views
from reynard.ports.blobs import Blobs
from reynard.ports.codec import Codec
from reynard.ports.media import Uploader
from reynard.ports.telemetry import Observer
from reynard.providers import http as upstream
from reynard.providers.anthropic import AnthropicCodec
from reynard.providers.auth import Auth, auth_of
from reynard.providers.discreet import DiscreetCodec, told_to_nobody
from reynard.providers.fetcher import FetchRules, GuardedFetcher
from reynard.providers.gemini import GeminiCodec
from reynard.providers.gemini.files import GeminiUploader
from reynard.providers.local.transport import LocalTransport, weights
from reynard.providers.openai import OpenAICodec
from reynard.providers.simulated import SimulatedCodec, SimulatedTransport
from reynard.providers.webhooks import GuardedNotifier
from reynard.storage.blobs import DiskBlobs, objects
from reynard.storage.chunks_memory import MemoryChunkLog
from reynard.storage.chunks_written import WriteFirstChunkLog, WrittenChunkLog
from reynard.storage.limits_memory import MemoryLimiter
from reynard.storage.master import MasterSecret
from reynard.storage.sqlite import SQLiteStore
from reynard.storage.sqlite.store import BUSY_TIMEOUT_S
from reynard.telemetry import gauges
from reynard.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

STORE_FILE: Final = "reynard.db"
STORE_TIMEOUT_S: Final = 1.0  # who waits for a store that somebody else has locked is told so soon
LOCK_FILE: Final = "reynard.lock"
FILES_FOLDER: Final = "files"
MASTER_FILE: Final = "webhooks.secret"
EVERYWHERE: Final = ("0.0.0.0", "::", "")  # noqa: S104 it is compared with, not listened on
DEMO: Final = Simulation(first_token_ms=150, tokens_per_s=60, tokens=48)
Ready = Callable[[str, str | None], None]
CODECS: Final[dict[str, Codec]] = {
    "openai": OpenAICodec(),
    "anthropic": AnthropicCodec(),
    "gemini": GeminiCodec(),
    "simulated": SimulatedCodec(),
}


class SystemClock:
    """The one home of `time.time`."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()  # noqa: TID251


class SystemChance:
    """Cryptographic ids, ordinary draws."""

    def below(self, limit: int) -> int:
        """See the port."""
        return secrets.randbelow(limit)

    def uniform(self) -> float:
        """See the port."""
        return random.random()  # noqa: S311


class DataDirInUse(Exception):
    """Another gateway works on the data directory."""


MadeOf = tuple[Channel, tuple[str, ...]]
"""What a route depends on: the channel, and its keys."""


class Wiring:
    """The routes in force, exchanged whole when the settings change; a channel that did not change keeps its route."""

    def __init__(self, environment: Mapping[str, str], jobs: Jobs, *, demo: bool) -> None:
        self._jobs = jobs
        self._environment = environment
        self._demo = demo
        self._chance = SystemChance()
        self._clock = SystemClock()
        self._pools: dict[float, wreq.Client] = {}
        self._kept: dict[str, tuple[MadeOf, Route]] = {}
        self.routes = Routes(Catalogue(()), ())

    def apply(self, settings: Settings) -> None:
        """From here on, requests go by `settings`; those under way end as they began."""
        kept: dict[str, tuple[MadeOf, Route]] = {}
        for written in settings.channels:
            before = self._kept.get(written.name)
            channel = channel_of(written, settings.models)
            made_of = (channel, secrets_of(written, self._environment))  # a file may hold another key by now
            if before is not None and before[0] == made_of:
                kept[channel.name] = before
            elif (route := self._route(*made_of)) is not None:
                kept[channel.name] = (made_of, route)
        for name, (_, route) in self._kept.items():
            if kept.get(name, (None, None))[1] is not route:
                self._jobs.start(_retired(route))
        self._kept = kept
        routes = [route for _, route in kept.values()]
        if self._demo:
            routes += self._simulated(settings, routes)
        self.routes = Routes(Catalogue(settings.models), routes)

    async def close(self) -> None:
        """Ends what the channels hold."""
        await asyncio.gather(*(route.transport.close() for route in self.routes.all))

    def _route(self, channel: Channel, found: Sequence[str]) -> Route | None:
        """The way to a channel; None for the local model where it is not installed."""
        codec: Codec = CODECS[channel.dialect]
        if channel.dialect == "simulated":
            return Route(channel, codec, SimulatedTransport(channel.simulate, self._chance))
        pool = self._pool(channel.connect_timeout_s)
        if channel.base_url.startswith("local:"):
            path = weights()
            if path is None:
                return None
            return Route(channel, codec, LocalTransport(pool, path, channel.name, self._chance))
        codec = DiscreetCodec(codec, told_to_nobody(channel, found))
        auth = auth_of(channel, found, self._clock)
        transport = upstream.HTTPTransport(pool, channel.base_url, auth)
        return Route(channel, codec, transport, self._uploader(channel, found, auth), keys=len(found))

    def _uploader(self, channel: Channel, found: Sequence[str], auth: Auth) -> Uploader | None:
        """Google's Files API, which Vertex AI does not have. A file is its key's: one of several could not read it."""
        if channel.dialect != "gemini" or channel.path or len(found) > 1:
            return None
        return GeminiUploader(self._pool(channel.connect_timeout_s), channel.base_url, auth)

    def _pool(self, connect_timeout_s: float) -> wreq.Client:
        if connect_timeout_s not in self._pools:
            self._pools[connect_timeout_s] = upstream.client(connect_timeout_s)
        return self._pools[connect_timeout_s]

    def _simulated(self, settings: Settings, routes: Iterable[Route]) -> list[Route]:
        """`--demo`: a simulated channel for every model that has no real one."""
        real = {mapped.id for route in routes for mapped in route.channel.models}
        models = tuple(Carried(model.id, model.id) for model in settings.models if model.id not in real)
        if not models:
            return []
        channel = Channel(name="demo", dialect="simulated", models=models, simulate=DEMO)
        return [Route(channel, CODECS["simulated"], SimulatedTransport(DEMO, self._chance))]


async def _retired(route: Route) -> None:
    """Lets the calls of a route that is no longer in force come to their end, then lets go of what it holds."""
    await route.quiet.wait()
    await route.transport.close()


class Gateway:
    """A running gateway, without its socket."""

    def __init__(self, engine: Engine, application: ASGIApp, wiring: Wiring, first_key: str | None) -> None:
        self.engine = engine
        self.application = application
        self.wiring = wiring
        self.first_key = first_key  # the admin key, on the very first start


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """The data directory, made if need be, for one gateway alone. Raises `DataDirInUse`."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataDirInUse(f"another gateway runs on {data_dir}; stop it, or choose another --data") from None
        yield


def open_store(data_dir: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> SQLiteStore:
    """The store of a data directory."""
    data_dir.mkdir(parents=True, exist_ok=True)
    return SQLiteStore(data_dir / STORE_FILE, busy_timeout_s=busy_timeout_s)


def open_master(data_dir: Path) -> MasterSecret:
    """What the secrets of webhooks are derived from."""
    return MasterSecret(data_dir / MASTER_FILE)


def open_blobs(settings: Settings, environment: Mapping[str, str]) -> Blobs:
    """Where the bytes of uploaded files are kept. Raises `objects.ExtraMissing`."""
    if settings.files.url == "disk":
        return DiskBlobs(Path(settings.server.data_dir) / FILES_FOLDER)
    return objects.connect(settings.files.url, environment)


@asynccontextmanager
async def gateway(settings: Settings, environment: Mapping[str, str], *, demo: bool) -> AsyncIterator[Gateway]:
    """Everything but the socket, from start to stop."""
    clock, chance, jobs = SystemClock(), SystemChance(), Jobs()
    data_dir = Path(settings.server.data_dir)
    with locked(data_dir):
        blobs = open_blobs(settings, environment)
        store, metrics = open_store(data_dir, busy_timeout_s=STORE_TIMEOUT_S), Metrics()
        store.observe(metrics)
        await store.retire_all()  # the lock is ours: whoever held a lease here is dead
        first_key = await _first_key(store, clock, chance)
        wiring = Wiring(environment, jobs, demo=demo)
        wiring.apply(settings)
        engine = _engine(settings, store, blobs, wiring, clock, chance, jobs, metrics)
        metrics.add(gauges.of_engine(engine, lambda: store.waiting))
        metrics.add(gauges.of_process(clock.now()))
        application = app.build(
            engine,
            jobs,
            clock,
            max_body_bytes=settings.server.max_body_bytes,
            cors_origins=settings.server.cors_origins,
            observer=metrics,
            figures=metrics.text,
            audience=settings.server.metrics,
        )
        await engine.start()
        engine.files.start()
        engine.webhooks.start()
        retention = Retention(
            store=store, clock=clock, jobs=jobs, periods=settings.retention, chunks_s=settings.chunks.retention_s
        )
        retention.start()
        try:
            yield Gateway(engine, application, wiring, first_key)
        finally:
            await engine.stop(0)
            await jobs.close()
            await wiring.close()
            await blobs.close()
            await store.close()


class Reload:
    """Loads the settings anew on demand and when their file changes; a wrong file is refused, and the old one stays."""

    def __init__(self, file: Path | None, load: Callable[[], Settings]) -> None:
        self._file = file
        self._load = load

    def now(self, wiring: Wiring) -> None:
        """Reads and applies the models and channels."""
        try:
            wiring.apply(self._load())
        except ConfigError as error:
            for fault in error.faults:
                log.error("the new settings are refused, the old ones stay: %s", fault)
        except Exception:
            log.exception("the new settings cannot be applied, the old ones stay")
        else:
            log.info("models and channels are loaded anew")

    async def watch(self, wiring: Wiring) -> None:
        """Looks at the file once a second; one that changes between two looks may be half written, and waits."""
        applied = seen = self._stamp()
        while self._file is not None:
            await asyncio.sleep(1)
            stamp = self._stamp()
            if stamp == seen and stamp != applied and stamp is not None:
                self.now(wiring)
                applied = stamp
            seen = stamp

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self._file.stat() if self._file is not None else None
        except OSError:
            return None
        return None if found is None else (found.st_mtime_ns, found.st_size)


async def serve(
    settings: Settings, reload: Reload, environment: Mapping[str, str], *, demo: bool, ready: Ready
) -> None:
    """Runs the gateway until SIGINT or SIGTERM; SIGHUP, or a change of the file, loads the settings anew.

    `ready` is told the address and, on the very first start, the admin key. Raises `DataDirInUse`, `CannotListen`.
    """
    most_connections = door.most_connections(door.raise_descriptors())
    bound = server.listen(settings.server.host, settings.server.port)
    host, port = bound.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    settings = _addressed(settings, address, port)
    async with gateway(settings, environment, demo=demo) as running:
        http = server.Server(
            running.application,
            drain_s=settings.server.drain_s,
            max_connections=settings.server.max_connections or most_connections,
        )
        stopping = asyncio.Event()
        _handle_signals(http, stopping, lambda: reload.now(running.wiring))
        jobs = Jobs()
        serving = jobs.start(http.serve([bound]))
        await http.listening.wait()
        jobs.start(reload.watch(running.wiring))
        ready(address, running.first_key)
        await asyncio.wait([serving, jobs.start(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
        await running.engine.stop(settings.server.drain_s)
        await serving
        await jobs.close()


def _addressed(settings: Settings, address: str, port: int) -> Settings:
    """With a public address that leads here: the default, which names the default port, gives way to another port."""
    server = settings.server
    if server.public_url != ServerSettings().public_url or port == ServerSettings().port:
        return settings
    public_url = f"http://localhost:{port}" if server.host in EVERYWHERE else address
    return replace(settings, server=replace(server, public_url=public_url))


def new_key(chance: SystemChance, clock: SystemClock, *, name: str, **fields: Any) -> tuple[str, Key]:
    """A secret, and the key that is kept of it."""
    secret = keys.make(chance.below)
    key = Key(
        id=keys.key_id(chance.below),
        digest=keys.digest(secret),
        name=name,
        hint=keys.hint(secret),
        created=clock.now(),
        **fields,
    )
    return secret, key


async def _first_key(store: SQLiteStore, clock: SystemClock, chance: SystemChance) -> str | None:
    if await store.list_keys():
        return None
    secret, key = new_key(chance, clock, name="admin", admin=True)
    await store.add_key(key)
    return secret


def _engine(
    settings: Settings,
    store: SQLiteStore,
    blobs: Blobs,
    wiring: Wiring,
    clock: SystemClock,
    chance: SystemChance,
    jobs: Jobs,
    observer: Observer,
) -> Engine:
    chunks = chunk_log(settings, store, clock)
    jobs.start(chunks.keep_writing())
    fetcher = guarded_fetcher(settings)
    files = Files(
        store=store,
        blobs=blobs,
        fetcher=fetcher,
        clock=clock,
        chance=chance,
        jobs=jobs,
        limits=file_limits(settings),
        public_url=settings.server.public_url,
        observer=observer,
    )
    gatherer = Gatherer(fetcher, files, clock, media_limits(settings))
    failover = Failover(lambda: wiring.routes, gatherer, clock, chance, RetryPolicy(), observer)
    policy, capacity = RunPolicy(), settings.engine
    billing, repeats = Billing(lambda: wiring.routes), Repeats(store, clock)
    webhooks = _webhooks(settings, store, clock, chance, jobs, observer)
    admission = Admission(
        store=store,
        limiter=MemoryLimiter(clock),
        files=files,
        webhooks=webhooks,
        routes=lambda: wiring.routes,
        clock=clock,
        chance=chance,
    )
    endings = Endings(admission, chunks, webhooks, observer)
    worker_id = f"worker-{secrets.token_hex(6)}"
    recovery = Recovery(
        worker_id, store=store, chunks=chunks, endings=endings, billing=billing, clock=clock, policy=policy
    )
    worker = Worker(
        worker_id,
        store=store,
        chunks=chunks,
        failover=failover,
        endings=endings,
        recovery=recovery,
        billing=billing,
        clock=clock,
        jobs=jobs,
        capacity=capacity,
        policy=policy,
    )
    calls = Calls(
        worker_id,
        store=store,
        admission=admission,
        endings=endings,
        repeats=repeats,
        failover=failover,
        billing=billing,
        clock=clock,
        jobs=jobs,
        capacity=capacity,
        policy=policy,
    )
    return Engine(
        store=store,
        chunks=chunks,
        worker=worker,
        calls=calls,
        admission=admission,
        endings=endings,
        repeats=repeats,
        access=Access(store, clock),
        files=files,
        accounts=Accounts(store),
        webhooks=webhooks,
        routes=lambda: wiring.routes,
        clock=clock,
        policy=policy,
    )


def _webhooks(
    settings: Settings, store: SQLiteStore, clock: SystemClock, chance: SystemChance, jobs: Jobs, observer: Observer
) -> Webhooks:
    limits = settings.webhooks
    master = open_master(Path(settings.server.data_dir))
    rules = FetchRules(allow_private_networks=limits.allow_private_networks, timeout_s=limits.timeout_s)
    courier = Courier(
        store=store,
        notifier=GuardedNotifier(rules),
        payload=views.event,
        master=master,
        clock=clock,
        chance=chance,
        observer=observer,
    )
    return Webhooks(
        store=store,
        outbox=Outbox(store, courier, clock, jobs, concurrency=limits.concurrency),
        master=master,
        clock=clock,
        allow_private_networks=limits.allow_private_networks,
    )


def chunk_log(settings: Settings, store: SQLiteStore, clock: SystemClock) -> WrittenChunkLog:
    """Streams in memory, whose chunks outlive the process in the store."""
    kept = settings.chunks
    memory = MemoryChunkLog(
        clock, retention_s=kept.retention_s, max_bytes=kept.max_bytes, max_stream_bytes=kept.max_stream_bytes
    )
    log_of = WriteFirstChunkLog if kept.write_first else WrittenChunkLog
    return log_of(
        memory,
        store,
        clock,
        write_delay_s=kept.write_delay_ms / 1_000,
        retention_s=kept.retention_s,
        max_bytes=kept.max_bytes,
    )


def media_limits(settings: Settings) -> MediaLimits:
    """For the engine."""
    media = settings.media
    return MediaLimits(
        max_bytes=media.max_bytes, max_held_bytes=media.max_held_bytes, fetches_at_once=media.fetches_at_once
    )


def guarded_fetcher(settings: Settings) -> GuardedFetcher:
    """The only way to media by address."""
    media = settings.media
    return GuardedFetcher(FetchRules(allow_private_networks=media.allow_private_networks, timeout_s=media.timeout_s))


def file_limits(settings: Settings) -> FileLimits:
    """For the engine."""
    kept = settings.files
    return FileLimits(retention_s=kept.retention_s, quota_bytes=kept.quota_bytes, max_bytes=kept.max_bytes)


def _handle_signals(http: server.Server, stopping: asyncio.Event, reload: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        http.force_exit = stopping.is_set()  # the second time it is meant
        http.should_exit = True
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)
