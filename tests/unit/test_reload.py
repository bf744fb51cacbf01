"""When a changed file of settings is read (`bootstrap.serving.Reload`)."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reynard.bootstrap.serving import Reload


class Applied(list[Any]):
    """In place of the wiring: keeps what it is given."""

    def apply(self, settings: Any) -> None:
        self.append(settings)


@pytest.mark.parametrize(
    ("looks", "applied"),
    [
        (["old", "old", "old"], []),
        (["new", "new", "new"], ["new"]),
        (["", "new", "new", "new"], ["new"]),  # cut, as many editors do it, and then written
        (["new", "newer", "newer", "newer", "last", "last"], ["newer", "last"]),
        ([None, "new", "new"], ["new"]),
    ],
)
async def test_a_file_is_read_when_it_rests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: list[str | None], applied: list[str]
) -> None:
    file, found = tmp_path / "reynard.toml", Applied()
    file.write_text("old")
    coming: Iterator[str | None] = iter(looks)

    async def next_look(_: float) -> None:
        text = next(coming, "over")
        if text == "over":
            raise asyncio.CancelledError
        if text is None:
            file.unlink()
        elif not file.exists() or file.read_text() != text:
            file.write_text(text)

    monkeypatch.setattr("reynard.bootstrap.serving.asyncio.sleep", next_look)
    with pytest.raises(asyncio.CancelledError):
        await Reload(file, file.read_text).watch(found)  # type: ignore[arg-type]
    assert found == applied
