"""What a provider did not count, or counted wrongly, is counted here: nothing is free for it, and no answer is lost."""

import json
from typing import Any, Final

import msgspec
import pytest

from reynard.core.assembly import Assembly
from reynard.core.catalogue import Model
from reynard.core.chat import Answer, Choice, Completion, Usage
from reynard.core.generation import Generation
from reynard.core.pricing import MOST_TOKENS, counted, used, used_so_far
from reynard.providers.anthropic import AnthropicCodec
from reynard.providers.gemini import GeminiCodec
from reynard.providers.openai import OpenAICodec

MODEL: Final = Model(id="m")
ASKED: Final = msgspec.convert({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}, Generation)
SAID: Final = Completion(
    id="c",
    created=0,
    model="m",
    choices=[Choice(index=0, message=Answer(content="hello " * 20), finish_reason="stop")],
)
OWN: Final = counted(ASKED, MODEL, SAID)

NONE: Final[list[Any]] = [
    *[None, {}, [], "none", 7, {"prompt": None, "answer": None}, {"prompt": 0, "answer": 0}],
    *[{"prompt": -5, "answer": -7}, {"prompt": "10", "answer": "20"}, {"prompt": True, "answer": [1]}, {"all": 500}],
]
"""Usages that tell nothing; `prompt`, `answer` and `all` are the dialect's own names."""

NAMES: Final = {
    "openai": {"prompt": "prompt_tokens", "answer": "completion_tokens", "all": "total_tokens"},
    "anthropic": {"prompt": "input_tokens", "answer": "output_tokens", "all": "total"},
    "gemini": {"prompt": "promptTokenCount", "answer": "candidatesTokenCount", "all": "totalTokenCount"},
}


def renamed(dialect: str, usage: Any) -> Any:
    return {NAMES[dialect][name]: told for name, told in usage.items()} if isinstance(usage, dict) else usage


def answered(dialect: str, usage: Any) -> Completion:
    """A whole answer of the dialect's, with that usage."""
    usage = renamed(dialect, usage)
    body: dict[str, Any]
    match dialect:
        case "openai":
            message = {"role": "assistant", "content": "Hi"}
            body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
            return OpenAICodec().decode(json.dumps(body).encode())
        case "anthropic":
            body = {"content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "usage": usage}
            return AnthropicCodec().decode(json.dumps(body).encode())
        case _:
            part = {"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}
            body = {"candidates": [part], "usageMetadata": usage}
            return GeminiCodec().decode(json.dumps(body).encode())


@pytest.mark.parametrize("usage", NONE, ids=json.dumps)
@pytest.mark.parametrize("dialect", NAMES)
def test_a_usage_that_tells_nothing_is_none(dialect: str, usage: Any) -> None:
    completion = answered(dialect, usage)
    assert completion.choices[0].message.content == "Hi", "the answer was paid for"
    assert completion.usage is None


@pytest.mark.parametrize("dialect", NAMES)
def test_what_is_a_number_beside_what_is_none_is_told(dialect: str) -> None:
    usage = answered(dialect, {"prompt": "10", "answer": 20.0}).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (0, 20, 20)


@pytest.mark.parametrize("dialect", NAMES)
def test_a_number_that_cannot_be_one_is_as_not_told(dialect: str) -> None:
    assert answered(dialect, {"prompt": 10**13, "answer": 10**30}).usage is None
    usage = answered(dialect, {"prompt": 10, "answer": MOST_TOKENS + 1}).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (10, 0)


def told(prompt: int, answer: int) -> Usage:
    return Usage(prompt_tokens=prompt, completion_tokens=answer, total_tokens=prompt + answer)


def test_what_was_told_is_charged() -> None:
    assert used(told(3, 5), ASKED, MODEL, SAID) == told(3, 5)
    beyond = used(told(10**13, 5), ASKED, MODEL, SAID)
    assert (beyond.prompt_tokens, beyond.completion_tokens, beyond.estimated) == (MOST_TOKENS, 5, False)


def test_the_side_that_was_not_told_is_counted_here() -> None:
    assert used(None, ASKED, MODEL, SAID) == OWN
    assert used(told(0, 0), ASKED, MODEL, SAID) == OWN
    no_answer, no_prompt = used(told(7, 0), ASKED, MODEL, SAID), used(told(0, 7), ASKED, MODEL, SAID)
    assert (no_answer.prompt_tokens, no_answer.completion_tokens) == (7, OWN.completion_tokens)
    assert (no_prompt.prompt_tokens, no_prompt.completion_tokens) == (OWN.prompt_tokens, 7)
    assert no_answer.estimated
    assert no_prompt.estimated
    assert no_answer.total_tokens == 7 + OWN.completion_tokens


def test_an_empty_answer_may_have_no_tokens() -> None:
    empty = Completion(
        id="c", created=0, model="m", choices=[Choice(index=0, message=Answer(content=""), finish_reason="length")]
    )
    assert used(told(7, 0), ASKED, MODEL, empty) == told(7, 0)


def test_of_an_answer_that_broke_off_the_greater_count_is_charged() -> None:
    assert used_so_far(None, ASKED, MODEL, SAID) == OWN
    early, late = used_so_far(told(3, 1), ASKED, MODEL, SAID), used_so_far(told(3, 1_000), ASKED, MODEL, SAID)
    assert (early.prompt_tokens, early.completion_tokens, early.estimated) == (3, OWN.completion_tokens, True)
    assert late == told(3, 1_000)


@pytest.mark.parametrize("usage", [{"prompt": 0, "answer": 0, "all": 0}, {"prompt": 9, "answer": 1}, {}])
def test_a_stream_that_was_cut_is_charged_for_what_came(usage: dict[str, int]) -> None:
    """Some servers say a usage in every chunk, and the whole one in the last."""
    decoder, assembly = OpenAICodec().stream_decoder(), Assembly()
    piece = {"choices": [{"index": 0, "delta": {"content": "hello world "}}], "usage": renamed("openai", usage)}
    for _ in range(31):
        for chunk in decoder.feed(b"data: " + json.dumps(piece).encode() + b"\n\n"):
            assembly.add(chunk)
    produced = assembly.completion(id="c", created=0, model="m", unfinished="error")
    charged = used_so_far(produced.usage, ASKED, MODEL, produced)
    assert charged.completion_tokens == counted(ASKED, MODEL, produced).completion_tokens == 31 * 4
    assert charged.estimated


def test_what_anthropic_counts_before_an_answer_is_not_the_answers() -> None:
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hi"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ]
    decoder = AnthropicCodec().stream_decoder()
    chunks = [chunk for event in events for chunk in decoder.feed(b"data: " + json.dumps(event).encode() + b"\n\n")]
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (9, 0)
