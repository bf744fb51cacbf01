"""What is made of Anthropic's errors."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from anthropic.types.shared import ErrorResponse
from anthropic.types.shared.error_type import ErrorType
from hypothesis import given
from hypothesis import strategies as st

from reynard.core.errors import TASK_ERROR_CODES, GenerationError
from reynard.providers.anthropic import AnthropicCodec
from reynard.providers.anthropic.errors import OF_CODE, OF_TYPE, of_event
from reynard.providers.failures import FAILOVER, SAYS

CASES = json.loads((Path(__file__).parent / "anthropic" / "errors.json").read_text("utf-8"))
MEMORY = {"memory_precondition_failed_error", "memory_path_conflict_error"}  # of an API that is not used here


def judged(status: int, body: bytes) -> GenerationError:
    return AnthropicCodec().decode_error(status, body)


def body_of(case: dict[str, Any]) -> bytes:
    return case["text"].encode() if "text" in case else json.dumps(case["body"]).encode()


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_an_error_body_is_told_by_status_and_type(case: dict[str, Any]) -> None:
    error = judged(case["status"], body_of(case))
    assert error.code == case["code"]
    assert error.failover == case.get("failover", error.code in FAILOVER)
    assert error.retry_after_s == case.get("wait")
    assert error.message == SAYS[error.code] + (f" It said: {case['quotes']}" if "quotes" in case else "")
    assert case.get("hides", "\0") not in error.message


def test_every_type_of_the_sdk_is_known() -> None:
    assert set(get_args(ErrorType)) - MEMORY | {"request_too_large"} == set(OF_TYPE)
    for word in set(get_args(ErrorType)) - MEMORY - {"conflict_error"}:
        ErrorResponse.model_validate({"type": "error", "error": {"type": word, "message": "m"}})


@pytest.mark.parametrize(("word", "code"), OF_TYPE.items())
def test_a_type_outweighs_its_status(word: str, code: str) -> None:
    for status in (400, 429, 500, 529):
        assert judged(status, json.dumps({"error": {"message": "x", "type": word}}).encode()).code == code


@pytest.mark.parametrize(("word", "code"), OF_CODE.items())
def test_what_is_the_operators_affair_is_not_quoted(word: str, code: str) -> None:
    error = {"type": "invalid_request_error", "message": "secret matter", "details": {"error_code": word}}
    found = judged(400, json.dumps({"type": "error", "error": error}).encode())
    assert (found.code, found.failover) == (code, True)
    assert "secret" not in found.message


OF_A_BARE_STATUS = {
    300: "upstream_error",
    400: "invalid_parameters",
    401: "upstream_auth_failed",
    402: "upstream_auth_failed",
    403: "upstream_auth_failed",
    404: "upstream_error",
    408: "generation_timeout",
    409: "upstream_error",
    413: "media_too_large",
    422: "invalid_parameters",
    429: "upstream_rate_limited",
    500: "upstream_error",
    502: "upstream_error",
    503: "upstream_error",
    504: "generation_timeout",
    520: "upstream_error",
    529: "upstream_rate_limited",
}


@pytest.mark.parametrize(("status", "code"), OF_A_BARE_STATUS.items())
@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"<html></html>", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_bare_status_is_enough(status: int, code: str, body: bytes) -> None:
    assert judged(status, body).code == code


@pytest.mark.parametrize("status", [400, 401, 429, 500, 529])
def test_the_words_of_a_message_decide_nothing(status: int) -> None:
    words = "prompt is too long overloaded_error rate limit invalid x-api-key timeout"
    assert judged(status, json.dumps({"error": {"message": words}}).encode()).code == judged(status, b"").code


def test_the_tables_know_no_code_that_a_task_cannot_have() -> None:
    assert {*OF_TYPE.values(), *OF_CODE.values()} <= set(SAYS) <= set(TASK_ERROR_CODES)


@pytest.mark.parametrize("error", [{"message": "x"}, "overloaded", None, [], {}, {"type": 7}, {"details": []}, 7])
def test_an_error_of_no_type_that_came_with_status_200_is_the_providers(error: object) -> None:
    found = of_event(error)
    assert (found.code, found.failover) == ("upstream_error", True)


words = st.sampled_from([*OF_TYPE, *OF_CODE])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "details", "message", "error_code", "type"]), inner)
    ),
    max_leaves=8,
)


@given(st.integers(300, 599), values)
def test_any_json_is_some_error(status: int, value: object) -> None:
    assert judged(status, json.dumps(value).encode()).code in TASK_ERROR_CODES


@given(st.integers(300, 599), st.binary(max_size=60))
def test_any_bytes_are_some_error(status: int, body: bytes) -> None:
    assert judged(status, body).code in TASK_ERROR_CODES
