"""The processes that are measured, each on a core of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec


class Server(msgspec.Struct):
    """A running server: where it listens, what it said before, how long it took to be there."""

    url: str
    said: list[str]
    started_s: float
    pid: int


@contextmanager
def server(core: int, *command: str) -> Iterator[Server]:
    """`python -m command`, pinned to `core`, until the end."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    try:
        said: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line.strip())
            if line.startswith("listening on "):
                break
        yield Server(said[-1].split()[-1], said, time.perf_counter() - began, process.pid)
    finally:
        process.terminate()
        process.wait()


def gateway_config(folder: Path, upstream: str) -> str:
    """A settings file with one channel to `upstream`."""
    file = folder / "bench.toml"
    file.write_text(
        f'[[channels]]\nname = "bench"\ndialect = "openai"\nbase_url = "{upstream}/v1"\n'
        'models = ["gpt-5.5"]\nconcurrency = 512\n'
    )
    return str(file)


def resident_mb(server: Server) -> float:
    """What the process holds in memory."""
    pages = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
