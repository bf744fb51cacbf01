"""The way to a channel over HTTP: wreq, one connection pool for all channels. Why wreq: docs/decisions/0002."""

import datetime
from collections.abc import AsyncGenerator, Mapping
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

import wreq
from wreq import exceptions as wire
from wreq.dns import DnsOptions

from reynard.ports.transport import ConnectFailed, ConnectionBroken, WireRequest
from reynard.providers.auth import Auth

MAX_IDLE_PER_HOST: Final = 256
LONGEST_WAIT_S: Final = 86_400.0
JSON: Final = {"content-type": "application/json"}
NOT_SENT: Final = (wire.ConnectionError, wire.ProxyConnectionError, wire.TlsError, wire.BuilderError)
BROKEN: Final = (
    wire.ConnectionResetError,
    wire.BodyError,
    wire.DecodingError,
    wire.RequestError,
    wire.TimeoutError,
    wire.UpgradeError,
    wire.RedirectError,
    wire.StatusError,
)


def client(connect_timeout_s: float) -> wreq.Client:
    """A pool. Redirects are not followed: a key is sent to nobody but the channel's own address."""
    return wreq.Client(
        dns_options=DnsOptions(system_dns=True),
        connect_timeout=datetime.timedelta(seconds=connect_timeout_s),
        pool_max_idle_per_host=MAX_IDLE_PER_HOST,
        redirect=wreq.redirect.Policy.none(),
        no_proxy=True,
        cookie_store=False,
        user_agent="reynard",
    )


def asked_wait(value: bytes, date: bytes) -> float | None:
    """How long a `Retry-After` asks to wait, in seconds; `date` is when the answer was sent."""
    if value.isdigit():
        return min(float(value), LONGEST_WAIT_S)
    try:
        left = parsedate_to_datetime(value.decode("ascii")) - parsedate_to_datetime(date.decode("ascii"))
    except (ValueError, TypeError):  # no dates, or one that names its zone and one that does not
        return None
    return min(max(0.0, left.total_seconds()), LONGEST_WAIT_S)


class HTTPResponse:
    """An answer of wreq's, behind the port."""

    __slots__ = ("_response", "is_read", "status")

    def __init__(self, response: wreq.Response) -> None:
        self._response = response
        self.status = response.status.as_int()
        self.is_read = False  # to its end, and then there is nothing to let go of

    @property
    def retry_after_s(self) -> float | None:
        """`Retry-After`, as seconds or as a date (RFC 9110 10.2.3), which the answer's own `Date` is compared with; a
        day at the most."""
        value = self._response.headers.get("retry-after")
        date = self._response.headers.get("date")
        return None if value is None else asked_wait(bytes(value), b"" if date is None else bytes(date))

    async def read(self, limit: int) -> bytes:
        """The whole body."""
        announced = self._response.content_length
        if announced is not None:
            if announced > limit:
                raise ConnectionBroken("the answer is longer than the gateway reads")
            try:
                body = bytes(await self._response.bytes())
            except BROKEN as error:
                raise ConnectionBroken("the answer was cut") from error
            self.is_read = True
            return body
        found: list[bytes] = []
        size = 0
        async for part in self.parts():
            size += len(part)
            if size > limit:
                raise ConnectionBroken("the answer is longer than the gateway reads")
            found.append(part)
        return b"".join(found)

    async def let_go(self) -> None:
        """The connection is free again; cut, if its answer was not read to the end."""
        if not self.is_read:
            await self._response.__aexit__(None, None, None)

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes."""
        try:
            async with self._response.stream() as stream:
                async for part in stream:
                    if isinstance(part, memoryview):
                        yield bytes(part)
        except BROKEN as error:
            raise ConnectionBroken("the answer was cut") from error


class HTTPTransport:
    """One channel: its base URL, and its way to show whose it is, which outweighs what a dialect says."""

    def __init__(self, pool: wreq.Client, base_url: str, auth: Auth) -> None:
        self._pool = pool
        self._base_url = base_url.rstrip("/")
        self._auth = auth
        self._headers: dict[int, _Headers] = {}  # of the last request with each of the channel's keys

    def send(self, request: WireRequest) -> "_Exchange":
        """See the port."""
        return _Exchange(self, request)

    async def post(self, request: WireRequest) -> HTTPResponse:
        """The answer's headers, to be let go of. Raises `ConnectFailed`, `ConnectionBroken`."""
        headers = self._map(request, await self._auth.headers(request.key))
        try:
            response = await self._pool.request(
                wreq.Method.POST, self._base_url + request.path, headers=headers, body=request.body
            )
        except NOT_SENT as error:
            raise ConnectFailed("no connection to the provider") from error
        except BROKEN as error:
            raise ConnectionBroken("the provider closed the connection without an answer") from error
        return HTTPResponse(response)

    def _map(self, request: WireRequest, own: Mapping[str, str]) -> wreq.HeaderMap:
        """What goes along, as wreq has it: the same from request to request, but for a token that was renewed.

        Raises `ConnectFailed`.
        """
        last = self._headers.get(request.key)
        if last is None or last.asked != request.headers or last.own != own:
            wanted = {**JSON, **request.headers, **own}
            made = wreq.HeaderMap(wanted)
            if len(made) < len(wanted):  # wreq leaves out what is no header, without a word
                raise ConnectFailed("the channel's key has a character that no header may have")
            last = self._headers[request.key] = _Headers(dict(request.headers), dict(own), made)
        return last.made

    async def close(self) -> None:
        """The pool is shared, and closed by whoever made it."""


class _Headers(NamedTuple):
    """A header map, and what it was made of: what the dialect asks for, and what the channel is known by."""

    asked: Mapping[str, str]
    own: Mapping[str, str]
    made: wreq.HeaderMap


class _Exchange:
    """A request, as the context of its answer."""

    __slots__ = ("_request", "_response", "_transport")

    def __init__(self, transport: HTTPTransport, request: WireRequest) -> None:
        self._transport = transport
        self._request = request
        self._response: HTTPResponse | None = None

    async def __aenter__(self) -> HTTPResponse:
        self._response = await self._transport.post(self._request)
        return self._response

    async def __aexit__(self, *error: object) -> None:
        if self._response is not None:
            await self._response.let_go()
