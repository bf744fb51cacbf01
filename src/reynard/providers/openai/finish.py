"""Why an answer ended, in OpenAI's five words.

Sources: OpenAI's API reference, https://api-docs.deepseek.com/api/create-chat-completion,
https://docs.mistral.ai/api, https://openrouter.ai/docs/api-reference/overview, vLLM's `FinishReason`.
"""

from typing import Final

from reynard.core.errors import GenerationError
from reynard.providers.failures import failure

REASONS: Final = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "function_call",
    "eos": "stop",  # Together
    "eos_token": "stop",  # Hugging Face
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_length": "length",  # Mistral: the end of the context
    "tool_use": "tool_calls",
    "sensitive": "content_filter",  # Zhipu
}
FAILED: Final = frozenset(
    {
        "insufficient_system_resource",  # DeepSeek
        "error",  # Mistral, OpenRouter, vLLM
        "abort",  # vLLM, SGLang
        "network_error",  # Zhipu
    }
)
"""The answer did not end: its server gave up."""


def reason(said: str | None) -> str | None:
    """OpenAI's own word for `said`; an empty one is none. Raises `GenerationError` for an answer that was given up.

    A word that nobody knows becomes `length`, the word for an answer that may not be whole: `stop` would promise that
    it is, and the word itself is none that a client of OpenAI's can read.
    """
    if not said:
        return None
    known = REASONS.get(said) or REASONS.get(said.lower())
    if known is not None:
        return known
    if said.lower() in FAILED:
        raise given_up()
    return "length"


def given_up() -> GenerationError:
    """The server ended the answer by its own failure."""
    return failure("upstream_error")
