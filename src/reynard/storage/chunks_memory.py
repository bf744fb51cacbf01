"""The chunk log of one process, in memory: bounded in bytes, swept by age."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from reynard.core.errors import OffsetOutOfRange, Overloaded
from reynard.core.task import Status, Task, TaskError
from reynard.ports.chunks import Batch, StreamEnd
from reynard.ports.clock import Clock

MOST_IN_BATCH: Final = 512
MOST_BYTES_IN_BATCH: Final = 262_144
STREAM_OVERHEAD: Final = 1_024  # bytes that a stream costs before its first chunk
CHUNK_OVERHEAD: Final = 64  # bytes that an object and its place in a list cost


def _bounded(chunks: list[bytes]) -> list[bytes]:
    """As many of `chunks` as make a batch of a bounded size, and at least one."""
    size = 0
    for count, chunk in enumerate(chunks):
        size += len(chunk)
        if size > MOST_BYTES_IN_BATCH:
            return chunks[: max(1, count)]
    return chunks


class _Stream:
    __slots__ = ("chunks", "end", "ended_at", "size", "waiting")

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.size = STREAM_OVERHEAD
        self.end: StreamEnd | None = None
        self.ended_at = 0.0
        self.waiting: list[asyncio.Future[None]] = []

    def wake(self) -> None:
        for future in self.waiting:
            if not future.done():
                future.set_result(None)
        self.waiting.clear()


class MemoryChunkLog:
    """Streams under way, and ended ones for `retention_s`; at `max_bytes` the oldest ended ones go first."""

    def __init__(self, clock: Clock, *, retention_s: float, max_bytes: int, max_stream_bytes: int) -> None:
        self._clock = clock
        self._retention_s = retention_s
        self._max_bytes = max_bytes
        self._max_stream_bytes = max_stream_bytes
        self._streams: dict[str, _Stream] = {}
        self._ended: dict[str, None] = {}  # in order of their end
        self._size = 0

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
        size = await self.admit(task_id, chunks)
        stream = self._streams[task_id]
        stream.chunks.extend(chunks)
        stream.size += size
        self._size += size
        if stream.waiting:
            stream.wake()

    async def admit(self, task_id: str, chunks: Sequence[bytes]) -> int:
        """Makes room for `chunks`, and tells how much they take. Raises `Overloaded`."""
        size = sum(map(len, chunks)) + CHUNK_OVERHEAD * len(chunks)
        if self._streams[task_id].size + size > self._max_stream_bytes:
            raise Overloaded("The stream is longer than the gateway keeps.")
        if self._size + size > self._max_bytes:
            await self._make_room(size)
        return size

    async def flush(self, task_id: str) -> None:
        """See the port; nothing here outlives the process."""

    async def close_stream(self, task_id: str, *, error: TaskError | None = None, cancelled: bool = False) -> None:
        """See the port."""
        stream = self._streams.get(task_id)
        if stream is None:
            stream = self._keep(task_id, _Stream())
        stream.end = StreamEnd(len(stream.chunks), error, cancelled)
        stream.ended_at = self._clock.now()
        self._ended[task_id] = None
        stream.wake()
        await self.sweep()

    async def read(self, task_id: str, offset: int, wait_s: float) -> Batch | None:
        """See the port."""
        await self.sweep()
        stream = self._fresh(task_id)
        if stream is None:
            return None
        if not self._has_news(stream, offset) and wait_s > 0:
            await self._wait(stream, wait_s)
            stream = self._streams.get(task_id)
            if stream is None:
                return None
        have = len(stream.chunks)
        if offset > have:
            if stream.end is not None and stream.end.error is not None:
                return Batch((), stream.end)
            raise OffsetOutOfRange(f"`offset` {offset} is past the end: the stream has {have} chunks.", param="offset")
        chunks = _bounded(stream.chunks[offset : offset + MOST_IN_BATCH])
        return Batch(chunks, stream.end if offset + len(chunks) == have else None)

    async def sweep(self) -> None:
        """See the port."""
        oldest = self._clock.now() - self._retention_s
        while self._ended:
            task_id = next(iter(self._ended))
            if self._streams[task_id].ended_at > oldest:
                break
            self._forget(task_id)

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

    def since(self, task_id: str, first: int) -> list[bytes]:
        """The chunks from number `first` on; none of a log that is not here."""
        stream = self._streams.get(task_id)
        return [] if stream is None else stream.chunks[first:]

    def count(self, task_id: str) -> int:
        """How many chunks there are."""
        stream = self._streams.get(task_id)
        return 0 if stream is None else len(stream.chunks)

    def has_ended(self, task_id: str) -> bool:
        """Whether nothing will be appended any more."""
        return task_id not in self._streams or task_id in self._ended

    async def take_in(self, task: Task, chunks: list[bytes]) -> None:
        """The whole log of an ended task, from elsewhere. Raises `Overloaded` if there is no room for it."""
        stream = _Stream()
        stream.size += sum(map(len, chunks)) + CHUNK_OVERHEAD * len(chunks)
        await self._make_room(stream.size)
        stream.chunks = chunks
        stream.end = StreamEnd(len(chunks), task.error, task.status is Status.CANCELLED)
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
        return offset != len(stream.chunks) or stream.end is not None

    async def _wait(self, stream: _Stream, wait_s: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        stream.waiting.append(future)
        try:
            await asyncio.wait((future,), timeout=wait_s)
        finally:
            if not future.done():
                stream.waiting.remove(future)

    async def _make_room(self, size: int) -> None:
        await self.sweep()
        while self._size + size > self._max_bytes:
            if not self._ended:
                raise Overloaded("The gateway keeps as many streams as it has room for. Try again later.")
            self._forget(next(iter(self._ended)))

    def _forget(self, task_id: str) -> None:
        del self._ended[task_id]
        self._size -= self._streams.pop(task_id).size
