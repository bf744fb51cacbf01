"""Streams and memory, measured side by side: `python -m bench.streams`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.figures import Figures
from bench.subject import Start


def measure(
    found: Figures, folder: Path, rounds: int, seconds: float, starts: Mapping[str, Start], only: Sequence[str] = ()
) -> None:
    """All of it, interleaved: every target in turn, round after round. `seconds`: the longest measurement takes half.

    `starts`: the peers, by name; of reynard and the bare relay we have our own, with room for thousands of streams.
    What could not be measured is among the notes. `only`: words that the name of a measurement has, all of them.
    """
    from bench.streams.run import measure_all  # the servers of this package have nothing to do with what measures them

    measure_all(found, folder, rounds, seconds, starts, only)
