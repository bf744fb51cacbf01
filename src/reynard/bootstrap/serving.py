"""A running gateway: with its socket, its signals, and settings that may change."""

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from reynard.bootstrap import data_dir
from reynard.bootstrap.parts import Parts
from reynard.bootstrap.system import SystemChance, SystemClock
from reynard.bootstrap.wiring import Wiring
from reynard.config import ConfigError, ServerSettings, Settings
from reynard.engine.engine import Engine
from reynard.engine.jobs import Jobs
from reynard.http import app, door, server
from reynard.http.asgi import ASGIApp
from reynard.telemetry import gauges
from reynard.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

STORE_TIMEOUT_S: Final = 1.0  # who waits for a store that somebody else has locked is told so soon
EVERYWHERE: Final = ("0.0.0.0", "::", "")  # noqa: S104 it is compared with, not listened on
YOUNG_OBJECTS: Final = 20_000
"""Between two looks for unreachable cycles. Python's own 700 come together in some ten requests, all of them in use."""

Ready = Callable[[str, str | None], None]


class Gateway:
    """A running gateway, without its socket."""

    def __init__(self, engine: Engine, application: ASGIApp, wiring: Wiring, first_key: str | None) -> None:
        self.engine = engine
        self.application = application
        self.wiring = wiring
        self.first_key = first_key  # the admin key, on the very first start


@asynccontextmanager
async def gateway(settings: Settings, environment: Mapping[str, str], *, demo: bool) -> AsyncIterator[Gateway]:
    """Everything but the socket, from start to stop."""
    clock, chance, jobs = SystemClock(), SystemChance(), Jobs()
    folder = Path(settings.server.data_dir)
    with data_dir.locked(folder):
        blobs = data_dir.open_blobs(settings, environment)
        store, metrics = data_dir.open_store(folder, busy_timeout_s=STORE_TIMEOUT_S), Metrics()
        store.observe(metrics)
        await store.retire_all()  # the lock is ours: whoever held a lease here is dead
        try:
            master = await data_dir.first_master(folder, store)
        except BaseException:
            await store.close()
            raise
        first_key = await data_dir.first_key(store, clock, chance)
        wiring = Wiring(environment, jobs, demo=demo)
        wiring.apply(settings)
        parts = Parts(
            settings,
            store=store,
            blobs=blobs,
            master=master,
            routes=lambda: wiring.routes,
            clock=clock,
            chance=chance,
            jobs=jobs,
            observer=metrics,
        )
        engine = parts.engine()
        metrics.add(gauges.of_engine(engine, lambda: store.waiting))
        metrics.add(gauges.of_process(clock.now()))
        application = app.build(
            engine,
            clock,
            max_body_bytes=settings.server.max_body_bytes,
            cors_origins=settings.server.cors_origins,
            observer=metrics,
            figures=metrics.text,
            audience=settings.server.metrics,
        )
        await engine.start()
        parts.retention().start()
        try:
            yield Gateway(engine, application, wiring, first_key)
        finally:
            await engine.stop()
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

    `ready` is told the address and, on the very first start, the admin key. Raises `DataDirInUse`, `CannotListen`,
    `MasterUnreadable`.
    """
    most_connections = door.most_connections(door.raise_descriptors())
    bound = server.listen(settings.server.host, settings.server.port)
    host, port = bound.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    settings = _addressed(settings, address, port)
    async with gateway(settings, environment, demo=demo) as running:
        http = server.Server(
            running.application,
            SystemClock(),
            drain_s=settings.server.drain_s,
            max_connections=settings.server.max_connections or most_connections,
            cors_origins=settings.server.cors_origins,
        )
        _handle_signals(http.stop, lambda: reload.now(running.wiring))
        await http.open(bound)
        jobs = Jobs()
        serving = jobs.start(http.serve())
        jobs.start(reload.watch(running.wiring))
        _spare_the_collector()
        ready(address, running.first_key)
        await asyncio.wait([serving, jobs.start(http.stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
        draining = jobs.start(running.engine.drain(settings.server.drain_s))
        await asyncio.wait([draining, jobs.start(http.hurried.wait())], return_when=asyncio.FIRST_COMPLETED)
        await running.engine.stop()
        await serving
        await jobs.close()


def _spare_the_collector() -> None:
    """What is here now stays, and is looked through no more; what requests leave is looked through in larger lots."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def _addressed(settings: Settings, address: str, port: int) -> Settings:
    """With a public address that leads here: the default, which names the default port, gives way to another port."""
    server = settings.server
    if server.public_url != ServerSettings().public_url or port == ServerSettings().port:
        return settings
    public_url = f"http://localhost:{port}" if server.host in EVERYWHERE else address
    return replace(settings, server=replace(server, public_url=public_url))


def _handle_signals(stop: Callable[[], None], reload: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)
