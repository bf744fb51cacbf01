"""The chunk log: a stream is a log, not a socket. Any subscriber, at any offset, reads the same bytes."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from reynard.core.task import TaskError


class StreamEnd(Struct, frozen=True):
    """How a stream ended: `error` None is `done`. `total`: chunks it has."""

    total: int
    error: TaskError | None = None
    cancelled: bool = False


class Batch(Struct, frozen=True):
    """What a subscriber gets at an offset: chunks (JSON), and the end if it follows them. Both empty: nothing yet."""

    chunks: Sequence[bytes]
    end: StreamEnd | None = None


class ChunkLog(Protocol):
    """Chunks of one stream are numbered from 0 and never change, but for `restart` before anybody read one."""

    @property
    def held(self) -> tuple[int, int]:
        """How many streams are in memory now, and how many bytes they are counted as."""
        ...

    async def open(self, task_id: str) -> None:
        """An empty log, in place of whatever was there."""
        ...

    async def append(self, task_id: str, chunks: Sequence[bytes]) -> None:
        """More chunks. Raises `Overloaded` when the log is full."""
        ...

    async def close_stream(self, task_id: str, *, error: TaskError | None = None, cancelled: bool = False) -> None:
        """The end, kept for the retention time; a log that was never opened has just the end."""
        ...

    async def read(self, task_id: str, offset: int, wait_s: float) -> Batch | None:
        """What is at `offset`, waited for up to `wait_s`; None if there is no such log (any more).

        Raises `OffsetOutOfRange` for an offset past what there is.
        """
        ...

    async def sweep(self) -> None:
        """Forgets the streams whose retention time is over; `read` never shows one, swept or not."""
        ...
