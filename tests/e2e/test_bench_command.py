"""`reynard bench`, as people run it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.e2e.test_command_line import reynard


def test_bench_measures_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = reynard("bench", "--seconds", "0.3", "--json", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    loads = json.loads(done.stdout)
    assert [(load["what"], load["connections"]) for load in loads] == [
        ("sync completion", 1),
        ("sync completion", 32),
        ("async, submit to completed", 1),
        ("async submit", 32),
    ]
    for load in loads:
        assert load["requests_per_s"] > 0
        assert load["failures"] == {}
        assert 0 < load["ms"]["p50"] <= load["ms"]["p99"] <= load["ms"]["p99.9"] <= load["ms"]["max"]
    assert not list(tmp_path.iterdir())


def test_bench_shows_a_table_and_its_progress() -> None:
    done = reynard("bench", "--seconds", "0.1")
    assert done.returncode == 0, done.stderr
    assert [line.split("  ")[0] for line in done.stdout.splitlines()] == [
        "WHAT",
        "sync completion",
        "sync completion",
        "async, submit to completed",
        "async submit",
    ]
    assert "sync completion, 32 at once" in done.stderr
    assert "every answer was good" in done.stderr


def test_bench_needs_no_settings_and_takes_none_of_yours() -> None:
    done = reynard("bench", "--seconds", "0.1", REYNARD_SERVER__PORT="not a port", REYNARD_ENGINE__MAX_SYNC="0")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_bench_can_be_broken_off(stop: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "reynard", "bench", "--seconds", "30"]
    began = time.monotonic()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        assert "sync completion" in process.stderr.readline()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 2
        process.send_signal(stop)
        process.wait(25)
    assert time.monotonic() - began < 25
    assert not [child for child in children if Path(f"/proc/{child}").exists()]
