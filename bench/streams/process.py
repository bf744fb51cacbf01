"""What processes use, as the system counts it."""

import os
import resource
from collections.abc import Iterable
from pathlib import Path
from typing import Final

TICKS: Final = os.sysconf("SC_CLK_TCK")
PAGE_KB: Final = os.sysconf("SC_PAGE_SIZE") / 1024


def cpu_s(pids: Iterable[int]) -> float:
    """User and system time so far."""
    return sum(sum(map(int, _stat(pid)[11:13])) for pid in pids) / TICKS


def resident_kb(pids: Iterable[int]) -> float:
    """In memory now, of all together."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids) * PAGE_KB


def raise_descriptors() -> None:
    """To as many as may be, here and in the processes that are started from here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _stat(pid: int) -> list[str]:
    """The fields of `/proc/<pid>/stat` from the state on; the name before may have blanks in it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
