"""How our own are started: Reynard with room for thousands of open streams of one key, or with a queue, and the relay."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bench import servers
from bench.subject import MODEL, Start, Subject
from reynard import __version__

OPEN: Final = "concurrency = 8_000\nfirst_byte_timeout_s = 600\n[engine]\nmax_running = 8_000\nmax_sync = 8_000\n"
"""Of calls in place a key has three quarters, of a channel as well."""
QUEUE: Final = "concurrency = 8\nanswer_timeout_s = 600\n[engine]\nmax_running = 16\n"
STOPS_AT_ONCE: Final = "[server]\ndrain_s = 0.0\n"


def reynard(settings: str) -> Start:
    """The gateway with one channel, whose settings and those of the engine these are."""

    @contextmanager
    def started(core: int, upstream: str, folder: Path) -> Iterator[Subject]:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "streams.toml"
        file.write_text(
            f'{STOPS_AT_ONCE}[[channels]]\nname = "streams"\ndialect = "openai"\nbase_url = "{upstream}/v1"\n'
            f'models = ["{MODEL}"]\n{settings}'
        )
        command = ("reynard", "serve", "--port", "0", "--data", str(folder / "data"), "--config", str(file))
        with servers.server(core, *command) as server:
            yield Subject(
                name="reynard",
                version=__version__,
                url=server.url,
                pids=(server.pid,),
                headers={"authorization": f"Bearer {server.said[1]}"},
                started_s=server.started_s,
            )

    return started


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
