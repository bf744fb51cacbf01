"""How long it takes to be there: the import alone, and from nothing to the first answer."""

import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from bench import cost, servers
from bench.figures import Figures, named

SCENARIO = "start"
IMPORTS = (
    "import time; began = time.perf_counter(); import reynard.cli.main, reynard.cli.serve, reynard.bootstrap.serving; "
    "print(time.perf_counter() - began)"
)


def measure(folder: Path, turn: int, figures: Figures) -> None:
    """Once, with a data directory of its own."""
    printed = subprocess.run([sys.executable, "-c", IMPORTS], check=True, capture_output=True, text=True).stdout
    figures.add(named(SCENARIO, "reynard", "import"), "s", float(printed))
    began = time.perf_counter()
    place = ("--port", "0", "--data", str(folder / f"start{turn}"))
    with servers.server(0, "reynard", "serve", *place) as gateway:
        urllib.request.urlopen(f"{gateway.url}/readyz").read()
        figures.add(named(SCENARIO, "reynard", "ready"), "s", time.perf_counter() - began)
        figures.add(named(SCENARIO, "reynard", "idle, peak memory"), "MB", cost.peak_mb((gateway.pid,)))
