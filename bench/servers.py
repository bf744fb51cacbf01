"""The processes of this program that are measured or measure, each on a core of its own."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench import guard
from reynard.testing.process import Listening, listening


@contextmanager
def server(core: int, *command: str) -> Iterator[Listening]:
    """`python -m command`, pinned to `core`, until the end. Raises `NotListening`."""
    with listening(*command, core=core) as found, guard.not_left_behind(found.pid):
        yield found
