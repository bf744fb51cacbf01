"""The chunk log in memory, with rows in a store: what was written outlives the process."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from reynard.core.errors import StoreUnavailable
from reynard.core.task import Task, TaskError
from reynard.ports.chunks import Batch
from reynard.ports.clock import Clock
from reynard.ports.store import ChunkRow, ChunkRows
from reynard.storage.chunks_memory import MOST_BYTES_IN_BATCH, MemoryChunkLog, batch_of

log = logging.getLogger(__name__)

MOST_IN_ROW: Final = 1_000_000  # bytes; a longer batch makes several rows, and a longer chunk one of its own
MOST_AT_ONCE: Final = 8_000_000  # bytes of a transaction
ROWS_AT_ONCE: Final = 50  # streams that get rows in each round; what is new of others is logged
ROUNDS: Final = 50  # in which each stream gets a row, however many there are
KEPT_OF_EACH: Final = 32  # of many streams, memory holds the latest chunks that are in rows, for who is a little behind
STREAMS_IN_ENTRY: Final = 500  # some milliseconds of the loop
RETRY_S: Final = 1.0


class _Stream:
    """How far a stream that is under way here is written."""

    __slots__ = ("logged", "since", "task_id", "touched", "writing", "written")

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self.written = 0  # chunks that are in rows of its own
        self.logged = 0  # chunks that are in those, or in an entry of the log
        self.since: int | None = None  # the first entry with a chunk that is in no row yet
        self.touched = False  # there may be rows of it, or entries
        self.writing: asyncio.Future[None] | None = None


class WrittenChunkLog:
    """Delivers at once, and writes what is new of all streams together, `write_delay_s` later: `keep_writing` runs it.

    Where many streams are under way, most of that goes to a log: an entry holds what is new of hundreds, and is read
    after a crash alone. In turn each stream gets a row of its own, of what entries hold of it and more.

    Memory is a cache of it: where it is full, ended streams are let go of first, then what is written of those under
    way, and a subscriber that is behind reads rows. What waits to be written is in memory too, so it is bounded as that
    is: who appends waits for the disk then, and with it the provider.
    """

    def __init__(
        self,
        memory: MemoryChunkLog,
        rows: ChunkRows,
        clock: Clock,
        *,
        write_delay_s: float,
        retention_s: float,
    ) -> None:
        self._memory = memory
        self._rows = rows
        self._clock = clock
        self._delay_s = write_delay_s
        self._retention_s = retention_s
        self._streams: dict[str, _Stream] = {}
        self._dirty: dict[str, _Stream] = {}
        self._first_entry, self._last_entry = 1, 0  # of the log, as far as this process wrote it
        self._has_taken_over = False
        self._taking_over = asyncio.Lock()
        self._work = asyncio.Event()
        self._spare: dict[str, _Stream] = {}  # of which memory holds what is written, written longest ago first
        self._making_room = asyncio.Lock()  # in order of arrival
        self._loading = asyncio.Lock()  # one stream at a time is looked through: many readers hold it once

    @property
    def held(self) -> tuple[int, int]:
        """See the port."""
        return self._memory.held

    async def open(self, task_id: str) -> None:
        """See the port."""
        await self._memory.open(task_id)
        before, fresh = self._streams.get(task_id), _Stream(task_id)
        fresh.touched = await self._was_written(task_id) if before is None else before.touched
        self._streams[task_id] = fresh
        self._dirty.pop(task_id, None)
        self._spare.pop(task_id, None)
        if before is not None and before.writing is not None:
            await asyncio.wait((before.writing,))
        if fresh.touched:
            await self._rows.drop_chunks(task_id)
            fresh.touched = False

    async def append(self, task_id: str, chunks: Sequence[bytes]) -> None:
        """See the port."""
        size = self._memory.check(task_id, chunks)
        if not self._memory.make_room(size):
            await self._room_for(size)
        self._memory.add(task_id, chunks, size)
        self._dirty[task_id] = self._streams[task_id]
        self._work.set()

    async def flush(self, task_id: str) -> None:
        """See the port."""
        while (stream := self._dirty.get(task_id)) is not None:
            if stream.writing is not None:
                await asyncio.wait((stream.writing,))
            else:
                await self._write([stream])

    async def close_stream(self, task_id: str, *, error: TaskError | None = None, cancelled: bool = False) -> None:
        """See the port."""
        if task_id not in self._memory and await self._was_written(task_id):
            return
        await self._memory.close_stream(task_id, error=error, cancelled=cancelled)
        if task_id not in self._dirty:
            self._forget(task_id)

    async def read(self, task_id: str, offset: int, wait_s: float) -> Batch | None:
        """See the port."""
        batch = await self._memory.read(task_id, offset, wait_s)
        if batch is None or batch.chunks or offset >= self._memory.first(task_id):
            return batch
        page = await self._rows.read_chunks(task_id, offset, MOST_BYTES_IN_BATCH)
        if not page:
            return None  # its time is over, and the rows went first
        chunks = batch_of(page)
        return Batch(chunks, self._memory.end_at(task_id, offset + len(chunks)))

    async def restore(self, task: Task) -> bool:
        """See the port."""
        if task.ended is None or task.ended <= self._clock.now() - self._retention_s:
            return False
        async with self._loading:
            if await self._memory.restore(task):
                return True
            await self._take_over()
            total = 0
            async for page in self._pages(task.id):
                total += len(page)
            if total:
                self._memory.take_in(task, total)
            return total > 0

    async def kept(self, task_id: str) -> AsyncIterator[Sequence[bytes]]:
        """See the port."""
        written = 0
        await self._take_over()
        if task_id not in self._memory or self._memory.first(task_id):
            async for page in self._pages(task_id):
                yield page
                written += len(page)
        if rest := self._memory.since(task_id, written):
            yield rest

    async def sweep(self) -> None:
        """See the port. The rows go with what else is past its time (`ports.store.Retention`)."""
        await self._memory.sweep()

    async def keep_writing(self) -> None:
        """Writes what is new, again and again; what cannot be written now stays in memory, and is tried again."""
        while True:
            await self._work.wait()
            await asyncio.sleep(self._delay_s)
            self._work.clear()
            try:
                await self.write()
            except StoreUnavailable:
                log.error("the chunks of %d streams cannot be written yet", len(self._dirty))
                await asyncio.sleep(RETRY_S)
            if self._dirty:
                self._work.set()

    async def write(self) -> None:
        """Writes what is new of every stream now; what comes meanwhile waits its turn. Raises `StoreUnavailable`."""
        streams = list(self._dirty.values())
        due = max(ROWS_AT_ONCE, -(-len(streams) // ROUNDS))
        new = {stream: self._memory.count(stream.task_id) for stream in streams[:due]}
        while left := [stream for stream, count in new.items() if stream.written < count and self._is_idle(stream)]:
            await self._write(left)
        await self._log_all(streams[due:])
        if len(streams) > ROWS_AT_ONCE:
            self._keep_latest(new)

    async def _write(self, streams: Sequence[_Stream]) -> None:
        """Writes rows of what is new of `streams`, or of as much of it as makes a transaction."""
        rows = list(self._bounded(streams))
        taken = {row.task_id: row.first + len(row.chunks) for row in rows}
        writing = [stream for stream in streams if stream.task_id in taken]
        with _under_way(writing):
            if rows:
                await self._rows.write_chunks(rows, self._clock.now())
            for stream in writing:
                self._is_written(stream, taken[stream.task_id])
        for stream in streams:
            self._let_go(stream)

    async def _log_all(self, streams: Sequence[_Stream]) -> None:
        """Logs what is new of `streams`, and lets go of entries that are not needed."""
        for start in range(0, len(streams), STREAMS_IN_ENTRY):
            await self._log(streams[start : start + STREAMS_IN_ENTRY])
        if not streams and self._oldest_entry() > self._first_entry:
            await self._add_entry([])

    async def _log(self, streams: Sequence[_Stream]) -> None:
        """Logs what is new of `streams`, in one entry."""
        rows = list(self._loggable(streams))
        if not rows:
            return
        new = [self._dirty[row.task_id] for row in rows]
        with _under_way(new):
            number = await self._add_entry(rows)
            for stream, row in zip(new, rows, strict=True):
                stream.logged = row.first + len(row.chunks)
                if stream.since is None:
                    stream.since = number

    def _loggable(self, streams: Sequence[_Stream]) -> Iterator[ChunkRow]:
        """What is new of `streams`, or as much of it as makes one transaction."""
        most = MOST_AT_ONCE
        for stream in streams:
            if stream.logged < self._memory.count(stream.task_id) and self._is_idle(stream):
                chunks = self._memory.since(stream.task_id, stream.logged)
                yield ChunkRow(stream.task_id, stream.logged, chunks)
                most -= sum(map(len, chunks))
                if most <= 0:
                    return

    async def _add_entry(self, rows: Sequence[ChunkRow]) -> int:
        """The number of an entry of `rows`; with the same commit those go that nobody would need any more."""
        oldest = self._oldest_entry()
        number = await self._rows.log_chunks(rows, oldest)
        self._first_entry, self._last_entry = oldest, max(self._last_entry, number)
        return number

    def _oldest_entry(self) -> int:
        """The first entry of which something is in no row yet; where there is none, the next."""
        held = (stream.since for stream in self._dirty.values() if stream.since is not None)
        return min(held, default=self._last_entry + 1)

    async def _was_written(self, task_id: str) -> bool:
        """Whether there are rows of a stream that is not under way here."""
        await self._take_over()
        return await self._rows.has_chunks(task_id)

    async def _take_over(self) -> None:
        """What an earlier process has logged becomes rows, once, before anybody looks for any."""
        if self._has_taken_over:
            return
        async with self._taking_over:
            if not self._has_taken_over:
                await self._rows.file_logged(self._clock.now())
                self._has_taken_over = True

    def _bounded(self, streams: Sequence[_Stream]) -> Iterator[ChunkRow]:
        """As many rows of what is not written yet as make one transaction, and one at least."""
        most = MOST_AT_ONCE
        for stream in streams:
            chunks = self._memory.since(stream.task_id, stream.written)
            for row in _rows(stream, chunks):
                yield row
                most -= sum(map(len, row.chunks))
                if most <= 0:
                    return

    def _is_idle(self, stream: _Stream) -> bool:
        """Whether it is to be written here: it did not begin anew, and nobody else writes it."""
        return self._dirty.get(stream.task_id) is stream and stream.writing is None

    def _let_go(self, stream: _Stream) -> None:
        """No longer watches a stream that has nothing new."""
        task_id = stream.task_id
        if not self._is_idle(stream):
            return
        del self._dirty[task_id]
        if self._memory.count(task_id) > stream.written:
            self._dirty[task_id] = stream  # behind those that had no row longer
        elif self._memory.has_ended(task_id):
            self._forget(task_id)

    def _is_written(self, stream: _Stream, count: int) -> None:
        stream.written = count
        if count >= stream.logged:
            stream.logged, stream.since = count, None
        if self._streams.get(stream.task_id) is stream:  # else it began anew, or has ended
            self._spare.setdefault(stream.task_id, stream)

    def _keep_latest(self, streams: Iterable[_Stream]) -> None:
        for stream in streams:
            if self._streams.get(stream.task_id) is stream:
                self._memory.let_go(stream.task_id, stream.written - KEPT_OF_EACH)

    def _forget(self, task_id: str) -> None:
        """It has ended, and all of it is written."""
        self._streams.pop(task_id, None)
        self._spare.pop(task_id, None)

    async def _room_for(self, size: int) -> None:
        """Returns when memory has room for `size` bytes. Where nothing is left that could make any, it takes them too:
        then it is over its bound by what is appended at once."""
        if self._memory.make_room(size):
            return
        async with self._making_room:
            while not self._let_go_for(size) and self._dirty:
                await self._write_some()

    def _let_go_for(self, size: int) -> bool:
        """Whether there is room, with what is written let go of as far as that needs it."""
        while not self._memory.make_room(size):
            if not self._spare:
                return False
            task_id, stream = next(iter(self._spare.items()))
            del self._spare[task_id]
            self._memory.let_go(task_id, stream.written)
        return True

    async def _write_some(self) -> None:
        """One transaction more is written, or a moment has passed."""
        under_way = next((stream.writing for stream in self._dirty.values() if stream.writing is not None), None)
        if under_way is not None:
            await asyncio.wait((under_way,))
            return
        try:
            await self._write(list(self._dirty.values()))
        except StoreUnavailable:
            await asyncio.sleep(RETRY_S)  # `keep_writing` says so in the log

    async def _pages(self, task_id: str) -> AsyncIterator[list[bytes]]:
        """What is written of a stream."""
        first = 0
        while page := await self._rows.read_chunks(task_id, first):
            yield page
            first += len(page)
            await asyncio.sleep(0)  # a long stream is read a page at a time; others have their turn in between


class WriteFirstChunkLog(WrittenChunkLog):
    """Delivers only what is written: a subscriber never reads what a crash can take back."""

    async def append(self, task_id: str, chunks: Sequence[bytes]) -> None:
        """See the port."""
        await self._room_for(self._memory.check(task_id, chunks))
        stream = self._streams[task_id]
        stream.touched = True
        await self._rows.write_chunks([ChunkRow(task_id, stream.written, chunks)], self._clock.now())
        await self._memory.append(task_id, chunks)
        self._is_written(stream, stream.written + len(chunks))


@contextmanager
def _under_way(streams: Sequence[_Stream]) -> Iterator[None]:
    """Nobody else writes `streams` meanwhile; who waits for it is told when it is over."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    for stream in streams:
        stream.writing, stream.touched = done, True
    try:
        yield
    finally:
        for stream in streams:
            stream.writing = None
        done.set_result(None)


def _rows(stream: _Stream, chunks: list[bytes]) -> Iterable[ChunkRow]:
    """Of what is not written yet, cut at the same places however often they are tried."""
    if chunks and sum(map(len, chunks)) + len(chunks) <= MOST_IN_ROW:
        return (ChunkRow(stream.task_id, stream.written, chunks),)
    return _cut(stream, chunks)


def _cut(stream: _Stream, chunks: list[bytes]) -> Iterator[ChunkRow]:
    first, size, held = stream.written, 0, list[bytes]()
    for chunk in chunks:
        if held and size + len(chunk) > MOST_IN_ROW:
            yield ChunkRow(stream.task_id, first, held)
            first, size, held = first + len(held), 0, []
        held.append(chunk)
        size += len(chunk) + 1
    if held:
        yield ChunkRow(stream.task_id, first, held)
