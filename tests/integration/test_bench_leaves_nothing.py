"""What the bench starts is gone with it, and peers are installed once."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from bench import guard, report
from bench.peers import cache, process
from tests.integration.test_answers import wait_for

ROOT = Path(__file__).parents[2]
PEER = (sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '60'])")  # with a child, as nginx has
BENCH = f"""
import signal, sys
from pathlib import Path
from bench.peers import process
with process.started(0, {PEER!r}, Path(sys.argv[1])) as running:
    while len(running.pids) < 2:
        pass
    print(*running.pids, flush=True)
    signal.pause()
"""


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("standing_still", [False, True])
def test_a_bench_that_is_killed_leaves_no_peer(tmp_path: Path, standing_still: bool) -> None:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    bench = subprocess.Popen(
        [sys.executable, "-c", BENCH, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert bench.stdout is not None
    with bench.stdout as said:
        pids = [int(word) for word in said.readline().split()]
        assert len(pids) == 2
        for pid in pids if standing_still else ():
            os.kill(pid, signal.SIGSTOP)
        bench.kill()
        bench.wait()
    wait_for(lambda: not any(map(is_there, pids)))


def test_what_is_watched_is_not_touched_while_the_bench_lives() -> None:
    with subprocess.Popen(["sleep", "60"]) as running:
        with guard.not_left_behind(running.pid):
            pass
        assert running.poll() is None
        running.kill()
        assert running.wait() == -signal.SIGKILL


def test_a_peer_is_ended_with_its_children(tmp_path: Path) -> None:
    with process.started(0, PEER, tmp_path) as running:
        wait_for(lambda: len(running.pids) == 2)
        pids = running.pids
    wait_for(lambda: not any(map(is_there, pids)))


def test_two_runs_install_a_peer_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REYNARD_BENCH_CACHE", str(tmp_path))
    begun, go_on = threading.Event(), threading.Event()
    installs: list[Path] = []

    def install(folder: Path) -> None:
        installs.append(folder)
        begun.set()
        assert go_on.wait(20)
        (folder / "file").touch()

    runs = [threading.Thread(target=cache.installed, args=("peer", install)) for _ in range(2)]
    runs[0].start()
    assert begun.wait(20)
    runs[1].start()
    wait_for(waits_for_the_lock(runs[1]))
    go_on.set()
    for run in runs:
        run.join(20)
    assert installs == [tmp_path / "peer"]
    assert (tmp_path / "peer" / "file").exists()


def waits_for_the_lock(run: threading.Thread) -> Callable[[], bool]:
    wchan = Path(f"/proc/self/task/{run.native_id}/wchan")
    began = time.monotonic()
    return lambda: "lock" in wchan.read_text() or time.monotonic() - began > 0.5


def test_an_installation_that_failed_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REYNARD_BENCH_CACHE", str(tmp_path))

    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        cache.installed("peer", fail)
    folder = cache.installed("peer", lambda made: (made / "whole").touch())
    assert (folder / "whole").exists()
    assert not (folder / "half").exists()


def test_the_report_says_what_kind_of_disk_the_stores_are_on() -> None:
    assert "stores on " in report.machine()
