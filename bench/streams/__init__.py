"""Streams and memory, measured side by side: `python -m bench.streams`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.figures import Row
from bench.subject import Start


def figures(
    folder: Path, rounds: int, seconds: float, starts: Mapping[str, Start], only: Sequence[str] = ()
) -> list[Row]:
    """All of it, interleaved: every target in turn, round after round. `seconds`: the longest measurement takes half.

    `starts`: the peers, by name; of reynard and the bare relay we have our own, with room for thousands of streams.
    `only`: words that the name of a measurement has, all of them.
    """
    from bench.streams.run import measured  # the servers of this package have nothing to do with what measures them

    return measured(folder, rounds, seconds, starts, only)
