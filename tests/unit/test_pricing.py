"""Tokens of a request and of an answer, and what they cost."""

import json
from base64 import b64encode
from fractions import Fraction
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reynard import config
from reynard.core.catalogue import Model, Price, TokenRule
from reynard.core.chat import Answer, CalledFunction, Choice, Completion, ToolCall, Usage
from reynard.core.generation import Generation
from reynard.core.ledger import MICRO
from reynard.core.media_tokens import MediaTokens, Timed
from reynard.core.pricing import MOST_TOKENS, Estimate, cost, counted, estimate, reservation
from reynard.core.tokens import FRAME, of_answer, of_prompt, of_texts

MODELS: Final = {model.id: model for model in config.load(None, {}).models}
RULES: Final = MediaTokens()
FREE: Final = Model(id="m")

CREDITS = st.floats(0, 1_000_000)
PRICES = st.builds(Price, input=CREDITS, output=CREDITS, cached_input=st.none() | CREDITS)
NUMBERS = st.integers(0, 2 * MOST_TOKENS)
ANYTHING = (
    st.integers() | st.floats() | st.text(max_size=3) | st.none() | st.booleans() | st.lists(st.integers(), max_size=2)
)


def asked(*content: Any, **fields: Any) -> Generation:
    body = {"model": "m", "messages": [{"role": "user", "content": list(content) or "abc"}], **fields}
    return msgspec.convert(body, Generation)


def used(prompt: int, completion: int, cached: Any = None) -> Usage:
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=0,
        prompt_tokens_details=None if cached is None else {"cached_tokens": cached},
    )


def answered(*answers: Answer) -> Completion:
    choices = [Choice(index=index, message=answer, finish_reason="stop") for index, answer in enumerate(answers)]
    return Completion(id="c", created=0, model="m", choices=choices)


