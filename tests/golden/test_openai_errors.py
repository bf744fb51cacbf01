"""What is made of the error bodies of the openai dialect's servers."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reynard.core.errors import TASK_ERROR_CODES, GenerationError
from reynard.providers.failures import FAILOVER, OF_STATUS, QUOTED, SAYS
from reynard.providers.openai import OpenAICodec
from reynard.providers.openai.errors import OF_CODE, of_event
from reynard.providers.quotes import quoted

CASES = json.loads((Path(__file__).parent / "openai" / "errors.json").read_text("utf-8"))


def judged(status: int, body: bytes) -> GenerationError:
    return OpenAICodec().decode_error(status, body)


def body_of(case: dict[str, Any]) -> bytes:
    return case["text"].encode() if "text" in case else json.dumps(case["body"]).encode()


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_an_error_body_is_told_by_status_and_type(case: dict[str, Any]) -> None:
    error = judged(case["status"], body_of(case))
    assert error.code == case["code"]
    assert error.failover == (error.code in FAILOVER)
    assert error.message == SAYS[error.code] + (f" It said: {case['quotes']}" if "quotes" in case else "")
    assert case.get("hides", "\0") not in error.message


EMPTY = [b"", b"{}", b"null", b"<html></html>", b"[]", b"\xff\xfe"]
OF_A_BARE_STATUS = {
    300: "upstream_error",
    302: "upstream_error",
    400: "invalid_parameters",
    401: "upstream_auth_failed",
    402: "upstream_auth_failed",
    403: "upstream_auth_failed",
    404: "upstream_error",
    405: "invalid_parameters",
    408: "generation_timeout",
    409: "upstream_error",
    413: "media_too_large",
    415: "invalid_parameters",
    418: "invalid_parameters",
    422: "invalid_parameters",
    425: "upstream_error",
    429: "upstream_rate_limited",
    500: "upstream_error",
    502: "upstream_error",
    503: "upstream_error",
    504: "generation_timeout",
    520: "upstream_error",
    524: "upstream_error",
    529: "upstream_error",
}


@pytest.mark.parametrize(("status", "code"), OF_A_BARE_STATUS.items())
@pytest.mark.parametrize("body", EMPTY)
def test_a_bare_status_is_enough(status: int, code: str, body: bytes) -> None:
    assert judged(status, body).code == code


@pytest.mark.parametrize("status", [408, 409, 425, 429, *range(500, 530)])
def test_what_is_safe_to_try_elsewhere_is(status: int) -> None:
    assert judged(status, b"").failover


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_fault_of_the_request_is_not_tried_elsewhere(status: int) -> None:
    assert not judged(status, b"").failover


@pytest.mark.parametrize("place", ["code", "type"])
@pytest.mark.parametrize(("word", "code"), OF_CODE.items())
def test_a_typed_error_outweighs_its_status(place: str, word: str, code: str) -> None:
    for status in (400, 429, 500):
        assert judged(status, json.dumps({"error": {"message": "x", place: word}}).encode()).code == code
        assert judged(status, json.dumps({"message": "x", place: word}).encode()).code == code


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_the_words_of_a_message_decide_nothing(status: int) -> None:
    words = "context_length_exceeded rate limit content policy invalid api key timeout"
    assert judged(status, json.dumps({"error": {"message": words}}).encode()).code == judged(status, b"").code


def test_the_tables_know_no_code_that_a_task_cannot_have() -> None:
    used = {*OF_CODE.values(), *OF_STATUS.values()}
    assert used <= set(SAYS) <= set(TASK_ERROR_CODES)
    assert not FAILOVER & QUOTED


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"message": "x", "code": 429}, "upstream_rate_limited"),
        ({"message": "x", "code": 502}, "upstream_error"),
        ({"message": "x", "code": "rate_limit_exceeded"}, "upstream_rate_limited"),
        ({"message": "x", "code": None}, "upstream_error"),
        ({"message": "x"}, "upstream_error"),
        ("overloaded", "upstream_error"),
        (None, "upstream_error"),
        ([], "upstream_error"),
        ({"message": "x", "code": 0}, "upstream_error"),
        ({"message": "x", "code": True}, "upstream_error"),
    ],
)
def test_an_error_that_came_with_status_200_is_the_providers(error: object, code: str) -> None:
    found = of_event(error)
    assert (found.code, found.failover) == (code, True)


SECRETS = [
    "sk-proj-abcdefghijklmnop",
    "sk-abcd***************wxyz",
    "pk_live_abcdefgh",
    "nvapi-abcdefghijkl",
    "Bearer abcdefghijkl",
    "bearer sk-abcdefghijkl",
    "gsk_abcdefghijklmnop",
    "xai-abcdefghijklmnop",
    "hf_abcdefghijklmnop",
    "AIzaSyA-abcdefghijklmnopqrstuvwxyz12345",
    "https://internal.example.org/v1/chat?key=abcdef",
    "http://10.0.0.1:8000/v1",
    "10.1.2.3",
    "10.1.2.3:8000",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("around", ["{}", "Key {} is wrong.", "({})", '"{}"', "a={}, b", "{}\n{}"])
def test_secrets_and_addresses_are_not_quoted(secret: str, around: str) -> None:
    message = around.replace("{}", secret)
    said = judged(400, json.dumps({"error": {"message": message}}).encode()).message
    assert "…" in said
    for part in (secret, secret.split()[-1], secret[-8:], "internal"):
        assert part not in said


def test_plain_words_are_quoted_as_they_are() -> None:
    text = "Expected max_tokens <= 4096 (task-id 7), got risk-averse 'tokens' at messages[0].content: v1.2.3"
    assert quoted(text) == text


def test_a_quote_is_one_line_and_not_too_long() -> None:
    said = quoted("word \n\t" * 1_000_000)
    assert "\n" not in said
    assert len(said) <= 501


def test_a_huge_error_body_is_read_and_bounded() -> None:
    body = json.dumps({"error": {"message": "long " * 1_000_000}}).encode()
    assert len(judged(400, body).message) < 700
    assert judged(400, b"[" * 1_000_000).code == "invalid_parameters"
    assert judged(500, b'{"error":' * 100_000).code == "upstream_error"


@given(st.integers(300, 599), st.binary(max_size=60))
def test_any_bytes_are_some_error(status: int, body: bytes) -> None:
    assert judged(status, body).code in TASK_ERROR_CODES


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.sampled_from(sorted(OF_CODE)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "detail", "message", "code", "type", "loc", "msg"]), inner)
    ),
    max_leaves=8,
)


@given(st.integers(300, 599), values)
def test_any_json_is_some_error(status: int, value: object) -> None:
    assert judged(status, json.dumps(value).encode()).code in TASK_ERROR_CODES
