"""How a channel shows whose it is: keys that take turns; Google accounts, against a token server that checks them."""

import asyncio
import importlib.util
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.google_tokens import EMAIL, Tokens, account

from reynard.core.channels import Auth, Carried, Channel, Dialect
from reynard.ports.transport import ConnectFailed, WireRequest
from reynard.providers import google, google_http
from reynard.providers.auth import KeyAuth, auth_of
from reynard.providers.google import GoogleAuth
from reynard.providers.upstream.pool import Pool
from reynard.providers.upstream.transport import HTTPTransport
from reynard.testing.clock import FakeClock


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def tokens(key: rsa.RSAPrivateKey) -> Iterator[Tokens]:
    server = Tokens(key)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.gate.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def written(key: rsa.RSAPrivateKey, tokens: Tokens) -> str:
    return account(key, f"http://127.0.0.1:{tokens.server_port}/token")


@pytest.fixture
def provider() -> Iterator["Provider"]:
    server = Provider(("127.0.0.1", 0), _Heard)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Provider(ThreadingHTTPServer):
    """Remembers the headers it was sent."""

    heard: dict[str, str]


class _Heard(BaseHTTPRequestHandler):
    server: Provider

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.heard = {name.lower(): value for name, value in self.headers.items()}
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(time.time())


def bearer(number: int) -> dict[str, str]:
    return {"authorization": f"Bearer ya29.{number}"}


async def settled(auth: GoogleAuth) -> None:
    """When no refresh is under way."""
    while auth._refresh is not None:
        await asyncio.wait([auth._refresh])
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("dialect", "way", "expected"),
    [
        ("openai", None, {"authorization": "Bearer k"}),
        ("anthropic", None, {"x-api-key": "k"}),
        ("gemini", None, {"x-goog-api-key": "k"}),
        ("openai", "api-key", {"api-key": "k"}),
        ("anthropic", "bearer", {"authorization": "Bearer k"}),
        ("openai", "none", {}),
    ],
)
async def test_a_key_is_shown_in_the_dialects_way_or_the_channels(
    dialect: Dialect, way: Auth | None, expected: dict[str, str]
) -> None:
    channel = Channel(name="c", dialect=dialect, models=(Carried("m", "m"),), auth=way)
    assert await auth_of(channel, ("k",), FakeClock()).headers() == expected
    assert await auth_of(channel, (), FakeClock()).headers() == {}


async def test_of_several_keys_the_one_that_is_asked_for_is_shown() -> None:
    auth = KeyAuth("x-api-key", "", ["a", "b"])
    assert [(await auth.headers(key))["x-api-key"] for key in (0, 1, 1, 0)] == ["a", "b", "b", "a"]


async def test_a_google_account_is_exchanged_for_a_token_once(written: str, tokens: Tokens, clock: FakeClock) -> None:
    channel = Channel(name="c", dialect="gemini", models=(Carried("m", "m"),), auth="google")
    auth = auth_of(channel, (written,), clock)
    assert [await auth.headers() for _ in range(3)] == [bearer(1)] * 3
    assert tokens.calls == 1
    assert (tokens.claims["iss"], tokens.claims["scope"]) == (EMAIL, "https://www.googleapis.com/auth/cloud-platform")


async def test_all_who_wait_share_one_refresh(written: str, tokens: Tokens, clock: FakeClock) -> None:
    tokens.gate.clear()
    auth = GoogleAuth(written, clock)
    waiting = [asyncio.ensure_future(auth.headers()) for _ in range(50)]
    await asyncio.to_thread(tokens.asked.wait, 10)
    waiting.pop().cancel()  # one goes away, the others still get theirs
    tokens.gate.set()
    assert await asyncio.gather(*waiting) == [bearer(1)] * 49
    assert tokens.calls == 1


async def test_a_token_is_refreshed_before_it_expires_and_nobody_waits(
    written: str, tokens: Tokens, clock: FakeClock
) -> None:
    auth = GoogleAuth(written, clock)
    await auth.headers()
    clock.advance(3600 - 230)
    assert (await auth.headers(), tokens.calls) == (bearer(1), 1)
    clock.advance(20)
    tokens.gate.clear()
    tokens.asked.clear()
    assert await auth.headers() == bearer(1)  # good for a while; the next one is on its way
    assert await asyncio.to_thread(tokens.asked.wait, 10)
    assert await auth.headers() == bearer(1)
    tokens.gate.set()
    await settled(auth)
    clock.advance(-3390)  # the new token's hour began now, by the real clock
    assert (await auth.headers(), tokens.calls) == (bearer(2), 2)


