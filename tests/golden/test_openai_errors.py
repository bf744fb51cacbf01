"""What is made of the error bodies of the openai dialect's servers, and what may be quoted of any."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.dialects import DialectErrors

from reynard.core.errors import GenerationError
from reynard.providers.failures import FAILOVER, OF_STATUS, QUOTED, SAYS
from reynard.providers.openai import OpenAICodec
from reynard.providers.openai.errors import OF_CODE, of_event
from reynard.providers.quotes import quoted

CODEC = OpenAICodec()


class TestOpenAIErrors(DialectErrors):
    dialect = "openai"
    codec = CODEC
    typed = OF_CODE
    keys = frozenset({"error", "detail", "message", "code", "type", "loc", "msg"})
    events = (
        ({"message": "x", "code": 429}, "upstream_rate_limited"),
        ({"message": "x", "code": 502}, "upstream_error"),
        ({"message": "x", "code": "rate_limit_exceeded"}, "upstream_rate_limited"),
        ({"message": "x", "code": None}, "upstream_error"),
        ({"message": "x", "code": 0}, "upstream_error"),
        ({"message": "x", "code": True}, "upstream_error"),
    )

    def bodies(self, word: str) -> Iterator[Any]:
        for place in ("code", "type"):
            yield {"error": {"message": "x", place: word}}
            yield {"message": "x", place: word}

    def of_event(self, error: Any) -> GenerationError:
        return of_event(error)


def test_a_status_has_a_code_that_can_be_said() -> None:
    assert set(OF_STATUS.values()) <= set(SAYS)
    assert not FAILOVER & QUOTED


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
    said = CODEC.decode_error(400, json.dumps({"error": {"message": message}}).encode()).message
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
