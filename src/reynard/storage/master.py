"""The gateway's own secret: a file of the data directory, from which the secrets of webhooks are derived."""

import os
import secrets
from pathlib import Path
from typing import Final

SIZE: Final = 32


class MasterUnreadable(Exception):
    """There is no file, or it cannot be read, or is not what was written."""


class MasterSecret:
    """Readable by nobody else, the same for every process of the data directory. Who serves makes it; the others, who
    may be somebody else on this machine, only read it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: bytes | None = None

    def __call__(self) -> bytes:
        """Its bytes. Raises `MasterUnreadable`."""
        if self._read is None:
            self._read = self._found()
        return self._read

    def make(self) -> bool:
        """Whether it was not there, and was made. Whole under its name or not at all; of two processes that make it at
        once, the first wins. Raises `OSError`."""
        if self._path.exists():
            return False
        self._make()
        return True

    def _found(self) -> bytes:
        try:
            found = self._path.read_bytes()
        except FileNotFoundError:
            raise MasterUnreadable(f"{self._path} is not there: start the gateway first, which makes it") from None
        except OSError as error:
            raise MasterUnreadable(f"{self._path}: {error.strerror}; the gateway's user must own it") from None
        if len(found) != SIZE:
            raise MasterUnreadable(f"{self._path} does not hold {SIZE} bytes: put it back from a backup")
        return found

    def _make(self) -> None:
        made = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
        with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
            file.write(secrets.token_bytes(SIZE))
            file.flush()
            os.fsync(file.fileno())
        try:
            self._path.hardlink_to(made)
        except FileExistsError:
            pass  # another process made one just now: that one it is
        finally:
            made.unlink()
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
