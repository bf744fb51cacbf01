"""The samples of a soak as a picture: `python -m tests.load.chart samples.csv picture.svg`."""

import csv
import math
import sys
from collections.abc import Sequence
from pathlib import Path

WIDTH, PANEL, LEFT, TOP = 880, 96, 150, 34
PANELS = (
    ("resident", "memory, MB", 1e6),
    ("descriptors", "descriptors", 1.0),
    ("threads", "threads", 1.0),
    ("store", "store, MB", 1e6),
    ("wal", "its WAL, MB", 1e6),
)
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#57606a}.line{fill:none;stroke:#0969da;stroke-width:1.5}"
    ".axis{stroke:#d0d7de}.ground{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#9198a1}"
    ".line{stroke:#4493f8}.axis{stroke:#3d444d}.ground{fill:#0d1117}}"
)


def chart(rows: Sequence[dict[str, float]]) -> str:
    """A panel for each figure, from nothing up, over the same time."""
    end_s = rows[-1]["at_s"]
    height = TOP + PANEL * len(PANELS) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="t">',
        f'<title id="t">Memory, descriptors, threads and the store over a soak of {end_s / 60:.0f} minutes</title>',
        f'<style>{STYLE}</style><rect class="ground" width="{WIDTH}" height="{height}"/>',
    ]
    for number, (field, name, unit) in enumerate(PANELS):
        values = [row[field] / unit for row in rows]
        parts.append(_panel(TOP + PANEL * number, name, [row["at_s"] / end_s for row in rows], values))
    for minute in range(0, int(end_s / 60) + 1, max(1, round(end_s / 360))):
        x = LEFT + (WIDTH - LEFT - 30) * minute * 60 / end_s
        parts.append(f'<text x="{x:.0f}" y="{height - 8}" text-anchor="middle">{minute} min</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(top: int, name: str, at: Sequence[float], values: Sequence[float]) -> str:
    most = _round_up(max(values))
    bottom, tall = top + PANEL - 30, PANEL - 30
    points = " ".join(
        f"{LEFT + (WIDTH - LEFT - 30) * x:.1f},{bottom - tall * value / most:.1f}"
        for x, value in zip(at, values, strict=True)
    )
    return (
        f'<text x="16" y="{top + tall / 2 + 5:.0f}">{name}</text>'
        f'<text x="{LEFT - 10}" y="{top + 5}" text-anchor="end">{most:g}</text>'
        f'<text x="{LEFT - 10}" y="{bottom + 5}" text-anchor="end">0</text>'
        f'<path class="axis" d="M{LEFT} {top}H{WIDTH - 30}M{LEFT} {bottom}H{WIDTH - 30}"/>'
        f'<polyline class="line" points="{points}"/>'
    )


def _round_up(value: float) -> float:
    """To one or two digits."""
    power = float(10 ** math.floor(math.log10(max(value, 1))))
    return math.ceil(value / power * 2) / 2 * power


def main(samples: str, picture: str) -> None:
    with Path(samples).open() as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    Path(picture).write_text(chart(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
