"""The parts of the engine, put together."""

import secrets
from collections.abc import Callable

from reynard.config import Settings
from reynard.core.task import RunPolicy
from reynard.engine.access import Access
from reynard.engine.account import Accounts
from reynard.engine.admission import Admission
from reynard.engine.billing import Billing
from reynard.engine.calls import Calls
from reynard.engine.courier import Courier, Master
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
from reynard.engine.routes import Routes
from reynard.engine.webhooks import Webhooks
from reynard.engine.worker import Worker
from reynard.http import views
from reynard.ports.blobs import Blobs
from reynard.ports.chunks import ChunkLog
from reynard.ports.clock import Chance, Clock
from reynard.ports.store import Store
from reynard.ports.telemetry import Observer
from reynard.providers.fetcher import FetchRules, GuardedFetcher
from reynard.providers.webhooks import GuardedNotifier
from reynard.storage.chunks_memory import MemoryChunkLog
from reynard.storage.chunks_written import WriteFirstChunkLog, WrittenChunkLog
from reynard.storage.limits_memory import MemoryLimiter


class Parts:
    """What all parts share, and the parts that are made of it."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store,
        blobs: Blobs,
        master: Master,
        routes: Callable[[], Routes],
        clock: Clock,
        chance: Chance,
        jobs: Jobs,
        observer: Observer,
    ) -> None:
        self._settings = settings
        self._store = store
        self._blobs = blobs
        self._master = master
        self._routes = routes
        self._clock = clock
        self._chance = chance
        self._jobs = jobs
        self._observer = observer

    def engine(self) -> Engine:
        """All use cases, over parts that know each other."""
        store, clock, jobs, routes = self._store, self._clock, self._jobs, self._routes
        policy, capacity = RunPolicy(), self._settings.engine
        worker_id = f"worker-{secrets.token_hex(6)}"
        chunks, files, webhooks = self._chunks(), self._files(), self._webhooks()
        billing, repeats = Billing(routes), Repeats(store, clock)
        failover = self._failover(files)
        admission = Admission(
            store=store,
            limiter=MemoryLimiter(clock),
            files=files,
            webhooks=webhooks,
            routes=routes,
            clock=clock,
            chance=self._chance,
        )
        endings = Endings(admission, chunks, webhooks, self._observer)
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
            recovery=recovery,
            access=Access(store, clock),
            files=files,
            accounts=Accounts(store),
            webhooks=webhooks,
            routes=routes,
            clock=clock,
            policy=policy,
        )

    def retention(self) -> Retention:
        """What lets go of things when their time is over."""
        return Retention(
            store=self._store,
            clock=self._clock,
            jobs=self._jobs,
            periods=self._settings.retention,
            chunks_s=self._settings.chunks.retention_s,
        )

    def _chunks(self) -> ChunkLog:
        """Streams in memory, whose chunks outlive the process in the store."""
        kept = self._settings.chunks
        memory = MemoryChunkLog(
            self._clock, retention_s=kept.retention_s, max_bytes=kept.max_bytes, max_stream_bytes=kept.max_stream_bytes
        )
        log_of = WriteFirstChunkLog if kept.write_first else WrittenChunkLog
        log = log_of(
            memory,
            self._store,
            self._clock,
            write_delay_s=kept.write_delay_ms / 1_000,
            retention_s=kept.retention_s,
        )
        self._jobs.start(log.keep_writing())
        return log

    def _files(self) -> Files:
        kept = self._settings.files
        return Files(
            store=self._store,
            blobs=self._blobs,
            fetcher=self._fetcher(),
            clock=self._clock,
            chance=self._chance,
            jobs=self._jobs,
            limits=FileLimits(retention_s=kept.retention_s, quota_bytes=kept.quota_bytes, max_bytes=kept.max_bytes),
            public_url=self._settings.server.public_url,
            observer=self._observer,
        )

    def _failover(self, files: Files) -> Failover:
        media = self._settings.media
        limits = MediaLimits(
            max_bytes=media.max_bytes, max_held_bytes=media.max_held_bytes, fetches_at_once=media.fetches_at_once
        )
        gatherer = Gatherer(self._fetcher(), files, self._clock, limits)
        return Failover(self._routes, gatherer, self._clock, self._chance, RetryPolicy(), self._observer)

    def _fetcher(self) -> GuardedFetcher:
        """The only way to media by address."""
        media = self._settings.media
        return GuardedFetcher(
            FetchRules(allow_private_networks=media.allow_private_networks, timeout_s=media.timeout_s)
        )

    def _webhooks(self) -> Webhooks:
        limits = self._settings.webhooks
        rules = FetchRules(allow_private_networks=limits.allow_private_networks, timeout_s=limits.timeout_s)
        courier = Courier(
            store=self._store,
            notifier=GuardedNotifier(rules),
            payload=views.event,
            master=self._master,
            clock=self._clock,
            chance=self._chance,
            observer=self._observer,
        )
        return Webhooks(
            store=self._store,
            outbox=Outbox(self._store, courier, self._clock, self._jobs, concurrency=limits.concurrency),
            master=self._master,
            clock=self._clock,
            allow_private_networks=limits.allow_private_networks,
        )
