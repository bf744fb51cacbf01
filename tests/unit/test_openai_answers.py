"""What the openai dialect makes of answers that are none, or not quite."""

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reynard.core.assembly import Assembly
from reynard.core.errors import GenerationError
from reynard.providers.bodies import decoded
from reynard.providers.openai import OpenAICodec
from reynard.providers.openai.finish import FAILED, REASONS, reason

ANYTHING = msgspec.json.Decoder()
FIVE = {"stop", "length", "tool_calls", "content_filter", "function_call"}


@pytest.mark.parametrize("body", [b"{}", b'{"detail": "x"}', b'{"choices": []}', b'{"choices": null}', b'{"id": "c"}'])
def test_json_that_is_no_answer_may_be_had_elsewhere(body: bytes) -> None:
    with pytest.raises(GenerationError) as caught:
        OpenAICodec().decode(body)
    assert (caught.value.code, caught.value.failover) == ("upstream_error", True)


@pytest.mark.parametrize("word", sorted(FAILED))
def test_an_answer_that_was_given_up_may_be_had_elsewhere(word: str) -> None:
    with pytest.raises(GenerationError) as caught:
        reason(word)
    assert (caught.value.code, caught.value.failover) == ("upstream_error", True)


def test_every_finish_reason_is_one_of_openais_five_words() -> None:
    assert set(REASONS.values()) == FIVE
    assert {word: reason(word) for word in FIVE} == {word: word for word in FIVE}
    assert (reason(None), reason("")) == (None, None)


@given(st.text(min_size=1).filter(lambda word: word.lower() not in FAILED))
def test_no_word_is_handed_on_that_no_client_knows(word: str) -> None:
    assert reason(word) in FIVE


def assembled(*pieces: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The calls that a stream of these pieces amounts to."""
    decoder, assembly = OpenAICodec().stream_decoder(), Assembly()
    for piece in pieces:
        body = msgspec.json.encode({"choices": [{"delta": {"tool_calls": [piece]}}]})
        for chunk in decoder.feed(b"data: " + body + b"\n\n"):
            assembly.add(chunk)
    calls = assembly.completion(id="", created=0, model="").choices[0].message.tool_calls or []
    return [(call.id, call.function.name, call.function.arguments) for call in calls if call.function is not None]


def piece(id: str | None, name: str | None, arguments: str, **more: Any) -> dict[str, Any]:  # noqa: A002
    return {"id": id, "function": {"name": name, "arguments": arguments}, **more}


@pytest.mark.parametrize("more", [{"index": 0}, {"index": None}, {}, {"index": -7}])
@pytest.mark.parametrize("again", [True, False])
def test_calls_that_share_an_index_or_have_none_stay_apart(more: dict[str, Any], again: bool) -> None:
    pieces = []
    for number in range(3):
        name = f"call_{number}"
        pieces.append(piece(name, "f", '{"n":', **more))
        pieces.append(piece(name if again else None, None, f"{number}}}", **more))
    assert assembled(*pieces) == [(f"call_{n}", "f", f'{{"n":{n}}}') for n in range(3)]


@given(st.permutations([(call, part) for call in range(3) for part in range(3)]))
def test_interleaved_calls_with_sound_indices_are_put_together_as_they_were(order: list[tuple[int, int]]) -> None:
    heads: set[int] = set()
    pieces = []
    expected: dict[int, str] = {}
    for call, part in order:
        head = call not in heads
        heads.add(call)
        pieces.append(piece(f"call_{call}" if head else None, "f" if head else None, str(part), index=call))
        expected[call] = expected.get(call, "") + str(part)
    assert assembled(*pieces) == [(f"call_{call}", "f", text) for call, text in expected.items()]


LONE = [
    (rb'"\ud83d"', "\ufffd"),
    (rb'"\uDE00 x"', "\ufffd x"),
    (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
    (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
    (rb'"\\ud83d \ud83d"', "\\ud83d \ufffd"),
    (rb'"\\\ud83d\n"', "\\\ufffd\n"),
    (rb'"\ud83d\u0041"', "\ufffdA"),
    (rb'{"\ud83d": "\u00e9"}', {"\ufffd": "é"}),
]


@pytest.mark.parametrize(("body", "value"), LONE)
def test_half_a_surrogate_pair_costs_one_character(body: bytes, value: object) -> None:
    assert decoded(ANYTHING, body) == value


@given(st.text(st.characters(exclude_categories=()) | st.sampled_from("\ud83d\ude00\\u")))
def test_any_text_of_json_can_be_read(text: str) -> None:
    mended = json.loads(json.dumps(text)).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert decoded(ANYTHING, json.dumps(text).encode()) == mended


@pytest.mark.parametrize(
    "body", [rb'"\ud83', rb'"\ud83d', b'"\\ud83d\xff"', rb'{"a":"\ud83d",}', b"\\ud", b"[" * 10**6]
)
def test_what_is_broken_otherwise_is_no_answer(body: bytes) -> None:
    with pytest.raises(GenerationError) as caught:
        decoded(ANYTHING, body)
    assert caught.value.failover


def test_mending_takes_time_in_proportion() -> None:
    body = b'"' + rb"\ud83d\\" * 1_000_000 + b'"'
    begun = time.process_time()
    assert len(decoded(ANYTHING, body)) == 2_000_000
    assert time.process_time() - begun < 5
