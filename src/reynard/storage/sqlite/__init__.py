"""The embedded store: one SQLite file, one writer thread, group commit."""

from reynard.storage.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
