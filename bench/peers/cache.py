"""Where the peers are installed: outside the repository, kept from run to run."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.subject import Unavailable

INSTALL_S = 900


def installed(name: str, install: Callable[[Path], None]) -> Path:
    """The folder that `install` filled, today or before. One that was not finished is begun anew."""
    cache = Path(os.environ.get("REYNARD_BENCH_CACHE") or Path.home() / ".cache" / "reynard-bench")
    folder = cache / name
    finished = folder / "finished"
    with _alone(cache / f"{name}.lock"):
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            install(folder)
            finished.touch()
    return folder


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One run at a time; whoever dies lets go of it. A folder that is renamed when it is done would do without, but
    Python's environments are bound to their path."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def run(folder: Path, *command: str) -> None:
    """One step of an installation. Raises `Unavailable` with the last lines of what it said."""
    try:
        done = subprocess.run(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=INSTALL_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"cannot be installed: {error}") from error
    if done.returncode:
        raise Unavailable("cannot be installed: " + "\n".join(done.stdout.splitlines()[-12:]))


def megabytes(folder: Path) -> float:
    """The size of its files. Compiled caches are not counted: an installation need not have them."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc") / 1e6
