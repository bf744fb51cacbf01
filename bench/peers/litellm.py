"""The LiteLLM proxy, set up as its documentation wants it in production, as far as one core and no database allow.

Settings from docs.litellm.ai: /docs/proxy/prod (a master key, `LITELLM_LOG=ERROR`, `LITELLM_MODE=PRODUCTION`,
`request_timeout` 600, `set_verbose` off, one Uvicorn worker a core, spend and error logs off where nobody reads them),
/docs/proxy/server_tuning (Uvicorn, its default, "for almost all deployments"), /docs/proxy/cli (`--num_workers`),
/docs/proxy/telemetry (off unless turned on). The prices come from the package instead of the network
(`LITELLM_LOCAL_MODEL_COST_MAP`), or each start would be measured with a download.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers import cache, process
from bench.subject import MODEL, Subject

# Exact versions of all it needs, installed as they stand: some releases of this package were not its authors' and stole
# keys (1.82.7 and 1.82.8), which is also why it sees nothing of this machine's environment.
LOCK = Path(__file__).with_name("litellm.lock")
VERSION = next(line.removeprefix("litellm==") for line in LOCK.read_text().splitlines() if line.startswith("litellm=="))
KEY = "sk-bench"

CONFIGURATION = """\
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: {upstream}/v1
      api_key: sk-upstream
general_settings:
  master_key: {key}
  disable_spend_logs: true
  disable_error_logs: true
litellm_settings:
  request_timeout: 600
  set_verbose: false
"""

ENVIRONMENT = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
}


@contextmanager
def start(core: int, upstream_url: str, folder: Path) -> Iterator[Subject]:
    """One worker, installed on the first run. Raises `Unavailable`."""
    python = _python()
    port = process.free_port()
    settings = folder / "config.yaml"
    settings.write_text(CONFIGURATION.format(model=MODEL, upstream=upstream_url, key=KEY))
    options = ["--config", str(settings), "--host", "127.0.0.1", "--port", str(port)]
    command = [str(python.with_name("litellm")), *options, "--num_workers", "1"]
    headers = {"authorization": f"Bearer {KEY}"}
    with process.started(core, command, folder, ENVIRONMENT) as running:
        url = f"http://127.0.0.1:{port}"
        started_s = running.answers(url, headers, within_s=180)
        yield Subject(
            name="litellm", version=version(), url=url, pids=running.pids, headers=headers, started_s=started_s
        )


def version() -> str:
    """As its package says."""
    asked = "import importlib.metadata; print(importlib.metadata.version('litellm'))"
    return subprocess.run([_python(), "-c", asked], capture_output=True, text=True, check=True).stdout.strip()


def installed_mb() -> float:
    """The proxy and the packages it needs, without Python and pip: the interpreters are counted for none."""
    packages = _python().parents[1] / "lib"
    pip = sum(cache.megabytes(folder) for name in ("pip", "setuptools") for folder in packages.rglob(f"{name}/"))
    return cache.megabytes(packages) - pip


def _python() -> Path:
    return cache.installed(f"litellm-{VERSION}", _install) / "venv/bin/python"


def _install(folder: Path) -> None:
    python = folder / "venv/bin/python"
    cache.run(folder, sys.executable, "-m", "venv", str(python.parents[1]))
    cache.run(folder, str(python), "-m", "pip", "install", "--no-deps", "--only-binary=:all:", "-r", str(LOCK))
