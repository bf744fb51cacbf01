"""Counters, histograms and gauges, and the text in which Prometheus reads them.

The format is version 0.0.4 of https://prometheus.io/docs/instrumenting/exposition_formats/. Everything runs on the
event loop's thread, so there are no locks; why it is written here: docs/decisions/0019.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final, Protocol

MOST_SERIES: Final = 2_000
OTHER: Final = "other"
"""The value of every label, for what comes when a family has as many series as it may."""

Values = tuple[str, ...]
"""The values of a family's labels, in their order."""
Reading = Mapping[Values, float]

_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Family(Protocol):
    """All series of one name."""

    name: str
    labels: Values

    def lines(self) -> Iterator[str]:
        """What is shown of it."""
        ...


class Counter:
    """Sums that only grow. They are shown divided by `per`, so that whole micro-credits can be counted as credits."""

    __slots__ = ("_help", "_most", "_per", "_sums", "labels", "name")

    def __init__(
        self, name: str, text: str, labels: Sequence[str] = (), *, per: int = 1, most: int = MOST_SERIES
    ) -> None:
        self.name = name
        self._help = text
        self.labels = tuple(labels)
        self._per = per
        self._most = most
        self._sums: dict[Values, float] = {} if labels else {(): 0}

    def add(self, values: Values = (), amount: float = 1) -> None:
        """Adds to the series of these labels."""
        try:
            self._sums[values] += amount
        except KeyError:
            self._begin(values, amount)

    def lines(self) -> Iterator[str]:
        """See `Family`."""
        yield from _head(self.name, self._help, "counter")
        for values, total in self._sums.items():
            yield _sample(self.name, _pairs(self.labels, values), total / self._per if self._per > 1 else total)

    def _begin(self, values: Values, amount: float) -> None:
        if len(self._sums) >= self._most:
            values = (OTHER,) * len(self.labels)
        self._sums[values] = self._sums.get(values, 0) + amount


class _Series:
    """One series of a histogram: observations by bucket, not added up, and their sum."""

    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.total = 0.0


class Histogram:
    """How many observations were at most as large as each of `bounds`."""

    __slots__ = ("_bounds", "_help", "_most", "_series", "labels", "name")

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str] = (),
        *,
        bounds: Sequence[float],
        most: int = MOST_SERIES // 10,
    ) -> None:
        self.name = name
        self._help = text
        self.labels = tuple(labels)
        self._bounds = tuple(bounds)
        self._most = most
        self._series: dict[Values, _Series] = {} if labels else {(): _Series(len(bounds) + 1)}

    def observe(self, values: Values, value: float) -> None:
        """One more, in the series of these labels."""
        series = self._series.get(values) or self._new(values)
        series.counts[bisect_left(self._bounds, value)] += 1
        series.total += value

    def lines(self) -> Iterator[str]:
        """See `Family`."""
        yield from _head(self.name, self._help, "histogram")
        edges = [*(f'le="{_number(bound)}"' for bound in self._bounds), 'le="+Inf"']
        for values, series in self._series.items():
            pairs = _pairs(self.labels, values)
            for edge, count in zip(edges, accumulate(series.counts), strict=True):
                yield _sample(f"{self.name}_bucket", f"{pairs},{edge}" if pairs else edge, count)
            yield _sample(f"{self.name}_sum", pairs, series.total)
            yield _sample(f"{self.name}_count", pairs, sum(series.counts))

    def _new(self, values: Values) -> _Series:
        if len(self._series) >= self._most:
            values = (OTHER,) * len(self.labels)
        return self._series.setdefault(values, _Series(len(self._bounds) + 1))


class Gauge:
    """What is so now: `read` is asked at each scrape. `kind`: `counter` for a sum that is kept elsewhere."""

    __slots__ = ("_help", "_kind", "_read", "labels", "name")

    def __init__(
        self, name: str, text: str, labels: Sequence[str], read: Callable[[], Reading], kind: str = "gauge"
    ) -> None:
        self.name = name
        self._help = text
        self.labels = tuple(labels)
        self._read = read
        self._kind = kind

    def lines(self) -> Iterator[str]:
        """See `Family`."""
        yield from _head(self.name, self._help, self._kind)
        for values, value in self._read().items():
            yield _sample(self.name, _pairs(self.labels, values), value)


def text(families: Iterable[Family]) -> bytes:
    """The whole page."""
    return "".join(f"{line}\n" for family in families for line in family.lines()).encode()


def _head(name: str, said: str, kind: str) -> tuple[str, str]:
    return f"# HELP {name} {said}", f"# TYPE {name} {kind}"


def _sample(name: str, pairs: str, value: float) -> str:
    return f"{name}{{{pairs}}} {_number(value)}" if pairs else f"{name} {_number(value)}"


def _pairs(labels: Values, values: Values) -> str:
    return ",".join(f'{label}="{value.translate(_ESCAPES)}"' for label, value in zip(labels, values, strict=True))


def _number(value: float) -> str:
    """The shortest that is read back as the same."""
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
