"""A server as a process of its own, for as long as it is needed."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Final

from msgspec import Struct

SAID_LAST: Final = "listening on "
START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 20.0
MOST_TOLD: Final = 2_000


class Listening(Struct, frozen=True):
    """A running server: where it listens, the lines that it said before, how long it took to be there."""

    url: str
    said: tuple[str, ...]
    started_s: float
    pid: int


class NotListening(Exception):
    """It ended, or said nothing in time; the message is the end of what it wrote to stderr."""


@contextmanager
def listening(
    *command: str, environment: Mapping[str, str] | None = None, core: int | None = None
) -> Iterator[Listening]:
    """`python -m command`, pinned to `core` if there is one, until the end. Raises `NotListening`."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
            preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
        )
        try:
            said = _said(process)
            if not said or not said[-1].startswith(SAID_LAST):
                raise NotListening(_told(log) or f"{' '.join(command)} does not start")
            took_s = time.perf_counter() - began
            yield Listening(said[-1].removeprefix(SAID_LAST), tuple(said[:-1]), took_s, process.pid)
        finally:
            _stop(process)


def _said(process: subprocess.Popen[str]) -> list[str]:
    """The lines up to the one that says where it listens, or all if it ends before."""
    said: list[str] = []
    late = threading.Timer(START_TIMEOUT_S, process.kill)
    late.start()
    assert process.stdout is not None  # noqa: S101 it is a pipe
    for line in process.stdout:
        said.append(line.strip())
        if line.startswith(SAID_LAST):
            break
    late.cancel()
    return said


def _told(log: IO[bytes]) -> str:
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - MOST_TOLD))
    return log.read().decode(errors="replace").strip()


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
