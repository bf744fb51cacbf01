"""A strict reader of the text that Prometheus scrapes (exposition format 0.0.4)."""

import re
from typing import NamedTuple

SAMPLE = re.compile(r'([a-z_:][a-z0-9_:]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\n"])*",?)+)\})? (\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\[\\n"])*)"')
SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
Labels = frozenset[tuple[str, str]]


class Page(NamedTuple):
    """The kinds of the families, and each sample's value."""

    kinds: dict[str, str]
    samples: dict[tuple[str, Labels], float]

    def value(self, name: str, **labels: str) -> float:
        """Of one series; 0 if there is none yet."""
        return self.samples.get((name, frozenset(labels.items())), 0.0)

    def series(self, name: str) -> list[dict[str, str]]:
        """The labels of each."""
        return [dict(labels) for found, labels in self.samples if found == name]


def read(text: str) -> Page:
    """Every line is a HELP, a TYPE after it, or a sample of the family named last; none comes twice."""
    kinds: dict[str, str] = {}
    samples: dict[tuple[str, Labels], float] = {}
    helped = family = ""
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped = line.split(" ", 3)[2]
            assert helped not in kinds, f"{helped} comes twice"
        elif line.startswith("# TYPE "):
            _, _, family, kinds[helped] = line.split(" ")
            assert family == helped
        else:
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            name, pairs, value = match.groups()
            assert name in {family + suffix for suffix in SUFFIXES[kinds[family]]}, line
            labels = LABEL.findall(pairs or "")
            assert len(dict(labels)) == len(labels), line
            assert (name, frozenset(labels)) not in samples, line
            samples[name, frozenset(labels)] = float(value)
    _check_histograms(kinds, samples)
    return Page(kinds, samples)


def _check_histograms(kinds: dict[str, str], samples: dict[tuple[str, Labels], float]) -> None:
    """Buckets never fall, and the last is the count."""
    buckets: dict[tuple[str, Labels], list[tuple[float, float]]] = {}
    for (name, labels), value in samples.items():
        family = name.removesuffix("_bucket")
        if kinds.get(family) == "histogram" and name != family:
            rest = dict(labels)
            bound = float(rest.pop("le"))
            buckets.setdefault((family, frozenset(rest.items())), []).append((bound, value))
    for (family, labels), found in buckets.items():
        counts = [count for _, count in sorted(found)]
        assert counts == sorted(counts), family
        assert max(found) == (float("inf"), samples[f"{family}_count", labels])
        assert (f"{family}_sum", labels) in samples
