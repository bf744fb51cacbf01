"""What is made of the error bodies of the gemini dialect."""

import json
from collections.abc import Iterator
from typing import Any, ClassVar

from tests.dialects import DialectErrors

from reynard.core.errors import GenerationError
from reynard.providers.gemini import GeminiCodec
from reynard.providers.google_errors import OF_REASON, OF_WORD, of_event


class TestGeminiErrors(DialectErrors):
    dialect = "gemini"
    codec = GeminiCodec()
    typed: ClassVar = {**OF_WORD, **OF_REASON}
    keys = frozenset({"error", "details", "message", "code", "status", "@type", "reason", "retryDelay"})
    events = (
        ({"code": 429}, "upstream_rate_limited"),
        ({"code": 503, "status": "UNAVAILABLE"}, "upstream_error"),
        ({"status": "RESOURCE_EXHAUSTED"}, "upstream_rate_limited"),
        ({"code": "x"}, "upstream_error"),
        ({"code": True}, "upstream_error"),
        ({"code": 10**30}, "upstream_error"),
    )

    def bodies(self, word: str) -> Iterator[Any]:
        """A reason outweighs the word for the status, as that outweighs the status."""
        if word in OF_WORD:
            for status in (400, 429, 500):
                yield {"error": {"code": status, "status": word}}
            return
        details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": word}]
        for other in ("INVALID_ARGUMENT", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED"):
            yield {"error": {"status": other, "details": details}}

    def of_event(self, error: Any) -> GenerationError:
        return of_event(error)

    def test_the_two_tables_share_no_word(self) -> None:
        assert not set(OF_WORD) & set(OF_REASON)

    def test_a_reason_counts_in_an_error_info_alone(self) -> None:
        details = [{"@type": "type.googleapis.com/google.rpc.Help", "reason": "API_KEY_INVALID"}]
        body = json.dumps({"error": {"details": details}}).encode()
        assert self.codec.decode_error(400, body).code == "invalid_parameters"
