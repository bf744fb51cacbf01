"""Real processes for the tests: a gateway, an upstream, and a client of the gateway."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import httpx2

from tests import forks

Dialect = Literal["openai", "anthropic", "gemini"]

START_TIMEOUT_S = 20
LOADED_MODEL = "gpt-5.5"
UPSTREAM_KEY = "sk-upstream"
FORGIVING = (
    "circuit = { failures = 1000, share = 1.0, calls = 1000 }\n"
    "retries = { floor = 1000 }\n"
    "rests = { limited_s = 0.01, refused_s = 0.01 }\n"
)
"""For a channel of which each test begins as if no other had been; what it remembers is shown in test_channels."""


class Ended(AssertionError):
    """A process that was gone before it listened."""

    def __init__(self, code: int, log: str) -> None:
        super().__init__(f"it ended: {log}")
        self.code = code


class Spawned(Protocol):
    """As much of `subprocess.Popen` as is used here."""

    pid: int
    stdout: IO[str] | None

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...


def environment() -> dict[str, str]:
    """Ours, without what is set for a gateway."""
    return {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY") and not k.startswith("REYNARD")}


class Process:
    """A server that prints where it listens."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._log = log.open("ab")
        self.popen = self._spawn(command)
        self.said: list[str] = []
        self.url = self._listening()

    def _spawn(self, command: list[str]) -> Spawned:
        command = [sys.executable, "-m", *command]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log, text=True, env=environment())

    def _listening(self) -> str:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.said.append(line.strip())
            if line.startswith("listening on "):
                return line.split()[-1]
        raise Ended(self.close(), Path(str(self._log.name)).read_text())

    def kill(self) -> None:
        """As the kernel does it."""
        self.popen.send_signal(signal.SIGKILL)
        self.close()

    def stop(self) -> int:
        """As an operator does it; the exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.close()

    def close(self) -> int:
        code = self.popen.wait(timeout=20)
        assert self.popen.stdout is not None
        self.popen.stdout.close()
        self._log.close()
        return code

    @property
    def resident_bytes(self) -> int:
        """What the process holds in memory."""
        fields = Path(f"/proc/{self.popen.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


class Upstream(Process):
    """A simulated provider."""

    def __init__(self, folder: Path, key: str = UPSTREAM_KEY) -> None:
        super().__init__(["reynard.testing.upstream", "--key", key], folder / "upstream.log")

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = httpx2.get(f"{self.url}/_state").json()
        return state

    def behave(self, **simulation: Any) -> None:
        httpx2.put(f"{self.url}/_simulation", content=json.dumps(simulation))


class Gateway(Process):
    """A gateway on a data directory of its own, with channels of `models` to an upstream."""

    def __init__(self, folder: Path, config: str = "", *, demo: bool = False) -> None:
        self.folder = folder
        self.config = folder / "reynard.toml"
        if config or not self.config.exists():
            self.config.write_text(config)
        options = ["--port", "0", "--data", str(folder / "data"), "--config", str(self.config)]
        super().__init__(["reynard", "serve", *options, *(["--demo"] if demo else [])], folder / "gateway.log")
        kept = folder / "admin.key"
        if len(self.said) > 1:
            kept.write_text(self.said[1])
        self.key = kept.read_text()

    def _spawn(self, command: list[str]) -> Spawned:
        return forks.Forked(command[1:], Path(self._log.name), environment())

    def client(self, key: str | None = None, timeout_s: float = 30.0) -> httpx2.Client:
        """Speaks with a key, by default the admin's."""
        headers = {"authorization": f"Bearer {self.key if key is None else key}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=timeout_s)

    def new_key(self, *options: str) -> str:
        """From the command line, while the gateway runs."""
        return self.command("keys", "create", *options).stdout.splitlines()[-1]

    def command(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`reynard …` on this data directory."""
        done = self.refused(*words, **environment)
        done.check_returncode()
        return done

    def refused(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """The same, whatever its exit code."""
        return forks.run(*words, "--data", str(self.folder / "data"), environment={**os.environ, **environment})


class FreshGateway(Gateway):
    """One that an interpreter of its own starts, as an operator's does: what it holds in memory is its own alone."""

    _spawn = Process._spawn


def channel(
    upstream: Upstream,
    *,
    name: str = "up",
    models: str = '["gpt-5.5", "gpt-5.4"]',
    dialect: Dialect = "openai",
    more: str = "",
) -> str:
    """A `[[channels]]` row that leads to `upstream`, in one of the wires that it speaks."""
    base_url = f"{upstream.url}/v1" if dialect == "openai" else upstream.url
    return (
        f'[[channels]]\nname = "{name}"\ndialect = "{dialect}"\nbase_url = "{base_url}"\n'
        f'api_key = "{UPSTREAM_KEY}"\nmodels = {models}\n{more}\n'
    )


@contextmanager
def running(process: Process) -> Iterator[Any]:
    """Stopped at the end, whatever happens."""
    try:
        yield process
    finally:
        if process.popen.poll() is None:
            process.kill()


def events(text: str) -> list[tuple[str, str, str]]:
    """The `(event, id, data)` of an event stream."""
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((fields.get("event", ""), fields.get("id", ""), fields.get("data", "")))
    return found


def text_of(chunks: list[dict[str, Any]]) -> str:
    """What the chunks of a stream say."""
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def text_request(**fields: Any) -> dict[str, Any]:
    """The smallest request, and what is added to it."""
    return {"model": LOADED_MODEL, "prompt": "Say something.", **fields}
