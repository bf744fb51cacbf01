"""The gateway's own secret: a file of the data directory, from which the secrets of webhooks are derived."""

import os
import secrets
from pathlib import Path
from typing import Final

SIZE: Final = 32


class MasterUnreadable(Exception):
    """The file is there, and is not what was written."""


class MasterSecret:
    """Made at the first need, readable by nobody else, the same for every process of the data directory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: bytes | None = None

    def __call__(self) -> bytes:
        """Its bytes. Raises `MasterUnreadable`, `OSError`."""
        if self._read is None:
            if not self._path.exists():
                self._make()
            found = self._path.read_bytes()
            if len(found) != SIZE:
                raise MasterUnreadable(f"{self._path} does not hold {SIZE} bytes: put it back from a backup")
            self._read = found
        return self._read

    def _make(self) -> None:
        """Whole under its name or not there at all; of two processes that make it at once, the first wins."""
        made = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
        with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
            file.write(secrets.token_bytes(SIZE))
            file.flush()
            os.fsync(file.fileno())
        try:
            self._path.hardlink_to(made)
        except FileExistsError:
            pass
        finally:
            made.unlink()
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
