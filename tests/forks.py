"""`reynard …` in processes of their own, forked from one that has imported everything: most of a start is imports."""

import gc
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from reynard.cli import main as command_line

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(
    [
        "pytest",  # our main module's import, which each fork would do anew
        "tests.crash.gateway",
        "reynard.bootstrap.serving",
        "reynard.telemetry.logs",
        *(command.partition(":")[0] for command in command_line.COMMANDS.values()),
    ]
)


def _run(
    output: Connection,
    log: str,
    stdin: str,
    words: list[str],
    environment: dict[str, str],
    before: Callable[[], None] | None,
) -> None:
    """In the fork, which was made for it."""
    sys.stdin = Path(stdin).open()  # noqa: SIM115 for as long as the process is there
    os.dup2(output.fileno(), 1)
    os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), 2)
    output.close()
    os.environ.clear()
    os.environ.update(environment)
    gc.freeze()  # what is shared with the other forks is not looked through, which would copy it
    if before is not None:
        before()
    sys.argv = ["reynard", *words]
    command_line.main()


class Forked:
    """`reynard words`, as much of a `subprocess.Popen` as is used here. `before`: what else is done in its process."""

    def __init__(
        self,
        words: list[str],
        log: Path,
        environment: Mapping[str, str],
        *,
        stdin: str = os.devnull,
        before: Callable[[], None] | None = None,
    ) -> None:
        ours, theirs = _forks.Pipe(duplex=False)
        arguments = (theirs, str(log), stdin, words, dict(environment), before)
        self._process = _forks.Process(target=_run, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        self.pid = self._process.pid or 0
        self.stdout: IO[str] | None = os.fdopen(os.dup(ours.fileno()))
        ours.close()

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutError("it lives on")
        return self._process.exitcode

    def send_signal(self, sig: int) -> None:
        os.kill(self.pid, sig)


def run(*words: str, environment: Mapping[str, str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    """`reynard words` until it ends, and all that it said."""
    with TemporaryDirectory() as folder:
        log, asked = Path(folder, "stderr"), Path(folder, "stdin")
        asked.write_text(stdin)
        forked = Forked(list(words), log, environment, stdin=str(asked))
        assert forked.stdout is not None
        with forked.stdout as stdout:
            said = stdout.read()
        return subprocess.CompletedProcess(words, forked.wait(), said, log.read_text())
