"""What lies in a data directory, and how it is opened."""

import fcntl
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from reynard.config import Settings
from reynard.core import keys
from reynard.core.keys import Key
from reynard.ports.blobs import Blobs
from reynard.ports.clock import Chance, Clock
from reynard.ports.store import Deliveries, DeliveryFilter, Keys
from reynard.storage.blobs import DiskBlobs, objects
from reynard.storage.master import MasterSecret
from reynard.storage.sqlite import SQLiteStore
from reynard.storage.sqlite.store import BUSY_TIMEOUT_S

log = logging.getLogger(__name__)

STORE_FILE: Final = "reynard.db"
LOCK_FILE: Final = "reynard.lock"
FILES_FOLDER: Final = "files"
MASTER_FILE: Final = "webhooks.secret"


class DataDirInUse(Exception):
    """Another gateway works on the data directory."""


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """The data directory, made if need be, for one gateway alone. Raises `DataDirInUse`."""
    _made(data_dir)
    with (data_dir / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataDirInUse(f"another gateway runs on {data_dir}; stop it, or choose another --data") from None
        yield


def open_store(data_dir: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> SQLiteStore:
    """The store of a data directory; a new one is its owner's alone, as SQLite makes the files beside it too."""
    path = _made(data_dir) / STORE_FILE
    if not path.exists():
        path.touch(mode=0o600)
    return SQLiteStore(path, busy_timeout_s=busy_timeout_s)


def _made(data_dir: Path) -> Path:
    """The directory; a new one is its owner's alone, and who may enter one that was there is the operator's choice."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return data_dir


def open_master(data_dir: Path) -> MasterSecret:
    """What the secrets of webhooks are derived from, to be read."""
    return MasterSecret(data_dir / MASTER_FILE)


async def first_master(data_dir: Path, store: Deliveries) -> MasterSecret:
    """The same, read already, and made if need be. Raises `MasterUnreadable`, `OSError`."""
    master = open_master(data_dir)
    is_made = master.make()
    master()
    if is_made and (await store.list_deliveries(DeliveryFilter(key_id=None, limit=1))).deliveries:
        log.warning(
            "%s was not there and is made anew: the webhooks of every key have other secrets from now on. "
            "If you have a backup of it, stop the gateway and put it back.",
            data_dir / MASTER_FILE,
        )
    return master


def open_blobs(settings: Settings, environment: Mapping[str, str]) -> Blobs:
    """Where the bytes of uploaded files are kept. Raises `objects.ExtraMissing`."""
    if settings.files.url == "disk":
        return DiskBlobs(Path(settings.server.data_dir) / FILES_FOLDER)
    return objects.connect(settings.files.url, environment)


def new_key(chance: Chance, clock: Clock, *, name: str, **fields: Any) -> tuple[str, Key]:
    """A secret, and the key that is kept of it."""
    secret = keys.make(chance.below)
    key = Key(
        id=keys.key_id(chance.below),
        digest=keys.digest(secret),
        name=name,
        hint=keys.hint(secret),
        created=clock.now(),
        **fields,
    )
    return secret, key


async def first_key(store: Keys, clock: Clock, chance: Chance) -> str | None:
    """The admin key of a new directory; None if there are keys already."""
    if await store.list_keys():
        return None
    secret, key = new_key(chance, clock, name="admin", admin=True)
    await store.add_key(key)
    return secret
