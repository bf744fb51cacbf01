"""Uploaded files: taken in as they come, read by anyone who has the address, gone when their time is over."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from functools import partial
from typing import Final

from msgspec import Struct

from reynard.core import file_ids, files, media
from reynard.core.errors import (
    BodyTooLarge,
    FileNotFound,
    GenerationError,
    InvalidParam,
    Overloaded,
    ReynardError,
    StorageFull,
    StoreUnavailable,
)
from reynard.core.files import SNIFFED, File
from reynard.core.generation import Generation
from reynard.core.keys import Key
from reynard.engine.jobs import Jobs
from reynard.engine.shares import Shares
from reynard.ports import store as ports
from reynard.ports.blobs import BlobMissing, Blobs, BlobWriter
from reynard.ports.clock import Chance, Clock
from reynard.ports.media import Fetcher
from reynard.ports.store import FilePage
from reynard.ports.telemetry import UNOBSERVED, Observer

log = logging.getLogger(__name__)

SWEEP_S: Final = 60.0
SWEPT_AT_ONCE: Final = 100
MOST_UPLOADS: Final = 64
MOST_UPLOADS_OF_ONE_KEY: Final = MOST_UPLOADS // 4
CLOCK_GRAIN_S: Final = 0.02  # a file's time may lag behind the clock by the grain of the kernel's own


class FileLimits(Struct, frozen=True, kw_only=True):
    """How long a file is kept, what a key's files may come to together, and one file."""

    retention_s: float = 259_200
    quota_bytes: int = 1_000_000_000
    max_bytes: int = 100_000_000


class Offered(Struct, frozen=True, kw_only=True):
    """What a client says of a file beside its bytes. `param`: the field that the bytes came in.

    `cleanup`: where the quota is full, the key's oldest files go first.
    """

    param: str
    name: str | None = None
    type: str = ""
    cleanup: bool = True


class Taken(Struct, frozen=True):
    """What is known of bytes that came whole."""

    size: int
    sha256: str
    head: bytes


class OpenedFile(Struct, frozen=True):
    """`ports.media.Opened`."""

    type: str
    size: int | None
    pieces: AsyncGenerator[bytes, None]

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """See the port."""
        try:
            async for piece in self.pieces:
                yield piece
        except (BlobMissing, StoreUnavailable) as error:
            raise _unreadable() from error


