"""Reynard with everything on: a key with limits and credits, a priced model, the ledger, metrics, the durable store."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench import servers
from bench.subject import MODEL, Subject
from reynard import __version__

LIMITS: Final = ("--rpm", "1000000000", "--tpm", "1000000000", "--concurrency", "1000000", "--credits", "1000000")
"""High enough never to be met: what they cost is to be counted and compared for each request."""
KEY_FILE: Final = "bench.key"
PLACES: Final = "concurrency = 512\n"


@contextmanager
def start(core: int, upstream: str, folder: Path, settings: str = PLACES) -> Iterator[Subject]:
    """See `bench.subject.Start`. A second one in the same folder goes on with the same store and key.

    `settings`: of the channel, and tables that follow it.
    """
    config = folder / "bench.toml"
    config.write_text(
        f'[server]\ndrain_s = 1\n\n[[channels]]\nname = "bench"\ndialect = "openai"\nbase_url = "{upstream}/v1"\n'
        f'models = ["{MODEL}"]\n{settings}'
    )
    place = ("--data", str(folder / "data"), "--config", str(config))
    secret = _key(folder / KEY_FILE, place)
    with servers.server(core, "reynard", "serve", "--port", "0", *place) as server:
        yield Subject(
            name="reynard",
            version=__version__,
            url=server.url,
            pids=(server.pid,),
            headers={"authorization": f"Bearer {secret}"},
            started_s=server.started_s,
        )


def _key(kept: Path, place: tuple[str, ...]) -> str:
    if not kept.exists():
        command = [sys.executable, "-m", "reynard", "keys", "create", "--json", *LIMITS, *place]
        made = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        kept.write_text(json.loads(made)["key"])
    return kept.read_text()
