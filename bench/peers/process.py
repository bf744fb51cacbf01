"""A peer's process: on one core and in a group of its own, awaited until it answers, ended with all its children."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from bench import guard
from bench.subject import CHAT, MODEL, Unavailable

BODY = msgspec.json.encode({"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 24})
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy of the machine's has no business here


class Process:
    """A running command and what it writes."""

    def __init__(self, running: subprocess.Popen[bytes], log: Path) -> None:
        self._running = running
        self._log = log
        self._began = time.perf_counter()

    @property
    def pids(self) -> tuple[int, ...]:
        """The command and all of its descendants: they are one process group, whose number is the command's."""
        found = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
        return tuple(sorted(pid for pid in found if _group(pid) == self._running.pid))

    def answers(self, url: str, headers: Mapping[str, str], *, within_s: float) -> float:
        """Seconds from the start to the first chat completion. Raises `Unavailable` with the last lines of output."""
        while (passed := time.perf_counter() - self._began) < within_s:
            if self._running.poll() is not None:
                raise Unavailable(f"ended with code {self._running.returncode}: {last_lines(self._log)}")
            if _completes(url, headers):
                return time.perf_counter() - self._began
            time.sleep(0.02)
        raise Unavailable(f"no chat completion within {passed:.0f} s: {last_lines(self._log)}")


@contextmanager
def started(core: int, command: Sequence[str], folder: Path, environment: Mapping[str, str] = {}) -> Iterator[Process]:
    """`command`, pinned with its children to `core`, in `folder`, until the end. Raises `Unavailable`.

    Of this machine's environment it sees the path alone: no proxies, no keys, no settings of somebody's.
    """
    log = folder / "output.log"
    try:
        with log.open("wb") as output:
            running = subprocess.Popen(
                command,
                cwd=folder,
                env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )
    except OSError as error:
        raise Unavailable(f"{command[0]} cannot be started: {error}") from error
    try:
        with guard.not_left_behind(-running.pid):
            yield Process(running, log)
    finally:
        _end(running)


def _end(running: subprocess.Popen[bytes]) -> None:
    """The whole group: politely first, and what is left of it after ten seconds is killed."""
    with suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        running.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()


def free_port() -> int:
    """A port nobody listens on: the peers cannot be asked to pick one and say which."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def last_lines(log: Path) -> str:
    """The last twelve lines of what a command wrote."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-12:])


def _completes(url: str, headers: Mapping[str, str]) -> bool:
    request = urllib.request.Request(url + CHAT, BODY, {"content-type": "application/json", **headers})
    try:
        with DIRECT.open(request, timeout=10) as response:
            return "choices" in msgspec.json.decode(response.read())
    except (OSError, msgspec.DecodeError):
        return False  # not yet


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
