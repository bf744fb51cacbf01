"""The figures as one picture, in SVG and in PNG."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import matplotlib
from matplotlib.figure import Figure

from bench.figures import UPSTREAM, Figures
from bench.scenarios import CONNECTIONS, PROXIES, RATED, SIZES, sync_name
from reynard.testing.load import SPECTRUM

COLOURS: Final = {
    "reynard": "#d1560f",
    "bare loop": "#4b72b0",
    "nginx": "#3f8f5b",
    "portkey": "#8a5fb5",
    "litellm": "#8c8c8c",
    UPSTREAM: "#c9c9c9",
}
INCHES: Final = (12.5, 8.6)
DOTS: Final = 120
MARK: Final = "o"


def draw(figures: Figures, *files: Path) -> None:
    """One picture of four panels, in as many formats as there are files."""
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 10})
    picture = Figure(figsize=INCHES, layout="constrained")
    panels = picture.subplots(2, 2)
    for panel, plot in zip(panels.flat, (_throughput, _latency, _cpu, _bodies), strict=True):
        plot(panel, figures)
        panel.spines[["top", "right"]].set_visible(False)
    named = {name: line for panel in panels.flat for line, name in zip(*panel.get_legend_handles_labels(), strict=True)}
    if named:
        picture.legend([*named.values()], [*named], loc="outside upper center", ncols=len(named), frameon=False)
    for file in files:
        picture.savefig(file, dpi=DOTS, metadata={"Date": None} if file.suffix == ".svg" else None)


def _throughput(panel: Any, figures: Figures) -> None:
    panel.set_title("sync JSON: answers a second, by connections", loc="left")
    _lines(panel, [(str(count), sync_name(count)) for count in CONNECTIONS], figures, "answers")


def _bodies(panel: Any, figures: Figures) -> None:
    panel.set_title("answers a second, by the size of the body", loc="left")
    found = {what.partition(" · ")[0] for what in figures.rows}
    names = {size: next((name for name in found if name.startswith(f"body of {size},")), "") for size in SIZES}
    _lines(panel, list(names.items()), figures, "answers")


def _latency(panel: Any, figures: Figures) -> None:
    panel.set_title(f"{RATED}: ms since each was due", loc="left")
    _each(panel, (UPSTREAM, *PROXIES), [*SPECTRUM], lambda who, what: figures.median(RATED, who, what))


def _lines(panel: Any, points: list[tuple[str, str]], figures: Figures, what: str) -> None:
    scenarios = dict(points)
    _each(panel, PROXIES, [*scenarios], lambda who, label: figures.median(scenarios[label], who, what))


def _each(panel: Any, subjects: tuple[str, ...], labels: list[str], value: Callable[[str, str], float | None]) -> None:
    """A line a subject over the same labels, on a scale of powers of ten; what was not measured is left out."""
    panel.set_xticks(range(len(labels)), labels)
    for subject in subjects:
        values = [value(subject, label) for label in labels]
        at = [number for number, found in enumerate(values) if found]
        if at:
            seen = [found for found in values if found]
            panel.plot(at, seen, MARK + "-", color=COLOURS[subject], label=subject, linewidth=1.8, markersize=5)
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter(lambda number, _: f"{number:,g}")
    panel.grid(axis="y", color="#e6e6e6")
    panel.set_axisbelow(True)


def _cpu(panel: Any, figures: Figures) -> None:
    panel.set_title("sync JSON, 32 connections: CPU ms a request", loc="left")
    found = {subject: figures.median(sync_name(32), subject, "CPU") for subject in PROXIES}
    measured = {subject: value for subject, value in found.items() if value}
    panel.set_yticks(range(len(measured)), [*measured])
    panel.set_ylim(len(measured) - 0.5, -0.5)
    for at, (subject, value) in enumerate(measured.items()):
        panel.plot(value, at, MARK, color=COLOURS[subject], markersize=9)
        panel.annotate(f"{value:.3g}", (value, at), xytext=(9, -4), textcoords="offset points")
    panel.set_xscale("log")
    panel.margins(x=0.15)
    panel.xaxis.set_major_formatter(lambda number, _: f"{number:g}")
    panel.grid(axis="x", color="#e6e6e6")
