"""The chunk log: a stream is a log, not a socket. Any subscriber, at any offset, reads the same bytes."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from msgspec import Struct

from reynard.core.task import Task, TaskError


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
        """An empty log, in place of whatever was there, also of what an earlier process wrote of it.

        Raises `StoreUnavailable`; then it must be opened again before anything is appended.
        """
        ...

    async def append(self, task_id: str, chunks: Sequence[bytes]) -> None:
        """More chunks. Waits where there is no room for them until there is: whoever appends is to read no faster.

        Raises `GenerationError` for a stream that is longer than one may be, `StoreUnavailable` if it writes before it
        delivers.
        """
        ...

    async def flush(self, task_id: str) -> None:
        """Returns when all that was appended is where it outlives the process, if this log has such a place.

        A task's end is written after this: a completed stream is never found shorter. Raises `StoreUnavailable`.
        """
        ...

    async def close_stream(self, task_id: str, *, error: TaskError | None = None, cancelled: bool = False) -> None:
        """The end, kept for the retention time. A log that is not here has just the end, unless chunks of it were
        written: then it is for `restore`."""
        ...

    async def read(self, task_id: str, offset: int, wait_s: float) -> Batch | None:
        """What is at `offset`, waited for up to `wait_s`; None if there is no such log (any more).

        Raises `OffsetOutOfRange` for an offset past what there is.
        """
        ...

    async def restore(self, task: Task) -> bool:
        """The stream of an ended task, as far as it was written, with the end that the task came to: whether there is
        one to read now. False once its retention time is over. Raises `StoreUnavailable`."""
        ...

    def kept(self, task_id: str) -> AsyncIterator[Sequence[bytes]]:
        """What there is of a stream, page by page, whichever process appended it. Raises `StoreUnavailable`."""
        ...

    async def sweep(self) -> None:
        """Forgets the streams whose retention time is over; `read` never shows one, swept or not."""
        ...
