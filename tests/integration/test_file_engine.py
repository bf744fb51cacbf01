"""The use cases of files over a real store and a real disk, with a clock that the test sets."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reynard.core.errors import (
    BodyTooLarge,
    FileNotFound,
    GenerationError,
    InvalidParam,
    Overloaded,
    StorageFull,
    StoreUnavailable,
)
from reynard.core.files import File
from reynard.core.keys import Key
from reynard.engine import files as engine
from reynard.engine.files import FileLimits, Files, Offered, OpenedFile
from reynard.engine.jobs import Jobs
from reynard.storage.blobs import DiskBlobs
from reynard.storage.sqlite import SQLiteStore
from reynard.testing.clock import FakeClock
from reynard.testing.conformance.store import new_key

HOURS_72 = 259_200
URL = "http://gate.example"
ANA, BEN = new_key(1), new_key(2)


class Chance:
    below = staticmethod(secrets.randbelow)

    def uniform(self) -> float:
        return 0.5


class Web:
    """What a fetcher finds: its body, and where it breaks off."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.parts: list[bytes | Exception] = []

    @asynccontextmanager
    async def open(self, url: str, limit: int) -> AsyncIterator[OpenedFile]:
        self.asked.append((url, limit))
        yield OpenedFile("image/png", None, pieces(*self.parts))


