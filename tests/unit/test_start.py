"""What a start loads: the commands, the wires and the ways that nobody has asked for yet are not in it."""

import subprocess
import sys

STARTS = "import reynard.cli.main, reynard.cli.serve, reynard.bootstrap.serving, sys; print(*sys.modules)"
LATER = (
    "reynard.client",
    "reynard.http.openapi",
    "reynard.providers.anthropic",
    "reynard.providers.gemini",
    "reynard.providers.google_http",
    "reynard.testing",
    "importlib.resources",
    "obstore",
    "python_multipart",
    "urllib.request",
    "xllamacpp",
)


def test_a_start_loads_nothing_that_few_need() -> None:
    printed = subprocess.run([sys.executable, "-c", STARTS], check=True, capture_output=True, text=True).stdout
    loaded = set(printed.split())
    assert "reynard.http.app" in loaded
    assert loaded.isdisjoint(LATER), loaded.intersection(LATER)
