"""How our own are started: Reynard with room for thousands of streams, or with a queue, and the limit of its stack."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bench import reynard, servers
from bench.subject import Start, Subject

OPEN: Final = "concurrency = 8_000\nfirst_byte_timeout_s = 600\n[engine]\nmax_running = 8_000\nmax_sync = 8_000\n"
"""Of calls in place a key has three quarters, of a channel as well."""
QUEUE: Final = "concurrency = 8\nanswer_timeout_s = 600\n[engine]\nmax_running = 16\n"

roomy: Start = partial(reynard.start, settings=OPEN)
queueing: Start = partial(reynard.start, settings=QUEUE)


@contextmanager
def relay(core: int, upstream: str, folder: Path) -> Iterator[Subject]:
    """See `bench.subject.Start`."""
    with servers.server(core, "bench.streams.relay", upstream) as server:
        yield Subject(
            name="bare relay",
            version=f"uvicorn {version('uvicorn')}, wreq {version('wreq')}",
            url=server.url,
            pids=(server.pid,),
            started_s=server.started_s,
        )
