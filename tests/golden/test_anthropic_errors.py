"""What is made of Anthropic's errors."""

import json
from collections.abc import Iterator
from typing import Any, ClassVar, get_args

import pytest
from anthropic.types.shared import ErrorResponse
from anthropic.types.shared.error_type import ErrorType
from tests.dialects import DialectErrors

from reynard.core.errors import GenerationError
from reynard.providers.anthropic import AnthropicCodec
from reynard.providers.anthropic.errors import OF_CODE, OF_TYPE, of_event
from reynard.providers.failures import SAYS

CODEC = AnthropicCodec()
MEMORY = {"memory_precondition_failed_error", "memory_path_conflict_error"}  # of an API that is not used here


class TestAnthropicErrors(DialectErrors):
    dialect = "anthropic"
    codec = CODEC
    typed = OF_TYPE
    bare: ClassVar = {529: "upstream_rate_limited"}
    keys = frozenset({"error", "details", "message", "error_code", "type", *OF_CODE})

    def bodies(self, word: str) -> Iterator[Any]:
        yield {"error": {"message": "x", "type": word}}

    def of_event(self, error: Any) -> GenerationError:
        return of_event(error)


def test_every_type_of_the_sdk_is_known() -> None:
    assert set(get_args(ErrorType)) - MEMORY | {"request_too_large"} == set(OF_TYPE)
    for word in set(get_args(ErrorType)) - MEMORY - {"conflict_error"}:
        ErrorResponse.model_validate({"type": "error", "error": {"type": word, "message": "m"}})


@pytest.mark.parametrize(("word", "code"), OF_CODE.items())
def test_what_is_the_operators_affair_is_not_quoted(word: str, code: str) -> None:
    assert code in SAYS
    error = {"type": "invalid_request_error", "message": "secret matter", "details": {"error_code": word}}
    found = CODEC.decode_error(400, json.dumps({"type": "error", "error": error}).encode())
    assert (found.code, found.failover) == (code, True)
    assert "secret" not in found.message
