"""Google accounts: a service account's key, or what the machine itself is (application-default credentials), exchanged
for tokens of an hour (https://cloud.google.com/docs/authentication).

The exchange is google-auth's (extra `vertex`), which blocks: it runs in a thread. It is imported when it is needed, as
is its way to HTTP.
"""

import asyncio
import concurrent.futures
import datetime
import importlib.util
import json
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from msgspec import Struct

from reynard.ports.clock import Clock
from reynard.ports.transport import ConnectFailed

log = logging.getLogger(__name__)

SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
MARGIN_S: Final = 225.0  # google-auth's own: from here on a token is good, and time for the next one
WAIT_S: Final = 20.0
AGAIN_S: Final = 2.0  # how long anyone waits for a try that follows a failure
MOST_REST_S: Final = 60.0
NEEDED: Final = ("client_email", "private_key", "token_uri")
Result = TypeVar("Result")


class Token(Struct, frozen=True):
    """What a request carries, and until when it is good (Unix seconds)."""

    headers: Mapping[str, str]
    expires: float


class GoogleAuth:
    """Tokens of one Google account, refreshed before they expire, once for all who wait.

    `account`: a service account's JSON; None: application-default credentials. After a failure the next try waits
    `rest_s`, after each further one twice as long, up to a minute; whoever asks before fails at once, and so does,
    nearly, whoever asks during that try, so that a token server that hangs does not hold up the failover.
    """

    def __init__(self, account: str | None, clock: Clock, *, wait_s: float = WAIT_S, rest_s: float = 1.0) -> None:
        self._account = account
        self._clock = clock
        self._wait_s = wait_s
        self._rest_s = rest_s
        self._credentials: Any = None
        self._token = Token({}, 0.0)
        self._refresh: asyncio.Future[Token] | None = None
        self._failures = 0  # in a row
        self._failed_at = float("-inf")

    async def headers(self, key: int = 0) -> Mapping[str, str]:
        """The token's header; there is one account.

        Raises `ConnectFailed`; its message names neither the account nor a secret.
        """
        left = self._token.expires - self._clock.now()
        if left > MARGIN_S:
            return self._token.headers
        refresh = self._refreshing()
        if left > 0:
            return self._token.headers
        if refresh is None:
            raise no_token()
        try:
            async with asyncio.timeout(min(self._wait_s, AGAIN_S) if self._failures else self._wait_s):
                return (await asyncio.shield(refresh)).headers
        except TimeoutError:
            raise no_token() from None

    def _refreshing(self) -> "asyncio.Future[Token] | None":
        """The refresh under way, begun if there is none; None while it rests after a failure."""
        if self._refresh is None and not self._rests():
            self._refresh = _apart(self._exchange)
            self._refresh.add_done_callback(self._settle)
        return self._refresh

    def _rests(self) -> bool:
        """Whether it is too early to try again. A clock that was set back ends the rest."""
        rest_s = min(self._rest_s * 2.0 ** min(self._failures - 1, 30), MOST_REST_S)
        return self._failures > 0 and 0 <= self._clock.now() - self._failed_at < rest_s

    def _settle(self, refresh: "asyncio.Future[Token]") -> None:
        self._refresh = None
        if refresh.cancelled():
            return
        if refresh.exception() is None:
            self._token = refresh.result()
            self._failures = 0
        else:
            self._failures += 1
            self._failed_at = self._clock.now()

    def _exchange(self) -> Token:
        """A new token. In a thread; raises `ConnectFailed` alone, and logs what an operator needs to know."""
        from reynard.providers.google_http import request

        try:
            if self._credentials is None:
                self._credentials = _credentials(self._account)
            self._credentials.refresh(request)
            headers: dict[str, str] = {}
            self._credentials.apply(headers)
        except Exception as error:  # noqa: BLE001 (many libraries deep, and all that matters is that there is no token)
            log.error("Google gave no access token: %s", _reason(error))
            raise no_token() from None
        expiry = self._credentials.expiry
        lives = expiry is not None
        return Token(headers, expiry.replace(tzinfo=datetime.UTC).timestamp() if lives else float("inf"))


def fault(account: str | None) -> str | None:
    """What is wrong with the settings of a Google account, or None; the secret is not in it."""
    try:
        known = importlib.util.find_spec("google.auth") is not None
    except ModuleNotFoundError:
        known = False
    if not known:
        return "a Google account needs the extra `vertex`: pip install 'reynard[vertex]'"
    if account is None:
        return None
    try:
        _credentials(account)
    except (ValueError, TypeError):
        return (
            "must lead to a service account's JSON key file, as `file:/run/secrets/account.json`, with "
            f"type service_account and {', '.join(NEEDED)}"
        )
    return None


def no_token() -> ConnectFailed:
    """Nothing was sent, for want of a token."""
    return ConnectFailed("no access token from Google")


def _credentials(account: str | None) -> Any:
    """Raises `ValueError`, `TypeError` for an account that is none, google-auth's errors where there is no default."""
    import google.auth
    from google.oauth2 import service_account

    from reynard.providers.google_http import request

    if account is None:
        way: Any = request
        return google.auth.default(scopes=SCOPES, request=way)[0]
    info = json.loads(account)
    if not isinstance(info, dict) or info.get("type") != "service_account":
        raise ValueError("not a service account")
    if not all(isinstance(info.get(field), str) for field in NEEDED):
        raise ValueError("not a whole service account")
    if not info["token_uri"].startswith(("https://", "http://")):
        raise ValueError("no address for tokens")
    build = service_account.Credentials.from_service_account_info
    return build(info, scopes=SCOPES)  # type: ignore[no-untyped-call]


def _reason(error: Exception) -> str:
    """OAuth's own word (RFC 6749, 5.2) if there is one, else the class: what else an error says may hold secrets."""
    said = error.args[1] if len(error.args) > 1 else None
    word = said.get("error") if isinstance(said, dict) else None
    return word[:64] if isinstance(word, str) and word.isidentifier() else type(error).__name__


def _apart(work: Callable[[], Result]) -> "asyncio.Future[Result]":
    """`work` in a thread of its own, which nobody waits for when the process stops."""
    done: concurrent.futures.Future[Result] = concurrent.futures.Future()

    def run() -> None:
        if done.set_running_or_notify_cancel():
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 (whoever waits is told)
                done.set_exception(error)

    threading.Thread(target=run, name="google-token", daemon=True).start()
    return asyncio.wrap_future(done)
