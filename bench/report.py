"""The figures of a run, kept as they come: as JSON with all rounds, as tables, and as pictures at its end."""

import datetime
import os
import platform
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from bench.figures import Figures, Row, by_scenario
from bench.targets import verdicts

NOT_MEASURED: Final = "not measured in this run"
PACKAGES: Final = ("uvloop", "httptools", "msgspec")


class Report:
    """`stem`: the path of the files, without their ends."""

    def __init__(self, stem: Path, how: str) -> None:
        self.figures = Figures()
        self.versions: dict[str, str] = {}
        self._stem = stem
        self._how = how
        self._began = datetime.datetime.now(datetime.UTC)

    def keep(self) -> None:
        """What there is by now, as JSON."""
        self._stem.parent.mkdir(parents=True, exist_ok=True)
        whole = {
            "at": self._began,
            "how": self._how,
            "machine": machine(),
            "versions": self.versions,
            "targets": list(verdicts(self.figures)),
            "rows": list(self.figures.rows.values()),
            "notes": self.figures.notes,
        }
        self._file(".json").write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=1))

    def finish(self) -> str:
        """All of it; the tables are given back."""
        from bench import charts

        self.keep()
        text = self._text()
        self._file(".md").write_text(f"# {self._stem.name}\n\n{text}\n\n![the figures]({self._stem.name}.svg)\n")
        charts.draw(self.figures, self._file(".svg"), self._file(".png"))
        return text

    def _file(self, ending: str) -> Path:
        return self._stem.with_name(self._stem.name + ending)

    def _text(self) -> str:
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        parts = [f"{machine()}\n{versions}\n{self._how}", "## To be reached", targets(self.figures)]
        parts.append("\n".join(f"- {note}" for note in self.figures.notes))
        for scenario, subjects in by_scenario(self.figures.rows).items():
            parts += [f"## {scenario}", pivot(subjects)]
        return "\n\n".join(parts)


def machine() -> str:
    """What it was measured on."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    kind = f"{platform.system()} {platform.release()} {platform.machine()}, {_processor()}, {os.cpu_count()} cores"
    place = f"stores on {_file_system(Path(tempfile.gettempdir()))}"
    return f"{kind}, {place}, Python {platform.python_version()}, {packages}"


def targets(figures: Figures) -> str:
    """Target, reached, yes or no."""
    lines = []
    for verdict in verdicts(figures):
        answer = NOT_MEASURED if verdict.good is None else ("yes" if verdict.good else "**no**")
        lines.append([verdict.what, verdict.wanted, verdict.reached or "", answer])
    return table(["what", "target", "reached", ""], lines)


def pivot(subjects: Mapping[str, Mapping[str, Row]]) -> str:
    """A line a subject, a column a figure: the median, and the least and the most of the rounds."""
    columns = list(dict.fromkeys(what for rows in subjects.values() for what in rows))
    units = {what: row.unit for rows in subjects.values() for what, row in rows.items()}
    columns = [what for what in columns if what != "failed" or _any_failed(subjects)]
    lines = [[name, *(shown(rows.get(what)) for what in columns)] for name, rows in subjects.items()]
    return table(["", *(f"{what} {units[what]}".strip() for what in columns)], lines)


def shown(row: Row | None) -> str:
    """`median (least–most)`."""
    if row is None or not row.values:
        return ""
    values = (row.median, row.least, row.most)
    middle, least, most = (f"{value:,.0f}" if row.most >= 1_000 else f"{value:.3g}" for value in values)
    return middle if least == most else f"{middle} ({least}–{most})"


def table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    rows = [headings, ["---"] * len(headings), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _any_failed(subjects: Mapping[str, Mapping[str, Row]]) -> bool:
    return any(rows["failed"].most > 0 for rows in subjects.values() if "failed" in rows)


def _file_system(place: Path) -> str:
    """Of what kind it is: on one in memory a commit costs nothing."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    found = {Path(where): kind for _, where, kind, *_ in mounts}
    return next(found[folder] for folder in (place, *place.parents) if folder in found)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "a processor without a name"
