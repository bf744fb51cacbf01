"""What is so at the moment of a scrape, read where it is; nothing is maintained for it."""

import os
import platform
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import reynard
from reynard.engine.engine import Engine
from reynard.telemetry.exposition import Family, Gauge, Reading

PROC: Final = Path("/proc/self")


def of_engine(engine: Engine, store_waiting: Callable[[], int]) -> list[Family]:
    """Tasks, streams, channels, the store."""
    return [
        Gauge("reynard_tasks", "Tasks now.", ["state"], lambda: _by_name(engine.load.tasks)),
        Gauge("reynard_streams", "Streams in the chunk log.", [], lambda: {(): engine.load.streams}),
        Gauge("reynard_stream_bytes", "Bytes in the chunk log.", [], lambda: {(): engine.load.stream_bytes}),
        Gauge("reynard_webhooks", "Deliveries taken up.", [], lambda: {(): engine.load.webhooks}),
        Gauge("reynard_channel_calls", "Calls under way, or waiting.", ["channel"], lambda: _calls(engine)),
        Gauge("reynard_channel_waiting", "Calls that wait for a place.", ["channel"], lambda: _waiting(engine)),
        Gauge("reynard_store_waiting", "Operations that wait for a commit.", [], lambda: {(): store_waiting()}),
    ]


def of_process(started: float) -> list[Family]:
    """The names that Prometheus's own clients use; what the system does not tell is left out.

    `started`: Unix seconds. The local model is a process of its own, and not in here.
    """
    version: Reading = {(reynard.__version__, platform.python_version()): 1}
    families: list[Family] = [
        Gauge("reynard_build_info", "Always 1.", ["version", "python"], lambda: version),
        Gauge("process_start_time_seconds", "Unix time of the start.", [], lambda: {(): started}),
        Gauge("process_cpu_seconds_total", "CPU used.", [], lambda: {(): time.process_time()}, "counter"),
        Gauge("process_max_fds", "File descriptors that may be open.", [], _most_descriptors),
    ]
    if PROC.exists():
        families.append(Gauge("process_resident_memory_bytes", "Memory in use.", [], _resident))
        families.append(Gauge("process_open_fds", "File descriptors that are open.", [], _descriptors))
    return families


def _by_name(values: Mapping[str, int]) -> Reading:
    return {(name,): value for name, value in values.items()}


def _calls(engine: Engine) -> Reading:
    return {(route.channel.name,): route.calls for route in engine.routes.all}


def _waiting(engine: Engine) -> Reading:
    return {(route.channel.name,): route.gate.waiting for route in engine.routes.all}


def _resident() -> Reading:
    pages = int((PROC / "statm").read_text().split()[1])  # proc(5): size, resident, …
    return {(): pages * os.sysconf("SC_PAGE_SIZE")}


def _descriptors() -> Reading:
    return {(): sum(1 for _ in (PROC / "fd").iterdir()) - 1}  # one is of this look


def _most_descriptors() -> Reading:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {} if soft == resource.RLIM_INFINITY else {(): soft}
