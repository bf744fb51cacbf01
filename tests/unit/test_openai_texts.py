"""Chunks of text take a short way through the decoder: what they come to is what the long way makes of them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reynard.core.assembly import Assembly
from reynard.core.chat import TextDelta, encode
from reynard.core.errors import GenerationError
from reynard.providers.openai import codec
from reynard.providers.openai.codec import OpenAIStreamDecoder

NOTHING = st.none() | st.just(...)
"""Null, or not there at all."""


def some(*values: Any) -> st.SearchStrategy[Any]:
    return NOTHING | st.sampled_from(values)


def said(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(fields).map(
        lambda found: {name: value for name, value in found.items() if value is not ...}
    )


LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
CALL = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2}
ODD: list[tuple[str, str, Any]] = [
    ("event", "", ...),
    ("event", "id", 7),
    ("event", "object", ""),
    ("event", "object", None),
    ("event", "created", 1.5),
    ("event", "choices", None),
    ("event", "choices", []),
    ("event", "usage", USAGE),
    ("event", "system_fingerprint", 1),
    ("event", "error", {"message": "e"}),
    ("event", "obfuscation", "abc"),
    ("choice", "index", -1),
    ("choice", "index", "x"),
    ("choice", "index", 1.0),
    ("choice", "index", None),
    ("choice", "delta", None),
    ("choice", "delta", ...),
    ("choice", "logprobs", {"content": []}),
    ("choice", "finish_reason", "stop"),
    ("choice", "usage", USAGE),
    ("choice", "error", "e"),
    ("delta", "role", 7),
    ("delta", "content", ["x"]),
    ("delta", "content", [{"type": "text", "text": "x"}]),
    ("delta", "reasoning", "so"),
    ("delta", "refusal", "no"),
    ("delta", "tool_calls", []),
    ("delta", "tool_calls", [CALL]),
    ("delta", "function_call", {"name": "f"}),
    ("delta", "annotations", [{}]),
    ("delta", "images", [{}]),
    ("delta", "reasoning_details", [{}]),
    ("delta", "audio", {}),
    ("delta", "unheard_of", 1),
]
"""What chunks of text do not have, or need not: where, its name, its value; `...` for what is left out."""

text = NOTHING | st.text(max_size=4) | st.sampled_from(["\ud83d", "\x00", "\u2028", '"', "🦊"])
deltas = said(role=some("assistant", "critic"), content=text, reasoning_content=text)
choices = said(index=st.sampled_from([..., 0, 1]), delta=deltas, finish_reason=NOTHING)
texts = said(
    choices=st.lists(choices, min_size=1, max_size=2),
    usage=NOTHING,
    system_fingerprint=some("f"),
    service_tier=some("t"),
)


def made_of(event: Any, name: bytes, escaped: bool, misses: int) -> tuple[Any, ...]:
    """The chunks, the answer and the failure."""
    decoder, assembly, chunks, failure = OpenAIStreamDecoder(), Assembly(), [], None
    decoder._misses = misses
    body = name + b"data: " + json.dumps(event, ensure_ascii=escaped).encode("utf-8", "replace") + b"\n\n"
    try:
        for chunk in (*decoder.feed(b"data: {}\n\n"), *decoder.feed(body), *decoder.feed(LAST), *decoder.close()):
            chunk.id, chunk.created, chunk.model = "i", 1, "m"
            assembly.add(chunk)
            chunks.append(encode(chunk))
    except GenerationError as error:
        failure = (error.code, error.message, error.failover)
    return chunks, encode(assembly.completion(id="i", created=1, model="m")), failure


@pytest.mark.parametrize(("place", "name", "value"), ODD)
@settings(max_examples=30)
@given(texts, st.sampled_from([b"", b"", b"event: error\n", b"event: x\n"]), st.booleans())
def test_the_short_way_ends_where_the_long_one_does(
    place: str, name: str, value: Any, event: Any, kind: bytes, escaped: bool
) -> None:
    choice = event["choices"][0]
    at = {"event": event, "choice": choice, "delta": choice["delta"]}[place]
    if value is ...:
        at.pop(name, None)
    else:
        at[name] = value
    assert made_of(event, kind, escaped, 0) == made_of(event, kind, escaped, codec.MOST_MISSES)


def test_text_takes_the_short_way() -> None:
    decoder = OpenAIStreamDecoder()
    [chunk] = decoder.feed(b'data: {"choices":[{"delta":{"role":"assistant","content":"x"}}]}\n\n')
    assert isinstance(chunk.choices[0].delta, TextDelta)


def test_a_stream_that_is_no_text_is_no_longer_taken_for_it() -> None:
    decoder = OpenAIStreamDecoder()
    for _ in range(codec.MOST_MISSES):
        list(decoder.feed(b'data: {"choices":[{"delta":{"refusal":"no"}}]}\n\n'))
    [chunk] = decoder.feed(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n')
    assert not isinstance(chunk.choices[0].delta, TextDelta)


@pytest.mark.parametrize(
    ("delta", "field", "kept"),
    [
        ({"role": "critic", "content": "x"}, "role", "critic"),
        ({"content": "x", "images": [{"url": "i"}]}, "images", [{"url": "i"}]),
        ({"content": "x", "annotations": [{"url": "a"}]}, "annotations", [{"url": "a"}]),
        ({"content": "x", "reasoning_details": [{"data": "d"}]}, "reasoning_details", [{"data": "d"}]),
        ({"content": "x", "audio": {"id": "a"}}, "audio", {"id": "a"}),
        ({"content": "x", "refusal": "no"}, "refusal", "no"),
        ({"content": "x", "reasoning": "so"}, "reasoning_content", "so"),
    ],
)
def test_nothing_that_comes_with_a_text_is_lost(delta: dict[str, Any], field: str, kept: Any) -> None:
    decoder, assembly = OpenAIStreamDecoder(), Assembly()
    for chunk in decoder.feed(b"data: %b\n\n" % json.dumps({"choices": [{"delta": delta}]}).encode()):
        assembly.add(chunk)
    [choice] = assembly.completion(id="i", created=1, model="m").choices
    assert (choice.message.content, getattr(choice.message, field)) == ("x", kept)


def test_each_choice_of_several_has_its_own_text_and_role() -> None:
    decoder, assembly = OpenAIStreamDecoder(), Assembly()
    for index, delta in ((1, {"role": "critic", "content": "b"}), (0, {"content": "a"}), (1, {"content": "c"})):
        event = json.dumps({"choices": [{"index": index, "delta": delta, "finish_reason": None}]}).encode()
        [chunk] = decoder.feed(b"data: %b\n\n" % event)
        assembly.add(chunk)
    first, second = (choice.message for choice in assembly.completion(id="i", created=1, model="m").choices)
    assert [(each.role, each.content) for each in (first, second)] == [("assistant", "a"), ("critic", "bc")]
    with pytest.raises(GenerationError):
        list(decoder.close())  # neither has ended
