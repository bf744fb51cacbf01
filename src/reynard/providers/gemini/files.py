"""Google's Files API: media too large for a request, put where Gemini reads it for 48 hours.

A resumable upload in one piece, then a wait until the file can be used: https://ai.google.dev/api/files.
A file belongs to the project of the key that it was sent with, and no key of another project can read it: a channel
whose keys take turns has an uploader only if all of them are of one project.
"""

import asyncio
import datetime
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from reynard.core.errors import GenerationError
from reynard.ports.media import Uploaded
from reynard.ports.transport import ConnectionBroken, TransportError
from reynard.providers.auth import Auth
from reynard.providers.failures import failure, garbled
from reynard.providers.gemini.contents import GOOGLES
from reynard.providers.gemini.wire import WireFile, WireUploaded
from reynard.providers.google_errors import of_status
from reynard.providers.upstream.address import Address
from reynard.providers.upstream.answer import Answer
from reynard.providers.upstream.pool import Pool

START: Final = "/upload/v1beta/files"
FILE: Final = "/v1beta/"
TOTAL_S: Final = 600.0
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 8.0
GROWTH: Final = 1.6
MOST_BYTES: Final = 64_000
"""Of an answer; Google's are below one thousand."""

Read = TypeVar("Read")
_NAME: Final = re.compile(r"files/[a-z0-9-]{1,64}")
_METADATA: Final = b'{"file":{}}'
_files = msgspec.json.Decoder(WireFile)
_uploaded = msgspec.json.Decoder(WireUploaded)


class GeminiUploader:
    """Uploads for one channel. `total_s` bounds one upload, from its start until the file can be used."""

    def __init__(
        self,
        pool: Pool,
        base_url: str,
        auth: Auth,
        *,
        total_s: float = TOTAL_S,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._pool = pool
        self._base_url = base_url.rstrip("/")
        self._auth = auth
        self._total_s = total_s
        self._first_pause_s = first_pause_s

    async def upload(self, data: bytes, media_type: str) -> Uploaded:
        """See the port. One key is used from start to end."""
        try:
            async with asyncio.timeout(self._total_s):
                headers = await self._auth.headers()
                file = await self._send(await self._begin(headers, len(data), media_type), data)
                return await self._usable(file, headers)
        except TimeoutError:
            raise GenerationError(
                "generation_timeout",
                "The provider did not take a media source in time. Try again later.",
                failover=True,
            ) from None

    async def _begin(self, headers: Mapping[str, str], size: int, media_type: str) -> str:
        """Announces a file; the address to send it to."""
        announced = {
            **headers,
            "content-type": "application/json",
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-command": "start",
            "x-goog-upload-header-content-length": str(size),
            "x-goog-upload-header-content-type": GOOGLES.get(media_type, media_type),
        }
        async with self._call("POST", self._base_url + START, announced, _METADATA) as response:
            await _body(response)
            value = _text(response.header(b"x-goog-upload-url"))
        if value is None or not self._is_own(value):
            raise garbled()
        return value

    async def _send(self, url: str, data: bytes) -> WireFile:
        """The bytes, in one piece. The address itself says who may; no key goes with them."""
        headers = {"x-goog-upload-offset": "0", "x-goog-upload-command": "upload, finalize"}
        async with self._call("POST", url, headers, data) as response:
            return _decoded(_uploaded, await _body(response)).file

    async def _usable(self, file: WireFile, headers: Mapping[str, str]) -> Uploaded:
        """Asks after the file, with pauses that grow, until it can be used."""
        pause = self._first_pause_s
        while file.state == "PROCESSING":
            await asyncio.sleep(pause)
            pause = min(pause * GROWTH, LONGEST_PAUSE_S)
            if not _NAME.fullmatch(file.name):
                raise garbled()
            async with self._call("GET", self._base_url + FILE + file.name, headers, None) as response:
                file = _decoded(_files, await _body(response))
        if file.state == "FAILED":
            raise GenerationError(
                "media_fetch_failed", "The provider could not read a media source. Send it in another format."
            )
        if file.state != "ACTIVE" or not file.uri:
            raise garbled()
        return Uploaded(uri=file.uri, expires=_expiry(file.expiration_time))

    def _is_own(self, url: str) -> bool:
        """Whether `url` is where this channel leads, or Google's: the bytes are sent nowhere else."""
        try:
            parts, own = urlsplit(url), urlsplit(self._base_url)
            same = (parts.scheme, parts.hostname, parts.port) == (own.scheme, own.hostname, own.port)
        except ValueError:
            return False
        return same or (
            parts.scheme == "https" and parts.port is None and (parts.hostname or "").endswith(".googleapis.com")
        )

    @asynccontextmanager
    async def _call(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> AsyncIterator[Answer]:
        try:
            address = Address.of(url)
            answer = await self._pool.ask(address.origin, address.head(method, "", headers), body)
        except (TransportError, ValueError) as error:
            raise _unreachable() from error
        try:
            yield answer
        finally:
            answer.let_go()


def _text(value: bytes | None) -> str | None:
    """The value of a header, if it is one of ASCII."""
    return value.decode("ascii") if value and value.isascii() else None


async def _body(response: Answer) -> bytes:
    """The body of a 200. Raises what the dialect makes of any other status."""
    try:
        body = await response.read(MOST_BYTES)
    except ConnectionBroken as error:
        if response.status == 200:
            raise _unreachable() from error
        body = b""
    if response.status == 200:
        return body
    found = of_status(response.status, body)
    if response.retry_after_s is not None:
        found.retry_after_s = response.retry_after_s
    raise found


def _decoded(decoder: "msgspec.json.Decoder[Read]", body: bytes) -> Read:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise garbled() from None


def _expiry(said: str | None) -> float:
    """Unix seconds; 0 if it was not said, and then the file is not used a second time."""
    try:
        return datetime.datetime.fromisoformat(said or "").timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def _unreachable() -> GenerationError:
    return failure("upstream_error")
