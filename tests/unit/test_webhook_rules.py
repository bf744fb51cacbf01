import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json, structs

from reynard.core import webhooks
from reynard.core.errors import InvalidParam
from reynard.core.keys import Key
from reynard.core.webhooks import GRACE_S, RETRY_S, Delivery, Try, after, check_callback_url, next_due

KEY = Key(id="key-1", digest=b"d", name="n", hint="h", created=1.0)
MASTER = bytes(range(32))
NOW = 1_776_874_481.25
DELIVERY = Delivery(id="msg_task-1", task_id="task-1", key_id="key-1", url="https://x.org/", created=NOW, due=NOW)
HOUR_S = 3_600


def tried(status: int | None) -> Try:
    return Try(at=NOW, status=status, error=None if status else "timeout", took_ms=3)


def test_the_signature_is_that_of_the_published_vector() -> None:
    """libraries/javascript/src/webhook.test.ts of Standard Webhooks, "sign function works"."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = webhooks.signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert webhooks.shown(secret) == "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_headers_have_a_signature_for_each_secret() -> None:
    found = webhooks.headers("msg_1", 12.9, b"{}", [b"a" * 32, b"b" * 32])
    assert (found["webhook-id"], found["webhook-timestamp"]) == ("msg_1", "12")
    assert found["webhook-signature"].split(" ") == [
        webhooks.signature(secret * 32, "msg_1", 12, b"{}") for secret in (b"a", b"b")
    ]


def test_a_secret_is_its_keys_and_its_versions_alone() -> None:
    made = {webhooks.secret_of(master, *of) for master in (MASTER, b"x" * 32) for of in (("a", 1), ("a", 2), ("b", 1))}
    assert len(made) == 6
    assert {len(secret) for secret in made} == {32}  # 24 to 64 bytes are allowed


def test_two_secrets_sign_for_a_day_after_a_rotation() -> None:
    assert webhooks.versions(KEY, NOW) == (1,)
    key = webhooks.rotated(KEY, NOW)
    assert webhooks.versions(key, NOW + 24 * HOUR_S - 1) == (2, 1)
    assert webhooks.versions(key, NOW + 24 * HOUR_S) == (2,)
    assert webhooks.versions(webhooks.rotated(key, NOW + 1), NOW + 2) == (3, 2)


def test_a_key_of_an_earlier_version_has_a_secret_too() -> None:
    new = {"callback_url", "signing", "rotated"}
    old = {name: value for name, value in structs.asdict(KEY).items() if name not in new}
    assert json.decode(json.encode(old), type=Key) == KEY


def test_the_tries_span_three_days() -> None:
    for uniform in (0.0, 0.999):
        due: float | None = NOW
        times: list[float] = []
        while due is not None:
            times.append(due)
            due = next_due(len(times), due, uniform)
        assert len(times) == 10
        assert 72 * HOUR_S < times[-1] - NOW < 84 * HOUR_S


def test_a_task_outlives_all_tries_of_its_delivery() -> None:
    delivery, now = DELIVERY, NOW
    while (delivery := after(delivery, tried(503), now, 0.999, 1e9)).state == "pending":
        now = delivery.due
    assert delivery.attempt == 10
    assert now - NOW < GRACE_S


@given(st.integers(1, len(RETRY_S)), st.floats(0, 0.999))
def test_a_pause_is_never_shorter_and_at_most_a_tenth_longer(attempt: int, uniform: float) -> None:
    due = next_due(attempt, 0.0, uniform)
    assert due is not None
    assert RETRY_S[attempt - 1] <= due <= 1.1 * RETRY_S[attempt - 1]


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_delivers(status: int) -> None:
    assert after(DELIVERY, tried(status), NOW, 0.5) == structs.replace(DELIVERY, state="delivered", attempt=1)


@pytest.mark.parametrize("status", [None, 100, 199, 300, 302, 400, 404, 429, 500, 502])
def test_all_else_is_tried_again(status: int | None) -> None:
    assert after(DELIVERY, tried(status), NOW, 0.0) == structs.replace(DELIVERY, attempt=1, due=NOW + 5)


def test_410_ends_it_and_so_does_the_last_try() -> None:
    assert after(DELIVERY, tried(410), NOW, 0.0).state == "failed"
    last = structs.replace(DELIVERY, attempt=9)
    assert after(last, tried(500), NOW, 0.0) == structs.replace(last, state="failed", attempt=10)
    assert after(structs.replace(DELIVERY, attempt=8), tried(500), NOW, 0.0).state == "pending"


@pytest.mark.parametrize(("asked", "pause"), [(1.0, 5.0), (60.0, 60.0), (1e9, 86_400.0)])
def test_retry_after_counts_where_it_is_longer(asked: float, pause: float) -> None:
    assert after(DELIVERY, tried(503), NOW, 0.0, asked).due == NOW + pause


def test_a_redelivery_has_its_id_and_all_its_tries() -> None:
    failed = structs.replace(DELIVERY, state="failed", attempt=10)
    assert webhooks.again(failed, NOW + 9) == structs.replace(DELIVERY, due=NOW + 9)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook",
        "http://example.com:8080/hook?a=b",
        "https://bücher.example.com/",
        "https://8.8.8.8/hook",
        "https://[2001:4860:4860::8888]/",
    ],
)
def test_public_addresses_are_taken(url: str) -> None:
    check_callback_url(url, "callback_url")


MALFORMED = [
    "",
    "example.com",
    "ftp://example.com/",
    "javascript:alert(1)",
    "https://",
    "https:///hook",
    "https://example.com:99999/",
    "https://example.com:0/",
    "https://user:secret@example.com/",
    "https://user@example.com/",
    "https://exam ple.com/",
    "https://example.com\\@evil.org/",
    "https://example.com/\n",
    "https://[::1/",
    "http://foo..com/",
    "http://example.com:25/",
    "http://example.com:6667/",
    "http://1.2.3.4.5/",
    "https://example.com/" + "x" * 2_048,
]
PRIVATE = [
    "http://localhost/",
    "http://127.0.0.1:8080/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://0x7f000001/",
    "http://10.0.0.1/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]/",
    "http://[fd00::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://metadata.google.internal/",
    "http://printer.local./",
    "http://router/",
    "http://168.63.129.16/",
    "http://192.88.99.1/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fec0::1]/",
]


@pytest.mark.parametrize("url", [*MALFORMED, *PRIVATE])
def test_other_addresses_are_refused_by_name(url: str) -> None:
    with pytest.raises(InvalidParam) as caught:
        check_callback_url(url, "callback_url")
    assert caught.value.param == "callback_url"
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("url", MALFORMED)
def test_what_is_malformed_is_refused_in_private_networks_too(url: str) -> None:
    with pytest.raises(InvalidParam):
        check_callback_url(url, "callback_url", private=True)


@pytest.mark.parametrize("url", PRIVATE)
def test_private_addresses_are_taken_where_the_operator_wants_them(url: str) -> None:
    check_callback_url(url, "callback_url", private=True)


@given(st.text(max_size=80) | st.text(max_size=60).map("https://".__add__))
def test_any_text_is_judged_without_an_error(url: str) -> None:
    try:
        check_callback_url(url, "callback_url")
    except InvalidParam:
        return
    assert url.lower().startswith("http")
