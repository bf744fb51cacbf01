"""The chunk log of one process, in memory: bounded in bytes, swept by age.

Of a stream it holds the chunks from `first` on. What is before that was let go of, and is where it was written.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from reynard.core.errors import GenerationError, OffsetOutOfRange
from reynard.core.task import Status, Task, TaskError
from reynard.ports.chunks import Batch, StreamEnd
from reynard.ports.clock import Clock
from reynard.storage.waits import Waits

MOST_IN_BATCH: Final = 512
MOST_BYTES_IN_BATCH: Final = 262_144
STREAM_OVERHEAD: Final = 1_024  # bytes that a stream costs before its first chunk
CHUNK_OVERHEAD: Final = 64  # bytes that an object costs beside its own: its head, what it is rounded up by, its place


def batch_of(chunks: list[bytes]) -> list[bytes]:
    """As many of `chunks` as make a batch of a bounded size, and at least one."""
    size = 0
    for count, chunk in enumerate(chunks[:MOST_IN_BATCH]):
        size += len(chunk)
        if size > MOST_BYTES_IN_BATCH:
            return chunks[: max(1, count)]
    return chunks[:MOST_IN_BATCH]


def weight(chunks: Sequence[bytes]) -> int:
    """Bytes that they take."""
    return sum(map(len, chunks)) + CHUNK_OVERHEAD * len(chunks)


class _Stream:
    __slots__ = ("chunks", "end", "ended_at", "first", "length", "size", "waiting")

    def __init__(self) -> None:
        self.first = 0  # the number of the first chunk that is here
        self.chunks: list[bytes] = []
        self.length = 0  # bytes of all that were ever appended
        self.size = STREAM_OVERHEAD  # bytes of what is here
        self.end: StreamEnd | None = None
        self.ended_at = 0.0
        self.waiting: dict[asyncio.Future[None], None] = {}  # thousands may read one stream, and each leaves by itself

    @property
    def total(self) -> int:
        return self.first + len(self.chunks)

    def wake(self) -> None:
        for future in self.waiting:
            if not future.done():
                future.set_result(None)
        self.waiting.clear()


class MemoryChunkLog:
    """Streams under way, and ended ones for `retention_s`. `make_room` keeps to `max_bytes`: the oldest ended go first.

    A stream under way is never ended for the sake of others: whoever appends to it makes room before.
    """

    def __init__(self, clock: Clock, *, retention_s: float, max_bytes: int, max_stream_bytes: int) -> None:
        self._clock = clock
        self._retention_s = retention_s
        self._max_bytes = max_bytes
        self._max_stream_bytes = max_stream_bytes
        self._streams: dict[str, _Stream] = {}
        self._ended: dict[str, None] = {}  # in order of their end
        self._size = 0
        self._waits = Waits()

    @property
    def held(self) -> tuple[int, int]:
        """See the port."""
        return len(self._streams), self._size

    async def open(self, task_id: str) -> None:
        """See the port."""
        before = self._streams.get(task_id)
        fresh = _Stream()
        if before is not None:
            self._size -= before.size
            self._ended.pop(task_id, None)
            fresh.waiting = before.waiting
        self._keep(task_id, fresh)

    async def append(self, task_id: str, chunks: Sequence[bytes]) -> None:
        """See the port."""
        size = self.check(task_id, chunks)
        self.make_room(size)
        self.add(task_id, chunks, size)

    def add(self, task_id: str, chunks: Sequence[bytes], size: int) -> None:
        """More chunks, of a weight for which there is room."""
        stream = self._streams[task_id]
        stream.chunks.extend(chunks)
        stream.length += size
        stream.size += size
        self._size += size
        if stream.waiting:
            stream.wake()

    def check(self, task_id: str, chunks: Sequence[bytes]) -> int:
        """How many bytes `chunks` take. Raises `GenerationError` if their stream would be too long."""
        size = weight(chunks)
        if self._streams[task_id].length + size > self._max_stream_bytes:
            raise GenerationError(
                "invalid_parameters", "The stream is longer than the gateway keeps. Ask for fewer tokens."
            )
        return size

    def make_room(self, size: int) -> bool:
        """Whether there is room for `size` bytes more, ended streams forgotten as far as that needs it."""
        if self._size + size <= self._max_bytes:
            return True
        self._sweep()
        while self._size + size > self._max_bytes and self._ended:
            self._forget(next(iter(self._ended)))
        return self._size + size <= self._max_bytes

    def let_go(self, task_id: str, before: int) -> None:
        """Of the chunks that are numbered below `before`: they can be read elsewhere."""
        stream = self._streams.get(task_id)
        if stream is None or before <= stream.first:
            return
        gone = stream.chunks[: before - stream.first]
        del stream.chunks[: len(gone)]
        stream.first += len(gone)
        size = weight(gone)
        stream.size -= size
        self._size -= size

    async def flush(self, task_id: str) -> None:
        """See the port; nothing here outlives the process."""

    async def close_stream(self, task_id: str, *, error: TaskError | None = None, cancelled: bool = False) -> None:
        """See the port."""
        stream = self._streams.get(task_id)
        if stream is None:
            stream = self._keep(task_id, _Stream())
        stream.end = StreamEnd(stream.total, error, cancelled)
        stream.ended_at = self._clock.now()
        self._ended[task_id] = None
        stream.wake()
        self._sweep()

    async def read(self, task_id: str, offset: int, wait_s: float) -> Batch | None:
        """See the port. Of what was let go of it has nothing: an empty batch, at once."""
        self._sweep()
        stream = self._fresh(task_id)
        if stream is None:
            return None
        if not self._has_news(stream, offset) and wait_s > 0:
            await self._wait(stream, wait_s)
            stream = self._streams.get(task_id)
            if stream is None:
                return None
        have = stream.total
        if offset < stream.first:
            return Batch(())
        if offset > have:
            if stream.end is not None and (stream.end.error is not None or stream.end.cancelled):
                return Batch((), stream.end)  # what was there may have been lost with the process that had it
            raise OffsetOutOfRange(f"`offset` {offset} is past the end: the stream has {have} chunks.", param="offset")
        start = offset - stream.first
        chunks = batch_of(stream.chunks[start : start + MOST_IN_BATCH])
        return Batch(chunks, self.end_at(task_id, offset + len(chunks)))

    def end_at(self, task_id: str, offset: int) -> StreamEnd | None:
        """The stream's end, if it is there."""
        stream = self._streams.get(task_id)
        return stream.end if stream is not None and stream.total == offset else None

    async def sweep(self) -> None:
        """See the port."""
        self._sweep()

    async def restore(self, task: Task) -> bool:
        """See the port."""
        return self._fresh(task.id) is not None

    async def kept(self, task_id: str) -> AsyncIterator[Sequence[bytes]]:
        """See the port."""
        if task_id in self._streams:
            yield self.since(task_id, 0)

    def __contains__(self, task_id: object) -> bool:
        """Whether there is a log of the task."""
        return task_id in self._streams

    def since(self, task_id: str, number: int) -> list[bytes]:
        """The chunks from `number` on, as far as they are here; none of a log that is not."""
        stream = self._streams.get(task_id)
        return [] if stream is None else stream.chunks[max(0, number - stream.first) :]

    def first(self, task_id: str) -> int:
        """The number of the first chunk that is here."""
        stream = self._streams.get(task_id)
        return 0 if stream is None else stream.first

    def count(self, task_id: str) -> int:
        """How many chunks the stream has, here or let go of."""
        stream = self._streams.get(task_id)
        return 0 if stream is None else stream.total

    def has_ended(self, task_id: str) -> bool:
        """Whether nothing will be appended any more."""
        return task_id not in self._streams or task_id in self._ended

    def take_in(self, task: Task, total: int) -> None:
        """An ended task's stream of `total` chunks, all of which are elsewhere."""
        stream = _Stream()
        stream.first = total
        stream.end = StreamEnd(total, task.error, task.status is Status.CANCELLED)
        stream.ended_at = self._clock.now() if task.ended is None else task.ended
        self._keep(task.id, stream)
        self._ended[task.id] = None

    def _fresh(self, task_id: str) -> _Stream | None:
        """One whose time is over is none, though `sweep` may come to it later: one taken in is not in its order."""
        stream = self._streams.get(task_id)
        if stream is not None and stream.end is not None:
            return stream if stream.ended_at > self._clock.now() - self._retention_s else None
        return stream

    def _keep(self, task_id: str, stream: _Stream) -> _Stream:
        self._streams[task_id] = stream
        self._size += stream.size
        return stream

    def _has_news(self, stream: _Stream, offset: int) -> bool:
        return offset != stream.total or stream.end is not None

    async def _wait(self, stream: _Stream, wait_s: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        stream.waiting[future] = None
        try:
            await self._waits.end(future, wait_s)
        finally:
            stream.waiting.pop(future, None)

    def _sweep(self) -> None:
        oldest = self._clock.now() - self._retention_s
        while self._ended:
            task_id = next(iter(self._ended))
            if self._streams[task_id].ended_at > oldest:
                break
            self._forget(task_id)

    def _forget(self, task_id: str) -> None:
        del self._ended[task_id]
        self._size -= self._streams.pop(task_id).size