class House:
    """Everything that files need, on one directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = DiskBlobs(folder / "files")
        self.store = SQLiteStore(folder / "reynard.db")
        self.clock = FakeClock()
        self.jobs = Jobs()
        self.web = Web()

    def files(self, **limits: Any) -> Files:
        return Files(
            store=self.store,
            blobs=self.blobs,
            fetcher=self.web,
            clock=self.clock,
            chance=Chance(),
            jobs=self.jobs,
            limits=FileLimits(**limits),
            public_url=URL + "/",
        )

    @property
    def on_disk(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "files").iterdir())

    async def close(self) -> None:
        await self.jobs.close()
        await self.blobs.close()
        await self.store.close()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    opened = House(tmp_path)
    yield opened
    await opened.close()


async def pieces(*parts: bytes | Exception) -> AsyncGenerator[bytes, None]:
    for part in parts:
        if isinstance(part, Exception):
            raise part
        yield part


async def upload(files: Files, data: bytes = b"hello", key: Key = ANA, **offered: Any) -> File:
    said = Offered(param="file", **{"name": "a.txt", **offered})
    return await files.upload(pieces(data[:3], data[3:]), lambda: said, key)


async def bytes_of(files: Files, file: File) -> bytes:
    async with files.read(file, 0, file.size) as parts:
        return b"".join([part async for part in parts])


async def settled(house: House) -> None:
    """Until nothing runs in the background."""
    while house.jobs._running:
        await asyncio.wait(house.jobs._running)


async def test_a_file_is_kept_whole_and_for_72_hours(house: House) -> None:
    files = house.files()
    file = await upload(files)
    assert (file.size, file.type, file.name, file.key_id) == (5, "text/plain", "a.txt", ANA.id)
    assert file.sha256 == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert file.expires - file.created == HOURS_72
    assert files.url(file) == f"{URL}/files/{file.token}/a.txt"
    house.clock.advance(HOURS_72 - 1)
    await files.sweep()
    assert await files.public(file.token, "a.txt") == file
    assert await bytes_of(files, file) == b"hello"
    house.clock.advance(1)
    for gone in (files.public(file.token, "a.txt"), files.find(file.id, ANA), files.delete(file.id, ANA)):
        with pytest.raises(FileNotFound):
            await gone
    assert (await files.list(ANA, None, 10)).files == []
    assert house.on_disk == [file.blob]
    await files.sweep()
    assert house.on_disk == []
    assert await house.store.find_file(file.id) is None


async def test_the_sweeper_takes_all_that_is_due_and_nothing_else(house: House) -> None:
    files = house.files(retention_s=100)
    for _ in range(engine.SWEPT_AT_ONCE + 7):
        await upload(files)
    house.clock.advance(50)
    young = await upload(files)
    house.clock.advance(50)
    await files.sweep()
    assert house.on_disk == [young.blob]


async def test_a_key_sees_its_own_files_alone(house: House) -> None:
    files = house.files()
    file = await upload(files)
    assert await files.find(file.id, ANA) == file
    for refused in (files.find(file.id, BEN), files.delete(file.id, BEN), files.find("file-1-none", ANA)):
        with pytest.raises(FileNotFound):
            await refused
    assert (await files.list(BEN, None, 10)).files == []
    await files.delete(file.id, ANA)
    assert house.on_disk == []


@pytest.mark.parametrize(
    ("parts", "limits", "error"),
    [
        ([b"x" * 300_000, OSError("cut")], {}, OSError),
        ([b"x" * 300_000, b"x"], {"max_bytes": 300_000}, BodyTooLarge),
        ([b"x" * 300_000, b"x"], {"quota_bytes": 300_000}, StorageFull),
        ([], {}, InvalidParam),
        ([b""], {}, InvalidParam),
    ],
)
async def test_what_fails_leaves_nothing(house: House, parts: list[Any], limits: Any, error: type[Exception]) -> None:
    files = house.files(**limits)
    with pytest.raises(error):
        await files.upload(pieces(*parts), lambda: Offered(param="file"), ANA)
    await settled(house)
    assert house.on_disk == []
    assert (await files.list(ANA, None, 10)).files == []


async def test_an_upload_that_is_cut_leaves_nothing(house: House) -> None:
    files = house.files()
    waiting = asyncio.Event()

    async def parts() -> AsyncGenerator[bytes, None]:
        yield b"x" * 1_000_000
        waiting.set()
        await asyncio.Event().wait()

    uploading = house.jobs.start(files.upload(parts(), lambda: Offered(param="file"), ANA))
    await waiting.wait()
    assert len(house.on_disk) == 1
    uploading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await uploading
    await settled(house)
    assert house.on_disk == []


async def test_a_store_that_cannot_keep_the_row_keeps_no_bytes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: Any, **__: Any) -> list[File]:
        raise StoreUnavailable("full")

    monkeypatch.setattr(house.store, "add_file", refuse)
    with pytest.raises(StoreUnavailable):
        await upload(house.files())
    assert house.on_disk == []


async def test_over_the_quota_the_oldest_go_with_their_bytes_or_the_new_one_is_refused(house: House) -> None:
    files = house.files(quota_bytes=12)
    first, second = await upload(files), await upload(files)
    with pytest.raises(StorageFull):
        await upload(files, cleanup=False)
    assert house.on_disk == sorted([first.blob, second.blob])
    third = await upload(files, cleanup=True)
    await settled(house)
    assert house.on_disk == sorted([second.blob, third.blob])
    await upload(files, key=BEN, cleanup=False)  # another key's storage is its own


@pytest.mark.parametrize("cleanup", [True, False])
async def test_a_quota_holds_against_uploads_at_once(house: House, cleanup: bool) -> None:
    files = house.files(quota_bytes=50)
    outcomes = await asyncio.gather(
        *(upload(files, b"0123456789", cleanup=cleanup) for _ in range(16)), return_exceptions=True
    )
    await settled(house)
    kept = (await files.list(ANA, None, 100)).files
    assert sorted(file.blob for file in kept) == house.on_disk
    assert len(kept) == 5
    assert sum(isinstance(outcome, StorageFull) for outcome in outcomes) == (0 if cleanup else 11)


async def test_uploads_at_once_are_bounded(house: House) -> None:
    files = house.files()
    hold = asyncio.Event()

    async def parts() -> AsyncGenerator[bytes, None]:
        await hold.wait()
        yield b"x"

    held = [
        house.jobs.start(files.upload(parts(), lambda: Offered(param="file"), msgspec.structs.replace(ANA, id=f"k{n}")))
        for n in range(engine.MOST_UPLOADS)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await upload(files)
    with pytest.raises(Overloaded):
        await files.upload_url("https://e.example/a", Offered(param="url"), ANA)
    assert house.web.asked == []  # nothing is fetched for which there is no place
    hold.set()
    await asyncio.gather(*held)
    await upload(files)


async def test_no_key_has_all_the_places(house: House) -> None:
    files = house.files()
    hold, waiting = asyncio.Event(), asyncio.Semaphore(0)

    @asynccontextmanager
    async def slow(url: str, limit: int) -> AsyncIterator[OpenedFile]:
        waiting.release()
        await hold.wait()
        yield OpenedFile("image/png", None, pieces(b"x"))

    house.web.open = slow  # type: ignore[method-assign]
    most = engine.MOST_UPLOADS // 4
    held = [house.jobs.start(files.upload_url("https://e.example/a", Offered(param="url"), ANA)) for _ in range(most)]
    for _ in held:
        await waiting.acquire()
    with pytest.raises(Overloaded):
        await files.upload_url("https://e.example/a", Offered(param="url"), ANA)
    with pytest.raises(Overloaded):
        await upload(files)
    assert waiting.locked()  # the one more asked for nothing
    await upload(files, key=BEN)
    hold.set()
    await asyncio.gather(*held)
    await upload(files)


async def test_what_an_earlier_process_left_goes_at_the_start(house: House) -> None:
    files = house.files()
    file = await upload(files)
    folder = house.folder / "files"
    for name in ("b" * 32 + ".blob", "c" * 32 + ".blob.part", file.token + ".blob.part", "notes.txt", "d" * 32):
        (folder / name).write_text("x")
    now = (folder / "notes.txt").stat().st_mtime
    await files.remove_orphans(now - 1_000)
    assert len(house.on_disk) == 6  # what is younger may be under way
    await files.remove_orphans(now + 1_000)
    assert house.on_disk == sorted([file.blob, "notes.txt", "d" * 32])  # and what is not of here is left alone


async def test_an_address_is_fetched_and_named_by_its_end(house: House) -> None:
    files = house.files(max_bytes=1_000)
    house.web.parts = [b"\x89PNG\r\n\x1a\n", b"x"]
    file = await files.upload_url("https://e.example/a%20b/c%C3%BC.png?x=1", Offered(param="url"), ANA)
    assert (file.name, file.type, file.size) == ("cü.png", "image/png", 9)
    assert house.web.asked == [("https://e.example/a%20b/c%C3%BC.png?x=1", 1_000)]
    named = await files.upload_url("https://e.example/", Offered(param="url", name="z.png"), ANA)
    assert named.name == "z.png"
    assert (await files.upload_url("https://e.example/", Offered(param="url"), ANA)).name == "file.png"


@pytest.mark.parametrize(
    "url",
    ["ftp://e.example/a", "data:text/plain;base64,aGk=", "https://u:p@e.example/a", "nothing", "file:///etc/passwd"],
)
async def test_what_is_no_web_address_is_refused(house: House, url: str) -> None:
    with pytest.raises(InvalidParam) as caught:
        await house.files().upload_url(url, Offered(param="url"), ANA)
    assert caught.value.param == "url"
    assert house.web.asked == []


async def test_an_address_that_breaks_off_leaves_nothing(house: House) -> None:
    house.web.parts = [b"x" * 300_000, GenerationError("media_fetch_failed", "cut")]
    with pytest.raises(GenerationError, match="cut"):
        await house.files().upload_url("https://e.example/a", Offered(param="url"), ANA)
    await settled(house)
    assert house.on_disk == []


async def test_own_addresses_are_read_without_the_network(house: House) -> None:
    files = house.files()
    file = await upload(files)
    url = files.url(file)
    assert files.owns(url)
    assert not files.owns("http://elsewhere.example" + file.path)
    async with files.open(url, 5) as opened:
        assert opened.type == "text/plain"
        assert b"".join([part async for part in opened.parts()]) == b"hello"
    copy = await files.upload_url(url, Offered(param="url"), BEN)
    assert (copy.sha256, copy.name, copy.key_id) == (file.sha256, "a.txt", BEN.id)
    assert copy.token != file.token
    assert house.web.asked == []


async def test_own_addresses_fail_as_others_do(house: House) -> None:
    files = house.files()
    file = await upload(files)
    url = files.url(file)

    async def code(limit: int) -> str:
        with pytest.raises(GenerationError) as caught:
            async with files.open(url, limit):
                pass
        return str(caught.value.code)

    with pytest.raises(GenerationError, match="There is no file at"):
        async with files.open(url.replace("a.txt", "b.txt"), 100):
            pass
    assert await code(4) == "media_too_large"
    (house.folder / "files" / file.blob).unlink()
    assert await code(100) == "media_fetch_failed"
    house.clock.advance(HOURS_72)
    assert await code(100) == "media_fetch_failed"
    with pytest.raises(FileNotFound):
        async with files.read(file, 0, 5):
            pass