class TestTokens:
    @pytest.mark.parametrize(
        ("text", "tokens"),
        [("", 0), ("a", 1), ("abc", 1), ("abcd", 2), ("漢字", 2), ("привет", 4), ("🦊", 2), ("\ud800", 1)],
    )
    def test_of_a_text(self, text: str, tokens: int) -> None:
        assert of_texts([text]) == tokens

    @given(st.lists(st.text()))
    def test_no_text_is_forgotten(self, texts: list[str]) -> None:
        assert of_texts(texts) == -(-len("".join(texts).encode("utf-8", "surrogatepass")) // 3)

    @pytest.mark.parametrize(
        ("fields", "size"),
        [
            (
                {"messages": [{"role": "system", "content": "s" * 30}, {"role": "user", "content": "u" * 30}]},
                FRAME + 20,
            ),
            ({"messages": [{"role": "user", "content": "u" * 27, "name": "abc"}]}, 10),
            (
                {"messages": [{"role": "tool", "content": [{"type": "text", "text": "t" * 30}], "tool_call_id": "c"}]},
                10,
            ),
            ({"messages": [{"role": "assistant", "content": [{"type": "refusal", "refusal": "r" * 30}]}]}, 10),
            ({"messages": [{"role": "assistant", "refusal": "r" * 30}]}, 10),
            ({"messages": [{"role": "assistant", "reasoning_content": "r" * 30, "reasoning_details": [{}] * 99}]}, 10),
            ({"messages": [{"role": "assistant", "reasoning_details": [{"a": "b" * 20}]}]}, 10),
            ({"messages": [{"role": "assistant", "function_call": {"name": "n" * 10, "arguments": "a" * 20}}]}, 10),
            ({"messages": [{"role": "function", "content": None, "name": "n" * 30}]}, 10),
            ({"tools": [{"type": "custom", "custom": {"name": "n" * 19}}]}, FRAME + 1 + 10),
            ({"functions": [{"name": "n" * 17}]}, FRAME + 1 + 10),
            ({"prediction": {"content": "c" * 16}}, 1 + 10),
            ({"response_format": {"type": "json_schema", "json_schema": {"name": "n" * 15}}}, 1 + 21),
        ],
    )
    def test_all_that_is_said_counts(self, fields: dict[str, Any], size: int) -> None:
        assert of_prompt(asked(**fields), RULES) == FRAME + size

    def test_calls_of_an_earlier_turn(self) -> None:
        calls = [
            {"type": "function", "id": "i" * 99, "function": {"name": "n" * 10, "arguments": "a" * 5}},
            {"type": "custom", "id": "i" * 99, "custom": {"name": "n" * 10, "input": "a" * 5}},
        ]
        assert of_prompt(asked(messages=[{"role": "assistant", "tool_calls": calls}]), RULES) == FRAME + 10

    @pytest.mark.parametrize("size", [1, 300, 10_000_000])
    def test_media_never_count_as_text(self, size: int) -> None:
        body = "A" * (size * 4)
        uri = f"data:image/png;base64,{body}"
        parts: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": uri}},
            {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{body}"}},
            {"type": "audio_url", "audio_url": {"url": f"data:audio/wav;base64,{body}"}},
            {"type": "input_audio", "input_audio": {"data": body, "format": "wav"}},
        ]
        silent = Timed(per_second=0, bytes_per_second=1)
        rules = MediaTokens(audio=silent, video=silent)
        assert of_prompt(asked(*parts), rules) == FRAME + 1_600
        pdf = b64encode(b"%PDF-1").decode() + body
        files = [
            {"type": "file", "file": {"file_data": pdf}},
            {"type": "file_url", "file_url": {"url": f"data:application/pdf;base64,{pdf}"}},
        ]
        pages = max(1, min(1_000, -(-(size * 3 + 6) // 50_000)))
        assert of_prompt(asked(*files), rules) == FRAME + 2 * 3_000 * pages

    def test_media_count_by_what_they_tell(self) -> None:
        sound = b64encode(b"fLaC\0\0\0\x22" + bytes(10) + (44_100 << 44 | 88_200).to_bytes(8, "big")).decode()
        for part in (
            {"type": "input_audio", "input_audio": {"data": sound, "format": "flac"}},
            {"type": "audio_url", "audio_url": {"url": f"data:audio/flac;base64,{sound}"}},
        ):
            assert of_prompt(asked(part), RULES) == FRAME + 2 * 32

    def test_all_that_an_answer_says_counts(self) -> None:
        call = ToolCall(id="i" * 99, function=CalledFunction(name="n" * 10, arguments="a" * 20))
        said = [
            Answer(content="c" * 30),
            Answer(content=None, reasoning_content="r" * 30, reasoning_details=[{"data": "d" * 999}]),
            Answer(content=None, reasoning_details=[{"d": "d" * 20}]),
            Answer(content="c" * 10, refusal="r" * 20),
            Answer(content=None, tool_calls=[call]),
            Answer(content=None, tool_calls=[ToolCall(id="i", type="custom", custom={"a": "b" * 22})]),
            Answer(content=None, function_call=CalledFunction(name="n" * 10, arguments="a" * 20)),
            Answer(content=None, audio={"data": "A" * 4, "transcript": "t" * 27}),
        ]
        assert [of_answer(answered(answer), RULES) for answer in said] == [10] * len(said)
        assert of_answer(answered(*said), RULES) == 10 * len(said)
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4_000}}
        assert of_answer(answered(Answer(content=None, images=[image, {"image_url": 1}, {}])), RULES) == 1_600
        assert of_answer(answered(Answer(content=None, audio={"data": 1, "transcript": 2})), RULES) == 0
        assert of_answer(answered(), RULES) == 0


class TestEstimate:
    @pytest.mark.parametrize(
        ("rule", "fields", "output"),
        [
            ({}, {}, 4_096),
            ({"expected": 100}, {}, 100),
            ({"expected": 100, "default": 50}, {}, 50),
            ({"default": 50}, {"max_tokens": 7}, 7),
            ({}, {"max_tokens": 7, "max_completion_tokens": 8}, 8),
            ({}, {"max_tokens": 7, "n": 3}, 21),
            ({"expected": 100}, {"n": 2}, 200),
            ({}, {"max_tokens": 10**30}, MOST_TOKENS),
            ({}, {"max_tokens": 1_000, "reasoning_budget": 1_024}, 2_024),
            ({}, {"max_tokens": 2_000, "reasoning_budget": 1_024}, 2_000),
            ({"thoughts": 500}, {"max_tokens": 100, "reasoning": True}, 600),
            ({"thoughts": 500}, {"max_tokens": 100, "reasoning_effort": "low"}, 600),
            ({"thoughts": 500}, {"max_tokens": 500, "reasoning": True}, 1_000),
            ({"thoughts": 500}, {"max_tokens": 501, "reasoning": True}, 501),
            ({"thoughts": 500}, {"max_tokens": 100, "reasoning": False}, 100),
            ({"thoughts": 500}, {"max_tokens": 100, "reasoning_effort": "none"}, 100),
            ({"thoughts": 500}, {"max_tokens": 100}, 100),
        ],
    )
    def test_output(self, rule: dict[str, Any], fields: dict[str, Any], output: int) -> None:
        told = estimate(asked(**fields), Model(id="m", max_tokens=TokenRule(**rule)))
        assert told == Estimate(FRAME + 1, output)
        assert told.tokens == FRAME + 1 + output

    def test_a_prompt_is_bounded(self) -> None:
        pages = asked(*[{"type": "file_url", "file_url": {"url": "https://example.org/a.pdf"}}] * 60)
        dear = msgspec.convert({"id": "m", "media_tokens": {"file": {"per_page": 2_000_000}}}, Model)
        assert estimate(pages, dear).input_tokens == MOST_TOKENS
        assert counted(pages, dear, answered()).prompt_tokens == MOST_TOKENS

    def test_an_image_is_counted_as_the_model_counts(self) -> None:
        image = asked({"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}})
        assert estimate(image, MODELS["gpt-5.4"]).input_tokens == FRAME + -(-16 * 9 * 12 // 10)
        assert estimate(image, MODELS["claude-opus-4-7"]).input_tokens == FRAME + 2_691

    @given(st.recursive(st.text(max_size=9) | st.none() | st.integers(), lambda inner: st.lists(inner, max_size=3)))
    def test_whatever_is_asked(self, body: Any) -> None:
        blocks = [{"type": "image_url", "image_url": {"url": json.dumps(body)}}]
        assert estimate(asked(*blocks, functions=[{"a": body}]), FREE).tokens > 0


class TestCost:
    PRICE: Final = Price(input=5.0, output=25.0, cached_input=0.5)

    def test_of_the_catalogue(self) -> None:
        assert cost(used(1_000, 200), MODELS["claude-opus-4-7"].price) == 10_000
        assert cost(used(1_000, 200, 400), MODELS["claude-opus-4-7"].price) == 8_200
        assert cost(used(10**6, 10**6), MODELS["gpt-5.5"].price) == 35 * MICRO
        assert cost(used(10**6, 10**6), MODELS["smollm2-135m"].price) == 0
        assert all(model.price.input > 0 < model.price.output for model in MODELS.values() if model.id[:3] != "smo")

    def test_parts_of_a_micro_credit_are_rounded_up_once(self) -> None:
        price = Price(input=0.1, output=0.1)
        assert [cost(used(prompt, 1), price) for prompt in (0, 1, 9, 10)] == [1, 1, 1, 2]
        assert cost(used(1, 0), Price(input=0.0000004)) == 0, "less than a micro-credit for a million is nothing"

    @pytest.mark.parametrize("cached", [None, -1, True, "7", 1.5, float("nan"), [], {}])
    def test_what_is_no_count_of_cached_tokens(self, cached: Any) -> None:
        assert cost(used(1_000, 0, cached), self.PRICE) == 5_000

    def test_counts_that_cannot_be_ones(self) -> None:
        assert cost(used(-5, -(10**30)), self.PRICE) == 0
        assert cost(used(10**30, 10**30), self.PRICE) == MOST_TOKENS * 30
        assert cost(used(10, 0, 10**30), self.PRICE) == 5
        assert cost(used(10, 0, 10), Price(input=5.0)) == 50

    @given(NUMBERS, NUMBERS, ANYTHING, PRICES)
    def test_it_is_exact(self, prompt: int, completion: int, cached: Any, price: Price) -> None:
        charged = cost(used(prompt, completion, cached), price)
        prompt, completion = min(prompt, MOST_TOKENS), min(completion, MOST_TOKENS)
        hit = max(0, min(cached, prompt)) if type(cached) is int else 0
        each = [Fraction(round(p * MICRO), MICRO) for p in (price.input, price.output, price.cached_input or 0.0)]
        each[2] = each[0] if price.cached_input is None else each[2]
        exact = (prompt - hit) * each[0] + hit * each[2] + completion * each[1]
        assert 0 <= charged - exact < 1
        assert charged < 2**63, "a store keeps it"

    @given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, PRICES)
    def test_more_is_not_cheaper(
        self, prompt: int, more: int, completion: int, hit: int, on: int, price: Price
    ) -> None:
        hit = min(hit, prompt)
        assert 0 <= cost(used(prompt, completion, hit), price) <= cost(used(prompt + more, completion + on, hit), price)

    @given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, ANYTHING, PRICES)
    def test_a_reservation_holds_for_what_is_within_its_estimate(
        self, prompt: int, completion: int, less: int, fewer: int, cached: Any, price: Price
    ) -> None:
        told = Estimate(min(prompt, MOST_TOKENS), min(completion, MOST_TOKENS))
        within = used(max(0, told.input_tokens - less), max(0, told.output_tokens - fewer), cached)
        assert reservation(told, price) >= cost(within, price) >= 0

    def test_a_reservation_takes_nothing_for_cached(self) -> None:
        assert reservation(Estimate(1_000, 200), self.PRICE) == 10_000
        assert reservation(Estimate(1_000, 0), Price(input=1.0, cached_input=2.0)) == 2_000
        assert reservation(Estimate(0, 0), self.PRICE) == 0


def test_a_provider_that_counts_nothing_is_counted_for() -> None:
    usage = counted(asked(), FREE, answered(Answer(content="c" * 30)))
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (FRAME + 1, 10, FRAME + 11)
    assert usage.estimated
    assert usage.prompt_tokens_details is None


@pytest.mark.parametrize(
    "wrong", [{"input": -1}, {"output": 1_000_001}, {"input": float("inf")}, {"cached_input": "1"}]
)
def test_a_wrong_price_is_refused(wrong: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Price)
