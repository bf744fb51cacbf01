"""The way to a channel over HTTP. Why a client of our own: docs/decisions/0024."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from reynard.ports.transport import ConnectFailed, WireRequest
from reynard.providers.auth import Auth
from reynard.providers.upstream.address import Address
from reynard.providers.upstream.answer import Answer
from reynard.providers.upstream.pool import Pool

JSON: Final = {"content-type": "application/json"}


class HTTPTransport:
    """One channel: its base URL, and its way to show whose it is, which outweighs what a dialect says."""

    def __init__(self, pool: Pool, base_url: str, auth: Auth) -> None:
        self._pool = pool
        self._base_url = base_url.rstrip("/")
        self._auth = auth
        self._heads: dict[
            tuple[int, str], _Head
        ] = {}  # of the last request with each key to each path, of which there are few

    def send(self, request: WireRequest) -> "_Exchange":
        """See the port."""
        return _Exchange(self, request)

    async def post(self, request: WireRequest) -> Answer:
        """The answer's head, to be let go of. Raises `ConnectFailed`, `ConnectionBroken`."""
        head = self._head(request, await self._auth.headers(request.key))
        return await self._pool.ask(head.address.origin, head.made, request.body)

    async def close(self) -> None:
        """The pool is shared, and closed by whoever made it."""

    def _head(self, request: WireRequest, own: Mapping[str, str]) -> "_Head":
        """What a request begins with: the same from one to the next, but for a token that was renewed.

        Raises `ConnectFailed`.
        """
        last = self._heads.get((request.key, request.path))
        if last is None or last.asked != request.headers or last.own != own:
            try:
                address = Address.of(self._base_url)
                made = address.head("POST", request.path, {**JSON, **request.headers, **own})
            except ValueError as error:
                raise ConnectFailed("the channel's address or key has a character that none may have") from error
            last = _Head(dict(request.headers), dict(own), address, made)
            self._heads[request.key, request.path] = last
        return last


class _Head(NamedTuple):
    """A head, and what it was made of: what the dialect asks for, and what the channel is known by."""

    asked: Mapping[str, str]
    own: Mapping[str, str]
    address: Address
    made: bytes


class _Exchange:
    """A request, as the context of its answer."""

    __slots__ = ("_answer", "_request", "_transport")

    def __init__(self, transport: HTTPTransport, request: WireRequest) -> None:
        self._transport = transport
        self._request = request
        self._answer: Answer | None = None

    async def __aenter__(self) -> Answer:
        self._answer = await self._transport.post(self._request)
        return self._answer

    async def __aexit__(self, *error: object) -> None:
        if self._answer is not None:
            self._answer.let_go()
