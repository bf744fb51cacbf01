"""The size on disk of the program without extras: its own files, and those of everything it needs."""

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import reynard


def megabytes() -> float:
    """Compiled caches are not counted: an installation need not have them."""
    own = sum(file.stat().st_size for file in Path(reynard.__file__).parent.rglob("*") if _counts(file))
    return (own + sum(map(_size, _needed("reynard")))) / 1e6


def _needed(name: str) -> list[Distribution]:
    seen: dict[str, Distribution] = {}
    waiting = [name]
    while waiting:
        for requirement in distribution(waiting.pop()).requires or ():
            needed = re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0].lower()
            if ";" in requirement or needed in seen:
                continue  # an extra, or another platform's
            try:
                seen[needed] = distribution(needed)
            except PackageNotFoundError:
                continue
            waiting.append(needed)
    return list(seen.values())


def _size(found: Distribution) -> int:
    files = [Path(str(found.locate_file(file))) for file in found.files or ()]
    return sum(file.stat().st_size for file in files if file.exists() and _counts(file))


def _counts(file: Path) -> bool:
    return file.is_file() and file.suffix != ".pyc"
