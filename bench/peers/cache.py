"""Where the peers are installed: outside the repository, kept from run to run."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from bench.subject import Unavailable

INSTALL_S = 900


def installed(name: str, install: Callable[[Path], None]) -> Path:
    """The folder that `install` filled, today or before. One that was not finished is begun anew."""
    cache = Path(os.environ.get("REYNARD_BENCH_CACHE") or Path.home() / ".cache" / "reynard-bench")
    folder = cache / name
    finished = folder / "finished"
    if not finished.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        install(folder)
        finished.touch()
    return folder


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