async def test_an_expired_token_is_never_shown(written: str, tokens: Tokens, clock: FakeClock) -> None:
    auth = GoogleAuth(written, clock)
    await auth.headers()
    clock.advance(3700)
    tokens.lives_s = 7200
    assert (await auth.headers(), tokens.calls) == (bearer(2), 2)


async def test_a_refresh_that_fails_leaves_the_token_that_is_still_good(
    written: str, tokens: Tokens, clock: FakeClock
) -> None:
    auth = GoogleAuth(written, clock, rest_s=0)
    await auth.headers()
    clock.advance(3500)
    tokens.refusal = (403, b'{"error": "access_denied"}')
    assert await auth.headers() == bearer(1)
    await settled(auth)
    assert await auth.headers() == bearer(1)
    await settled(auth)
    assert tokens.calls == 3


@pytest.mark.parametrize(
    "refusal",
    [
        (400, b'{"error": "invalid_grant", "error_description": "very-secret"}'),
        (302, b"{}"),
        (200, b"very-secret"),
        (200, b'{"access_token": "very-secret", "expires_in": "soon"}'),
        (200, b'["very-secret"]'),
        (200, b'{"access_token": "very-secret", "expires_in": 3600}' + b" " * 100_000),
    ],
)
async def test_a_failure_tells_no_secret_and_the_next_try_may_do_better(
    written: str, tokens: Tokens, clock: FakeClock, refusal: tuple[int, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    auth = GoogleAuth(written, clock, rest_s=0)
    tokens.refusal = refusal
    with pytest.raises(ConnectFailed) as caught:
        await auth.headers()
    told = f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"
    assert "Google" in str(caught.value)
    assert not any(secret in told for secret in ("very-secret", EMAIL, "127.0.0.1", "PRIVATE"))
    assert ("invalid_grant" in caplog.text) is (b"invalid_grant" in refusal[1])
    tokens.refusal = None
    await settled(auth)
    assert await auth.headers() == bearer(2)


async def test_an_account_that_google_does_not_know_fails(tokens: Tokens, clock: FakeClock) -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    auth = GoogleAuth(account(stranger, f"http://127.0.0.1:{tokens.server_port}/token"), clock)
    with pytest.raises(ConnectFailed):
        await auth.headers()
    assert tokens.calls == 1


async def test_after_a_failure_it_rests(written: str, tokens: Tokens, clock: FakeClock) -> None:
    auth = GoogleAuth(written, clock, rest_s=600)
    tokens.refusal = (400, b'{"error": "invalid_grant"}')
    for _ in range(3):
        with pytest.raises(ConnectFailed):
            await auth.headers()
        await settled(auth)
    assert tokens.calls == 1


async def refused(auth: GoogleAuth) -> None:
    """Asks in vain, until the try that this began, if it did, has ended."""
    with pytest.raises(ConnectFailed):
        await auth.headers()
    await settled(auth)


async def test_the_rests_after_failures_grow_to_a_minute(written: str, tokens: Tokens, clock: FakeClock) -> None:
    auth = GoogleAuth(written, clock)
    tokens.refusal = (400, b'{"error": "invalid_grant"}')
    await refused(auth)
    for tries, rest_s in enumerate([1, 2, 4, 8, 16, 32, 60, 60, 60], 1):
        clock.advance(rest_s - 0.01)
        await refused(auth)
        assert tokens.calls == tries
        clock.advance(0.02)
        await refused(auth)
        assert tokens.calls == tries + 1


async def test_a_token_ends_the_rests(written: str, tokens: Tokens, clock: FakeClock) -> None:
    auth = GoogleAuth(written, clock)
    tokens.refusal = (400, b'{"error": "invalid_grant"}')
    for _ in range(4):
        await refused(auth)
        clock.advance(60)
    tokens.refusal = None
    assert await auth.headers() == bearer(5)
    tokens.refusal = (400, b'{"error": "invalid_grant"}')
    clock.advance(4000)
    await refused(auth)
    clock.advance(1.01)
    await refused(auth)
    assert tokens.calls == 7


async def test_a_clock_that_was_set_back_ends_the_rest(written: str, tokens: Tokens, clock: FakeClock) -> None:
    auth = GoogleAuth(written, clock)
    tokens.refusal = (400, b'{"error": "invalid_grant"}')
    await refused(auth)
    clock.advance(-3600)
    await refused(auth)
    assert tokens.calls == 2


async def test_a_token_server_that_hangs_holds_up_nobody_after_its_first_failure(
    written: str, tokens: Tokens, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google_http, "CALL_S", 0.2)
    monkeypatch.setattr(google, "AGAIN_S", 0.01)
    tokens.gate.clear()
    auth = GoogleAuth(written, clock)
    await refused(auth)
    tries = tokens.calls
    begun = time.monotonic()
    for _ in range(100):
        await refused(auth)  # at once: it rests
    assert tokens.calls == tries
    clock.advance(1.01)
    monkeypatch.setattr(google_http, "CALL_S", 10)
    for _ in range(3):
        with pytest.raises(ConnectFailed):
            await auth.headers()  # nearly at once: it tries again
    assert time.monotonic() - begun < 5
    tokens.gate.set()
    await settled(auth)
    assert (await auth.headers())["authorization"].startswith("Bearer ya29.")


async def test_a_token_server_that_is_silent_is_waited_for_so_long_and_asked_once(
    written: str, tokens: Tokens, clock: FakeClock
) -> None:
    tokens.gate.clear()
    auth = GoogleAuth(written, clock, wait_s=0.1)
    for _ in range(2):
        with pytest.raises(ConnectFailed):
            await auth.headers()
    tokens.gate.set()
    await settled(auth)
    assert (await auth.headers(), tokens.calls) == (bearer(1), 1)


async def test_nobody_there_is_a_failure(key: rsa.RSAPrivateKey, clock: FakeClock) -> None:
    with pytest.raises(ConnectFailed):
        await GoogleAuth(account(key, "http://127.0.0.1:1/token"), clock).headers()


async def test_the_machines_own_account_is_used_when_none_is_given(
    written: str, tokens: Tokens, clock: FakeClock, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "account.json").write_text(written, "utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    assert await GoogleAuth(None, clock).headers() == bearer(1)
    assert tokens.calls == 1


async def test_no_account_at_all_is_a_failure(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    with pytest.raises(ConnectFailed), caplog.at_level(logging.ERROR):
        await GoogleAuth(None, clock).headers()
    assert "DefaultCredentialsError" in caplog.text
    assert str(tmp_path) not in caplog.text


def test_a_good_account_has_no_fault(key: rsa.RSAPrivateKey) -> None:
    assert google.fault(account(key, "https://oauth2.googleapis.com/token")) is None
    assert google.fault(None) is None


@pytest.mark.parametrize(
    "change",
    [
        {"type": "authorized_user"},
        {"private_key": "-----BEGIN PRIVATE KEY-----\nnothing\n-----END PRIVATE KEY-----\n"},
        {"private_key": None},
        {"client_email": 7},
        {"token_uri": "file:///etc/passwd"},
    ],
)
def test_a_wrong_account_is_a_fault_that_tells_no_secret(key: rsa.RSAPrivateKey, change: dict[str, Any]) -> None:
    problem = google.fault(account(key, "https://oauth2.googleapis.com/token", **change))
    assert problem is not None
    assert "service_account" in problem
    assert "nothing" not in problem


@pytest.mark.parametrize("text", ["", "sk-very-secret", "[]", "{}", "7"])
def test_what_is_no_account_is_a_fault(text: str) -> None:
    assert "very-secret" not in (google.fault(text) or pytest.fail("it is none"))


def test_a_missing_extra_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert "vertex" in (google.fault(None) or "")


async def sent(auth: Any, address: str, **headers: str) -> None:
    transport = HTTPTransport(Pool(5), address, auth)
    async with transport.send(WireRequest(path="/x", body=b"{}", stream=False, headers=headers)) as response:
        await response.read(10)


async def test_a_request_carries_what_the_dialect_wants_and_whose_it_is(provider: Provider) -> None:
    await sent(KeyAuth("x-api-key", "", ["k"]), f"http://127.0.0.1:{provider.server_port}", version="7")
    assert provider.heard["x-api-key"] == "k"
    assert provider.heard["version"] == "7"
    assert provider.heard["content-type"] == "application/json"


async def test_without_a_token_nothing_is_sent(key: rsa.RSAPrivateKey, provider: Provider, clock: FakeClock) -> None:
    with pytest.raises(ConnectFailed):
        await sent(
            GoogleAuth(account(key, "http://127.0.0.1:1/token"), clock), f"http://127.0.0.1:{provider.server_port}"
        )
    assert not hasattr(provider, "heard")
