"""The page on metrics lists what there is, with its kind and labels."""

import re
from pathlib import Path
from typing import cast

from tests.exposition import read

from reynard.engine.engine import Engine
from reynard.engine.load import Load
from reynard.telemetry import exposition, gauges
from reynard.telemetry.metrics import Metrics

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text("utf-8")
ROW = re.compile(r"^\| `((?:reynard|process)_[a-z_]+)` \| (counter|gauge|histogram) \|([^|]*)\|", re.MULTILINE)


class Idle:
    """An engine with nothing to do."""

    load = Load({"pending": 0, "running": 0, "sync": 0}, 0, 0, 0)
    routes = type("Routes", (), {"all": ()})


def test_every_metric_is_documented_with_its_kind_and_labels() -> None:
    metrics = Metrics()
    metrics.add([*gauges.of_engine(cast("Engine", Idle()), lambda: 0), *gauges.of_process(0.0)])
    kinds = read(exposition.text(metrics.families).decode()).kinds
    labels = {family.name: family.labels for family in metrics.families}
    written = {name: (kind, tuple(re.findall(r"`(\w+)`", said))) for name, kind, said in ROW.findall(PAGE)}
    assert written == {name: (kind, labels[name]) for name, kind in kinds.items()}
