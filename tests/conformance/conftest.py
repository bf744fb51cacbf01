"""The SQLite store that the suites are held against."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reynard.storage.sqlite import SQLiteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reynard.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteStore]:
    opened = SQLiteStore(path)
    yield opened
    await opened.close()
