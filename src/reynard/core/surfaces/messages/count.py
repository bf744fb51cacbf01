"""The answer of `POST /v1/messages/count_tokens`; `core.tokens` has the rule."""

from msgspec import Struct


class TokenCount(Struct):
    """The answer of `POST /v1/messages/count_tokens`."""

    input_tokens: int
