"""What is kept for its time, and then goes: tasks, results, chunks, idempotency keys and ledger entries."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from reynard.core.channels import Seconds
from reynard.core.errors import StoreUnavailable
from reynard.core.idempotency import KEPT_S
from reynard.engine.jobs import Jobs
from reynard.ports import store as ports
from reynard.ports.clock import Clock

log = logging.getLogger(__name__)

SWEEP_S: Final = 60.0
SWEPT_AT_ONCE: Final = 500
PAUSE_S: Final = 0.02  # between two batches; the others' writes go first

Sweep = Callable[[float, int], Awaitable[int]]


class Periods(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long what is kept: tasks and their results from their end on, ledger entries from when they were made."""

    tasks_s: Seconds = 2_592_000
    results_s: Seconds = 2_592_000
    ledger_s: Seconds = 34_560_000


class Retention:
    """Sweeps again and again. Files have a sweeper of their own, for their bytes lie elsewhere (`engine.files`)."""

    def __init__(self, *, store: ports.Retention, clock: Clock, jobs: Jobs, periods: Periods, chunks_s: float) -> None:
        self._clock = clock
        self._jobs = jobs
        self._kinds: tuple[tuple[str, float, Sweep], ...] = (
            ("results", periods.results_s, store.sweep_results),
            ("tasks", periods.tasks_s, store.sweep_tasks),
            ("chunks", chunks_s, store.sweep_chunks),
            ("idempotency keys", KEPT_S, store.sweep_repeats),
            ("idempotency keys of tasks that are gone", periods.tasks_s, store.sweep_lone_repeats),
            ("ledger entries", periods.ledger_s, store.fold_ledger),
        )

    def start(self) -> None:
        """From now on what is past its time goes."""
        self._jobs.start(self._keep_sweeping())

    async def sweep(self) -> None:
        """Everything that is past its time now, batch by batch; a kind that cannot be swept waits for the next time."""
        for what, age_s, sweep in self._kinds:
            try:
                await self._sweep(self._clock.now() - age_s, sweep)
            except StoreUnavailable as error:
                log.warning("%s are left to be swept later: %s", what, error.message)

    async def _sweep(self, before: float, sweep: Sweep) -> None:
        swept = await sweep(before, SWEPT_AT_ONCE)
        while swept:
            await asyncio.sleep(PAUSE_S)
            swept = await sweep(before, SWEPT_AT_ONCE)

    async def _keep_sweeping(self) -> None:
        pause_s = min(SWEEP_S, *(age_s / 4 for _, age_s, _ in self._kinds))
        while True:
            try:
                await self.sweep()
            except Exception:
                log.exception("failed to sweep; trying again")
            await asyncio.sleep(pause_s)
