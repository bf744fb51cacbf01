"""Portkey's gateway: on Node.js, without a database, told by each request's headers where it goes.

Settings: `node build/start-server.js` as in its docs/installation-deployments.md and its Dockerfile; `--headless`
leaves out the console and its stream of logs (src/start-server.ts), as does `NODE_ENV=production`; it writes no log of
requests. Provider and upstream by header: portkey.ai/docs/product/ai-gateway/custom-hosts. The upstream is on
127.0.0.1, which is among the hosts it trusts unless told otherwise (`TRUSTED_CUSTOM_HOSTS`).
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.peers import cache, process
from bench.subject import Subject, Unavailable

VERSION = "1.15.2"
# The newest with which it can stream at all: with what npm resolves today every stream fails ("TypeError: immutable").
# Its own package-lock.json has an older one, 1.13.5, and an older hono, and is no faster.
OVERRIDES = {"@hono/node-server": "1.14.1"}
PACKAGE = "node_modules/@portkey-ai/gateway"


@contextmanager
def start(core: int, upstream_url: str, folder: Path) -> Iterator[Subject]:
    """One process, installed on the first run. Raises `Unavailable`."""
    package = _package()
    port = process.free_port()
    command = [_found("node"), str(package / "build/start-server.js"), "--headless", f"--port={port}"]
    headers = {
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"{upstream_url}/v1",
        "authorization": "Bearer sk-bench",
    }
    with process.started(core, command, folder, {"NODE_ENV": "production"}) as running:
        url = f"http://127.0.0.1:{port}"
        started_s = running.answers(url, headers, within_s=60)
        yield Subject(
            name="portkey", version=version(), url=url, pids=running.pids, headers=headers, started_s=started_s
        )


def version() -> str:
    """As its package says."""
    said = msgspec.json.decode((_package() / "package.json").read_bytes())
    return str(said["version"])


def installed_mb() -> float:
    """The gateway and the packages it needs, without Node.js: the interpreters are counted for none."""
    return cache.megabytes(_package().parent.parent)


def _package() -> Path:
    return cache.installed(f"portkey-{VERSION}", _install) / PACKAGE


def _install(folder: Path) -> None:
    (folder / "package.json").write_text(msgspec.json.encode({"private": True, "overrides": OVERRIDES}).decode())
    # Its only script applies patches that the package does not have.
    quiet = ("--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund")
    cache.run(folder, _found("npm"), "install", *quiet, f"@portkey-ai/gateway@{VERSION}")


def _found(command: str) -> str:
    found = shutil.which(command)
    if found is None:
        raise Unavailable(f"there is no {command} on this machine: `apt-get install nodejs npm`")
    return found