class Files:
    """Upload, find, list, read, delete; and `engine.media.OwnFiles`."""

    def __init__(
        self,
        *,
        store: ports.Files,
        blobs: Blobs,
        fetcher: Fetcher,
        clock: Clock,
        chance: Chance,
        jobs: Jobs,
        limits: FileLimits,
        public_url: str,
        observer: Observer = UNOBSERVED,
    ) -> None:
        self.limits = limits
        self._store = store
        self._blobs = blobs
        self._fetcher = fetcher
        self._clock = clock
        self._chance = chance
        self._jobs = jobs
        self._observer = observer
        self._public_url = public_url.rstrip("/")
        self._uploads = Shares(MOST_UPLOADS, MOST_UPLOADS_OF_ONE_KEY)

    def start(self) -> None:
        """From now on what expires goes; first, what an earlier process left half done."""
        before = self._clock.now() - max(self._blobs.settle_s, CLOCK_GRAIN_S)
        self._jobs.start(self._keep_sweeping(before))

    def url(self, file: File) -> str:
        """The address of a file."""
        return self._public_url + file.path

    # uploads

    async def upload(self, parts: AsyncGenerator[bytes, None], offered: Callable[[], Offered], caller: Key) -> File:
        """Keeps what comes, piece by piece. `offered` is asked when all has come: a form may say it last.

        Raises `BodyTooLarge`, `InvalidParam` if nothing came, `StorageFull`, `Overloaded`, and what `parts` raises;
        then, and when it is cancelled, nothing is kept.
        """
        with self._place(caller):
            return await self._upload(parts, offered, caller)

    async def upload_url(self, url: str, offered: Offered, caller: Key) -> File:
        """Keeps what the address leads to. Raises as `upload`, `InvalidParam`, and `GenerationError` if it cannot be
        fetched."""
        said = media.address(url, offered.param).said
        fetcher: Fetcher = self if self.owns(said) else self._fetcher
        name = offered.name if offered.name is not None else files.name_in(said)
        with self._place(caller):  # before anything is asked for
            async with fetcher.open(said, self.limits.max_bytes) as opened:
                whole = Offered(param=offered.param, name=name, type=opened.type, cleanup=offered.cleanup)
                return await self._upload(opened.parts(), lambda: whole, caller)

    @contextmanager
    def _place(self, caller: Key) -> Iterator[None]:
        if not self._uploads.take(1, caller.id):
            raise Overloaded("As many uploads are under way as the gateway takes, or this key may have. Try again.")
        try:
            yield
        finally:
            self._uploads.give_back(1, caller.id)

    async def _upload(self, parts: AsyncGenerator[bytes, None], offered: Callable[[], Offered], caller: Key) -> File:
        token = files.token(self._chance.below)
        blob = await self._blobs.create(files.blob_of(token))
        try:
            async with aclosing(parts):
                taken = await self._take(parts, blob)
            said = offered()
            file = self._file(said, taken, token, caller)
        except BaseException:
            await asyncio.shield(self._jobs.start(_drop(blob)))
            raise
        failure = await asyncio.shield(self._jobs.start(self._keep(blob, file, cleanup=said.cleanup)))
        if failure is not None:
            raise failure
        return file

    async def _take(self, parts: AsyncIterator[bytes], blob: BlobWriter) -> Taken:
        digest, head, size = hashlib.sha256(), b"", 0
        async for part in parts:
            size += len(part)
            self._check_size(size)
            digest.update(part)
            if len(head) < SNIFFED:
                head += part[: SNIFFED - len(head)]
            await blob.write(part)
        return Taken(size, digest.hexdigest(), head)

    def _check_size(self, size: int) -> None:
        if size > self.limits.max_bytes:
            raise too_large(self.limits.max_bytes)
        if size > self.limits.quota_bytes:
            raise StorageFull(f"The file is larger than the {self.limits.quota_bytes} bytes that a key may keep.")

    def _file(self, said: Offered, taken: Taken, token: str, caller: Key) -> File:
        if not taken.size:
            raise InvalidParam(f"`{said.param}` is empty.", param=said.param)
        media_type = files.media_type_of(taken.head, files.safe_name(said.name or ""), said.type)
        now = self._clock.now()
        return File(
            id=files.file_id(now, self._chance.below),
            key_id=caller.id,
            name=files.name_of(said.name, media_type),
            type=media_type,
            size=taken.size,
            sha256=taken.sha256,
            token=token,
            created=now,
            expires=now + self.limits.retention_s,
        )

    async def _keep(self, blob: BlobWriter, file: File, *, cleanup: bool) -> ReynardError | None:
        """Bytes first, row last: what is answered is on disk, and what has a row has its bytes."""
        try:
            await blob.commit()
        except StoreUnavailable as error:
            await _drop(blob)
            return error
        try:
            leaving = await self._store.add_file(file, self.limits.quota_bytes, cleanup=cleanup)
        except Exception as error:
            await self._remove_blobs([file])
            if isinstance(error, ReynardError):
                return error  # the caller's to hear, and no defect of background work
            raise
        self._observer.uploaded(file.size)
        if leaving:
            self._jobs.start(self._remove_blobs(leaving))
        return None

    # reading

    async def public(self, token: str, name: str) -> File:
        """The file of an address. Raises `FileNotFound`."""
        file = await self._store.file_by_token(token) if files.is_token(token) else None
        if file is None or file.expires <= self._clock.now() or file.name not in (name, files.safe_name(name)):
            raise FileNotFound("There is no file at this address, or it is no longer kept.")
        return file

    @asynccontextmanager
    async def read(self, file: File, start: int, end: int) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """Its bytes from `start` up to, and without, `end`. Raises `FileNotFound`, `StoreUnavailable`."""
        async with AsyncExitStack() as stack:
            try:
                pieces = await stack.enter_async_context(self._blobs.open(file.blob, start, end))
            except BlobMissing as error:
                raise FileNotFound("The file is no longer kept.") from error
            yield await stack.enter_async_context(aclosing(pieces))

    def owns(self, url: str) -> bool:
        """See `OwnFiles`."""
        return files.token_of(url, self._public_url) is not None

    @asynccontextmanager
    async def open(self, url: str, limit: int) -> AsyncIterator[OpenedFile]:
        """See `ports.media.Fetcher`; for own addresses, and without the network."""
        async with AsyncExitStack() as stack:
            try:
                file = await self._of(url)
                if file.size > limit:
                    raise GenerationError(
                        "media_too_large", f"A file has {file.size} bytes; at most {limit} are taken."
                    )
                pieces = await stack.enter_async_context(self.read(file, 0, file.size))
            except (FileNotFound, StoreUnavailable) as error:
                raise _unreadable() from error
            yield OpenedFile(file.type, file.size, pieces)

    async def _of(self, url: str) -> File:
        """The file of an own address. Raises `GenerationError`."""
        try:
            return await self.public(files.token_of(url, self._public_url) or "", files.name_in(url))
        except FileNotFound as error:
            raise GenerationError(
                "media_fetch_failed",
                "There is no file at one of the request's addresses here. Check the address; if the file's time is "
                "over, upload it again.",
            ) from error

    async def addressed(self, generation: Generation, named: Mapping[str, str], caller: Key) -> Generation:
        """`generation` with files by address where it has ids: those `named` in it, as `file_ids.named` finds them.

        Raises `InvalidParam` for what is not the caller's.
        """
        urls: dict[str, str] = {}
        for file_id, param in named.items():
            try:
                urls[file_id] = self.url(await self.find(file_id, caller))
            except FileNotFound as error:
                raise InvalidParam(f"`{param}`: {error.message}", param=param) from None
        return file_ids.addressed(generation, urls)

    # a key's own

    async def find(self, file_id: str, caller: Key) -> File:
        """The caller's file. Raises `FileNotFound`."""
        file = await self._store.find_file(file_id)
        if file is None or file.key_id != caller.id or file.expires <= self._clock.now():
            raise FileNotFound(f"There is no file `{file_id[:80]}`, or it is no longer kept.", param="file_id")
        return file

    async def list(self, caller: Key, after: str | None, limit: int) -> FilePage:
        """A page of the caller's files, newest first. Raises `InvalidParam` if `after` is none of them."""
        if after is not None:
            last = await self._store.find_file(after)
            if last is None or last.key_id != caller.id:
                raise InvalidParam(f"`after`: there is no file `{after[:80]}`; start anew without it.", param="after")
        page = await self._store.list_files(caller.id, after, limit)
        now = self._clock.now()
        return FilePage([file for file in page.files if file.expires > now], page.has_more)

    async def delete(self, file_id: str, caller: Key) -> None:
        """The file is gone. Raises `FileNotFound`, and `StoreUnavailable` if it is not."""
        await self._remove(await self.find(file_id, caller))

    # sweeping

    async def sweep(self) -> None:
        """Removes what has expired, in small batches; what cannot be removed now is tried again the next time."""
        while batch := await self._store.expired_files(self._clock.now(), SWEPT_AT_ONCE):
            for file in batch:
                await self._remove(file)

    async def remove_orphans(self, before: float) -> None:
        """Removes the bytes that have no row, and are older than `before` (Unix seconds)."""
        async for batch in self._blobs.list():
            for blob in batch:
                token = files.token_of_blob(blob.name)
                if token is None or blob.modified >= before:
                    continue
                file = await self._store.file_by_token(token)
                if file is None or file.blob != blob.name:
                    await self._blobs.delete(blob.name)

    async def _keep_sweeping(self, before: float) -> None:
        await _tried(partial(self.remove_orphans, before))
        while True:
            await _tried(self.sweep)
            await asyncio.sleep(min(SWEEP_S, self.limits.retention_s / 4))

    async def _remove(self, file: File) -> None:
        """The bytes first: as long as there is a row, they can be found."""
        await self._blobs.delete(file.blob)
        await self._store.delete_file(file.id)

    async def _remove_blobs(self, leaving: Iterable[File]) -> None:
        for file in leaving:
            await _tried(partial(self._blobs.delete, file.blob))


def too_large(limit: int) -> BodyTooLarge:
    """More than a file may have."""
    return BodyTooLarge(f"The file has more than {limit} bytes.")


async def _drop(blob: BlobWriter) -> None:
    await _tried(blob.drop)


async def _tried(work: Callable[[], Awaitable[None]]) -> None:
    """`work`; where store or blobs cannot be reached, that is logged, and the sweep at the next start mends it."""
    try:
        await work()
    except StoreUnavailable as error:
        log.warning("files are left to be removed later: %s", error.message)


def _unreadable() -> GenerationError:
    return GenerationError("media_fetch_failed", "A file of the request is no longer kept. Upload it again.")
