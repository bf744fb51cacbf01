"""Golden exchanges of the openai dialect.

Sources: OpenAI's API reference for chat (its own SDK's types judge every request and answer here), and what Moonshot,
vLLM, OpenRouter, Mistral, Ollama and llama.cpp are known to send in its place.
"""

from typing import Any, get_type_hints

from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat import completion_create_params as params
from pydantic import TypeAdapter
from tests.dialects import DialectExchanges, golden

from reynard.providers.openai import OpenAICodec

ASKING: tuple[Any, Any] = (params.CompletionCreateParamsNonStreaming, params.CompletionCreateParamsStreaming)
JUDGES = [TypeAdapter(kind) for kind in ASKING]


class TestOpenAI(DialectExchanges):
    dialect = "openai"
    codec = OpenAICodec()
    path = "/chat/completions"
    mark = b'"finish_reason":"'
    foreign = frozenset(
        {
            *{"after_done_is_nothing", "content_in_parts", "empty_finish_reasons", "tool_call_as_object"},
            *{"content in parts", "null usage, empty lists", "usage with nulls and floats", "usage without a total"},
            *{
                "two choices with logprobs",
                "choices without an index",
                "a call whose id is null",
                "half a surrogate pair",
            },
            *{f"ended by {reason}" for reason in ("model_length", "tired", "STOP", "eos_token", "tool_use")},
            *{"calls_with_null_index", "calls_without_index", "calls_without_index_or_id", "choice_index_null"},
            *{"done_with_blanks", "finish_in_capitals", "finish_model_length", "finish_unknown"},
        }
    )
    told_elsewhere = frozenset(golden("parameters.json"))
    openings = (b'{"choices":', b'{"choices":[{"message":{"tool_calls":[{"function":{"arguments":', b'{"x":')

    def judge_request(self, sent: dict[str, Any]) -> None:
        streams = bool(sent.get("stream"))
        assert set(sent) <= set(get_type_hints(ASKING[streams]))
        judged = JUDGES[streams].validate_python(sent)
        assert len(list(judged["messages"])) == len(sent["messages"])
        assert len(list(judged.get("tools", ()))) == len(sent.get("tools", ()))

    def judge_answer(self, body: dict[str, Any]) -> None:
        """The cases leave out what every answer has."""
        ChatCompletion.model_validate({"id": "x", "object": "chat.completion", "created": 1, "model": "m", **body})

    def judge_event(self, data: dict[str, Any]) -> None:
        ChatCompletionChunk.model_validate(data)
