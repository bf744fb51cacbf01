import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.processes import Process, running

from reynard.core.errors import StoreUnavailable
from reynard.ports.blobs import Blobs
from reynard.storage.blobs import DiskBlobs, objects
from reynard.testing.conformance.blobs import LARGE, SMALL, BlobsConformance, keep, read

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "very-secret"}


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running(Process(["tests.s3"], tmp_path_factory.mktemp("s3") / "s3.log")) as process:
        yield process


def state(s3: Process) -> dict[str, Any]:
    found: dict[str, Any] = httpx2.get(f"{s3.url}/_state").json()
    return found


class TestDiskBlobs(BlobsConformance):
    @pytest.fixture
    async def blobs(self, tmp_path: Path) -> AsyncIterator[DiskBlobs]:
        opened = DiskBlobs(tmp_path / "files")
        yield opened
        await opened.close()

    async def test_a_place_that_cannot_be_written_says_so(self, blobs: DiskBlobs, tmp_path: Path) -> None:
        (tmp_path / "files").rmdir()
        (tmp_path / "files").write_text("no folder any more")
        writer = await blobs.create("a.blob")
        with pytest.raises(StoreUnavailable):
            await writer.write(LARGE)
        await writer.drop()

    async def test_a_blob_cut_short_is_never_taken_for_a_whole_one(self, blobs: DiskBlobs, tmp_path: Path) -> None:
        await keep(blobs, "a.blob", SMALL)
        with pytest.raises(StoreUnavailable):
            await read(blobs, "a.blob", 0, len(SMALL) + 1)


class TestObjectBlobs(BlobsConformance):
    @pytest.fixture
    async def blobs(self, s3: Process, request: pytest.FixtureRequest) -> AsyncIterator[Blobs]:
        environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": s3.url}
        opened = objects.connect(f"s3://bucket/some/{request.node.name}/", environment)
        yield opened
        async for batch in opened.list():
            for blob in batch:
                await opened.delete(blob.name)
        assert state(s3)["uploads"] == []  # not one is left half done
        await opened.close()

    async def test_a_large_blob_is_given_up_where_it_was_begun(self, blobs: Blobs, s3: Process) -> None:
        before = state(s3)["aborted"]
        writer = await blobs.create("a.blob")
        await writer.write(LARGE)
        await writer.drop()
        assert state(s3)["aborted"] == before + 1

    async def test_the_prefix_is_kept_to(self, blobs: Blobs, s3: Process, request: pytest.FixtureRequest) -> None:
        await keep(blobs, "a.blob", SMALL)
        assert state(s3)["objects"] == [f"some/{request.node.name}/a.blob"]

    async def test_a_store_that_refuses_is_said_to_be_unreachable_and_not_named(
        self, blobs: Blobs, s3: Process
    ) -> None:
        await keep(blobs, "a.blob", SMALL)
        httpx2.post(f"{s3.url}/_down", content=b"true")
        try:
            for work in (read(blobs, "a.blob", 0, 1), keep(blobs, "b.blob", SMALL), blobs.delete("a.blob")):
                with pytest.raises(StoreUnavailable) as caught:
                    await work
                assert "127.0.0.1" not in str(caught.value)
                assert caught.value.__cause__ is None
        finally:
            httpx2.post(f"{s3.url}/_down", content=b"false")


def test_the_usual_variables_are_passed_on() -> None:
    environment = {
        **CREDENTIALS,
        "AWS_SESSION_TOKEN": "token",
        "AWS_DEFAULT_REGION": "eu-north-1",
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "https://one.example",
        "AWS_ENDPOINT_URL_S3": "https://two.example",
        "UNRELATED": "x",
    }
    store = objects.connect("s3://bucket/a/b", environment)._store
    config = {key.removeprefix("aws_"): value for key, value in dict(store.config).items()}
    assert config["access_key_id"] == "AKIDTEST"
    assert config["session_token" if "session_token" in config else "token"] == "token"
    assert config["region"] == "eu-west-1"
    assert "two.example" in json.dumps(config)
    assert "one.example" not in json.dumps(config)
    assert store.prefix == "a/b"


def test_a_client_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(objects.ExtraMissing, match=r"reynard\[s3\]"):
        objects.connect("s3://bucket", {})
