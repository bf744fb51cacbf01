"""How long it takes to be there: the import alone, and from nothing to the first answer."""

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from bench import servers
from bench.figures import Figures, named

SCENARIO = "start"
IMPORTS = (
    "import time; began = time.perf_counter(); import reynard.cli.main, reynard.cli.serve, reynard.bootstrap.serving; "
    "print(time.perf_counter() - began)"
)


def measure(folder: Path, core: int, turn: int, figures: Figures) -> None:
    """Once, with a data directory of its own."""
    printed = subprocess.run(
        [sys.executable, "-c", IMPORTS],
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    ).stdout
    figures.add(named(SCENARIO, "reynard", "import"), "s", float(printed))
    began = time.perf_counter()
    place = ("--port", "0", "--data", str(folder / f"start{turn}"))
    with servers.server(core, "reynard", "serve", *place) as gateway:
        urllib.request.urlopen(f"{gateway.url}/readyz").read()
        figures.add(named(SCENARIO, "reynard", "ready"), "s", time.perf_counter() - began)
