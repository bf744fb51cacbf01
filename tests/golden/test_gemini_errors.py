"""What is made of the error bodies of the gemini dialect."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reynard.core.errors import TASK_ERROR_CODES, GenerationError
from reynard.providers.failures import FAILOVER, SAYS
from reynard.providers.gemini import GeminiCodec
from reynard.providers.google_errors import OF_REASON, OF_WORD, of_event

CASES = json.loads((Path(__file__).parent / "gemini" / "errors.json").read_text("utf-8"))


def judged(status: int, body: bytes) -> GenerationError:
    return GeminiCodec().decode_error(status, body)


def body_of(case: dict[str, Any]) -> bytes:
    return case["text"].encode() if "text" in case else json.dumps(case["body"]).encode()


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_an_error_body_is_told_by_status_and_type(case: dict[str, Any]) -> None:
    error = judged(case["status"], body_of(case))
    assert error.code == case["code"]
    assert error.failover == (error.code in FAILOVER)
    assert error.message == SAYS[error.code] + (f" It said: {case['quotes']}" if "quotes" in case else "")
    assert error.retry_after_s == case.get("wait")
    assert case.get("hides", "\0") not in error.message


EMPTY = [b"", b"{}", b"null", b"<html></html>", b"[]", b"[{}]", b"[7]", b"\xff\xfe", b'{"error":null}', b'{"error":[]}']
OF_A_BARE_STATUS = {
    302: "upstream_error",
    400: "invalid_parameters",
    401: "upstream_auth_failed",
    403: "upstream_auth_failed",
    404: "upstream_error",
    408: "generation_timeout",
    413: "media_too_large",
    418: "invalid_parameters",
    429: "upstream_rate_limited",
    500: "upstream_error",
    503: "upstream_error",
    504: "generation_timeout",
}


@pytest.mark.parametrize(("status", "code"), OF_A_BARE_STATUS.items())
@pytest.mark.parametrize("body", EMPTY)
def test_a_bare_status_is_enough(status: int, code: str, body: bytes) -> None:
    error = judged(status, body)
    assert (error.code, error.retry_after_s) == (code, None)


@pytest.mark.parametrize(("word", "code"), OF_WORD.items())
@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_typed_error_outweighs_its_status(word: str, code: str, status: int) -> None:
    assert judged(status, json.dumps({"error": {"code": status, "status": word}}).encode()).code == code


@pytest.mark.parametrize(("reason", "code"), OF_REASON.items())
@pytest.mark.parametrize("word", ["INVALID_ARGUMENT", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED"])
def test_a_reason_outweighs_them_both(reason: str, code: str, word: str) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]
    assert judged(400, json.dumps({"error": {"status": word, "details": details}}).encode()).code == code


def test_a_reason_counts_in_an_error_info_alone() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.Help", "reason": "API_KEY_INVALID"}]
    assert judged(400, json.dumps({"error": {"details": details}}).encode()).code == "invalid_parameters"


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_the_words_of_a_message_decide_nothing(status: int) -> None:
    words = "INVALID_ARGUMENT API_KEY_INVALID RESOURCE_EXHAUSTED token count exceeds safety timeout"
    assert judged(status, json.dumps({"error": {"message": words}}).encode()).code == judged(status, b"").code


def test_the_tables_know_no_code_that_a_task_cannot_have() -> None:
    assert {*OF_WORD.values(), *OF_REASON.values()} <= set(SAYS) <= set(TASK_ERROR_CODES)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": 429}, "upstream_rate_limited"),
        ({"code": 503, "status": "UNAVAILABLE"}, "upstream_error"),
        ({"status": "RESOURCE_EXHAUSTED"}, "upstream_rate_limited"),
        ({"code": "x"}, "upstream_error"),
        ({"code": True}, "upstream_error"),
        ({"code": 10**30}, "upstream_error"),
        ("overloaded", "upstream_error"),
        ([], "upstream_error"),
    ],
)
def test_an_error_that_came_with_status_200_is_the_providers(error: object, code: str) -> None:
    found = of_event(error)
    assert (found.code, found.failover) == (code, True)


def test_a_huge_error_body_is_read_and_bounded() -> None:
    body = json.dumps({"error": {"message": "long " * 1_000_000, "status": "INVALID_ARGUMENT"}}).encode()
    assert len(judged(400, body).message) < 700
    assert judged(400, b"[" * 1_000_000).code == "invalid_parameters"
    assert judged(500, b'{"error":' * 100_000).code == "upstream_error"


@given(st.integers(300, 599), st.binary(max_size=60))
def test_any_bytes_are_some_error(status: int, body: bytes) -> None:
    assert judged(status, body).code in TASK_ERROR_CODES


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.sampled_from(sorted({*OF_WORD, *OF_REASON})),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "details", "message", "code", "status", "@type", "reason", "retryDelay"]), inner
        )
    ),
    max_leaves=8,
)


@given(st.integers(300, 599), values)
def test_any_json_is_some_error(status: int, value: object) -> None:
    assert judged(status, json.dumps(value).encode()).code in TASK_ERROR_CODES
