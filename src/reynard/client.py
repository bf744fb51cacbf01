"""A small client of the public API, for the command line; it uses nothing that any other client could not."""

import datetime
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import wreq
from wreq.dns import DnsOptions

CONNECT_TIMEOUT_S = 10


class Refused(Exception):
    """The gateway answered with an error."""

    exit_code = 3

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Unreachable(Exception):
    """No gateway answers at the address."""


class BadAddress(Exception):
    """It is no address of HTTP."""

    exit_code = 2


class Client:
    """One gateway, one key. Raises `BadAddress`."""

    def __init__(self, url: str, key: str) -> None:
        self._url = _checked(url)
        self._key = {"authorization": f"Bearer {key}"}
        self._pool = wreq.Client(
            dns_options=DnsOptions(system_dns=True),
            connect_timeout=datetime.timedelta(seconds=CONNECT_TIMEOUT_S),
            no_proxy=True,
        )

    async def get(self, path: str) -> Any:
        """The JSON at `path`. Raises `Refused`, `Unreachable`."""
        return await self._call(wreq.Method.GET, path, None)

    async def post(self, path: str, body: Any) -> Any:
        """The JSON answer to a POST. Raises `Refused`, `Unreachable`."""
        return await self._call(wreq.Method.POST, path, body)

    async def upload(self, path: Path) -> str:
        """The address of a local file on the gateway, sent as it is read. Raises `Refused`, `Unreachable`."""
        form = wreq.Multipart(wreq.Part("file_name", path.name), wreq.Part("file", path, filename="file"))
        response = await self._send(wreq.Method.POST, "/v1/files/upload/stream", headers=self._key, multipart=form)
        async with response:
            url: str = msgspec.json.decode(bytes(await response.bytes()))["url"]
            return url

    async def events(self, path: str, body: Any) -> AsyncIterator[Any]:
        """The `data:` values of a POST's event stream, as JSON, up to `[DONE]`. Raises `Refused`, `Unreachable`."""
        response = await self._ask(wreq.Method.POST, path, body)
        rest = b""
        async with response, response.stream() as stream:
            async for part in stream:
                *lines, rest = (rest + bytes(part)).split(b"\n")
                for line in lines:
                    if line.startswith(b"data: ") and line != b"data: [DONE]":
                        event = msgspec.json.decode(line[6:])
                        if "error" in event:
                            raise Refused(200, event["error"]["code"], event["error"]["message"])
                        yield event

    async def _call(self, method: wreq.Method, path: str, body: Any) -> Any:
        response = await self._ask(method, path, body)
        async with response:
            return msgspec.json.decode(bytes(await response.bytes()))

    async def _ask(self, method: wreq.Method, path: str, body: Any) -> wreq.Response:
        headers = {**self._key, "content-type": "application/json"}
        return await self._send(method, path, headers=headers, body=b"" if body is None else msgspec.json.encode(body))

    async def _send(self, method: wreq.Method, path: str, **request: Any) -> wreq.Response:
        try:
            response = await self._pool.request(method, self._url + path, **request)
        except wreq.exceptions.ConnectionError as error:
            raise Unreachable(f"no gateway answers at {self._url}; start one with `reynard serve`") from error
        status = response.status.as_int()
        if status >= 400:
            raise _refusal(status, bytes(await response.bytes()))
        return response


def _checked(url: str) -> str:
    """The address, without the `/v1` that OpenAI's SDKs want at its end. Raises `BadAddress`."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port
        is_good = False
    if not is_good or "?" in url or "#" in url:
        raise BadAddress(f"`{url}` is no address of a gateway; write the whole of it, as http://localhost:8080")
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def _refusal(status: int, body: bytes) -> Refused:
    try:
        error = msgspec.json.decode(body)["error"]
        return Refused(status, error["code"], error["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return Refused(status, "unknown", f"the server answered {status}, and not as a gateway does")
