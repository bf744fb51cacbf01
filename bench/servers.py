"""The processes of this program that are measured or measure, each on a core of its own."""

from contextlib import AbstractContextManager

from reynard.testing.process import Listening, listening


def server(core: int, *command: str) -> AbstractContextManager[Listening]:
    """`python -m command`, pinned to `core`, until the end. Raises `NotListening`."""
    return listening(*command, core=core)
