"""Blobs as objects of an S3-compatible store, through obstore (extra `s3`)."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from reynard.core.errors import StoreUnavailable
from reynard.ports.blobs import Blob, BlobMissing
from reynard.storage.blobs.waiting import whole

if TYPE_CHECKING:
    from obstore import AsyncWritableFile
    from obstore.store import S3Store

T = TypeVar("T")

SCHEME: Final = "s3://"
PART_BYTES: Final = 5 * 1024 * 1024  # the least that S3 takes for a part of a multipart upload
PIECE_BYTES: Final = 1_048_576
LISTED_AT_ONCE: Final = 500
SETTLE_S: Final = 3_600.0
PROMPT_S: Final = 60
DEFAULT_REGION: Final = "us-east-1"
SETTINGS: Final = {
    "AWS_ACCESS_KEY_ID": "access_key_id",
    "AWS_SECRET_ACCESS_KEY": "secret_access_key",
    "AWS_SESSION_TOKEN": "session_token",
    "AWS_DEFAULT_REGION": "region",
    "AWS_REGION": "region",
    "AWS_ENDPOINT_URL": "endpoint",
    "AWS_ENDPOINT_URL_S3": "endpoint",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "virtual_hosted_style_request",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "web_identity_token_file",
    "AWS_ROLE_ARN": "role_arn",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "container_credentials_relative_uri",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "container_credentials_full_uri",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "container_authorization_token_file",
}
"""The usual variables, and what they set; of two for one setting, the later row wins."""


class ExtraMissing(Exception):
    """The setting asks for a store whose client is not installed."""


class ObjectBlobs:
    """`ports.blobs.Blobs`. An object is there when its upload is complete, and never before."""

    settle_s = SETTLE_S

    def __init__(self, store: "S3Store") -> None:
        self._store = store

    async def create(self, name: str) -> "ObjectWriter":
        """See the port."""
        import obstore

        return ObjectWriter(
            obstore.open_writer_async(self._store, name, buffer_size=PART_BYTES, max_concurrency=1),
        )

    @asynccontextmanager
    async def open(self, name: str, start: int, end: int) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """See the port. Each piece is a request of its own, so that a slow reader holds no connection open."""
        first = await self._piece(name, start, end)
        yield self._pieces(name, first, start + len(first), end)

    async def _pieces(self, name: str, first: bytes, start: int, end: int) -> AsyncGenerator[bytes, None]:
        yield first
        while start < end:
            piece = await self._piece(name, start, end)
            start += len(piece)
            yield piece

    async def _piece(self, name: str, start: int, end: int) -> bytes:
        import obstore

        asked = obstore.get_range_async(self._store, name, start=start, end=min(start + PIECE_BYTES, end))
        piece = (await reached(asked)).to_bytes()
        if not piece:
            raise _unavailable()
        return piece

    async def delete(self, name: str) -> None:
        """See the port."""
        import obstore

        try:
            await reached(obstore.delete_async(self._store, name))
        except BlobMissing:
            return

    async def list(self) -> AsyncGenerator[Sequence[Blob], None]:
        """See the port."""
        import obstore

        listing = aiter(obstore.list(self._store, chunk_size=LISTED_AT_ONCE))
        while (batch := await reached(_next(listing))) is not None:
            yield [Blob(found["path"], found["last_modified"].timestamp()) for found in batch]

    async def close(self) -> None:
        """See the port."""


class ObjectWriter:
    """See the port. Holds one part, and one more that is on its way."""

    def __init__(self, file: "AsyncWritableFile") -> None:
        self._file = file

    async def write(self, data: bytes) -> None:
        """See the port."""
        await reached(whole(self._file.write(data)))  # type: ignore[arg-type]

    async def commit(self) -> None:
        """See the port."""
        await reached(whole(self._file.close()))  # type: ignore[arg-type]

    async def drop(self) -> None:
        """See the port. Parts that were sent are given up (AbortMultipartUpload)."""
        await reached(whole(self._file.__aexit__(StoreUnavailable, None, None)))  # type: ignore[arg-type]


def connect(url: str, environment: Mapping[str, str]) -> ObjectBlobs:
    """The blobs at `s3://bucket/prefix`, with what the usual AWS_* variables say. Raises `ExtraMissing`.

    Nothing is asked of the store yet.
    """
    try:
        from obstore.store import S3Store
    except ImportError:
        raise ExtraMissing(f"files.url is {url}, which needs the extra `s3`: pip install 'reynard[s3]'") from None
    bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
    config: Any = {"region": DEFAULT_REGION}
    config |= {name: environment[variable] for variable, name in SETTINGS.items() if environment.get(variable)}
    plain = str(config.get("endpoint", "")).startswith("http://")
    store = S3Store(
        bucket,
        prefix=prefix.strip("/") or None,
        config=config,
        client_options={"allow_http": plain, "timeout": timedelta(seconds=PROMPT_S), "connect_timeout": "5 seconds"},
        retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=PROMPT_S)},
    )
    return ObjectBlobs(store)


async def reached(work: Awaitable[T]) -> T:
    """The result of `work`; what the client raises, without the address that it names, in this program's words."""
    from obstore.exceptions import BaseError, NotFoundError

    try:
        return await work
    except (FileNotFoundError, NotFoundError):
        raise BlobMissing from None
    except (BaseError, OSError):
        raise _unavailable() from None


async def _next(listing: Any) -> Any:
    return await anext(listing, None)


def _unavailable() -> StoreUnavailable:
    return StoreUnavailable("The gateway cannot reach its file store now. Try again in a moment.")
