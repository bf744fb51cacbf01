"""What processes use, as the system counts it."""

import os
import signal
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

TICKS: Final = os.sysconf("SC_CLK_TCK")
QUIET_S: Final = 0.1
QUIET_SHARE: Final = 0.2
MOST_QUIETS: Final = 300
RESET_PEAK: Final = "5"  # see proc(5), clear_refs


def cpu_s(pids: Iterable[int]) -> float:
    """User and system time so far. Raises `OSError` where one of them is gone."""
    return sum(sum(map(int, _stat(pid)[11:13])) for pid in pids) / TICKS


def until_quiet(pids: Collection[int]) -> None:
    """Until they do nothing: what was given up by the load may still keep them busy, and is not the next one's cost."""
    for _ in range(MOST_QUIETS if pids else 0):
        before_s = cpu_s(pids)
        time.sleep(QUIET_S)
        if cpu_s(pids) - before_s <= QUIET_SHARE * QUIET_S:
            return


def forget_peak(pids: Iterable[int]) -> None:
    """From now on the peak is counted anew."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)


def peak_mb(pids: Iterable[int]) -> float:
    """The most that each had in memory, of all together."""
    return sum(_peak_kb(pid) for pid in pids) * 1024 / 1e6


@contextmanager
def standing_still(pids: Iterable[int]) -> Iterator[None]:
    """Nobody whose turn it is not takes the core away."""
    stopped = tuple(pids)
    _signal(stopped, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(stopped, signal.SIGCONT)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _stat(pid: int) -> list[str]:
    """The fields of `/proc/<pid>/stat` from the state on; the name before may have blanks in it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()


def _peak_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])
