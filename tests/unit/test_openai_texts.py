"""Chunks of text take a short way through the decoder: what they come to is what the long way makes of them."""

import json
from typing import Any

from hypothesis import given
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


CALL = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2}
ODD: dict[str, list[tuple[str, Any]]] = {
    "event": [
        ("id", 7),
        ("object", ""),
        ("object", None),
        ("created", 1.5),
        ("choices", None),
        ("choices", []),
        ("usage", USAGE),
        ("system_fingerprint", 1),
        ("error", {"message": "e"}),
        ("obfuscation", "abc"),
    ],
    "choice": [
        ("index", -1),
        ("index", "x"),
        ("index", 1.0),
        ("index", None),
        ("delta", None),
        ("delta", ...),
        ("logprobs", {"content": []}),
        ("finish_reason", "stop"),
        ("usage", USAGE),
        ("error", "e"),
    ],
    "delta": [
        ("role", 7),
        ("content", ["x"]),
        ("content", [{"type": "text", "text": "x"}]),
        ("reasoning", "so"),
        ("refusal", "no"),
        ("tool_calls", []),
        ("tool_calls", [CALL]),
        ("function_call", {"name": "f"}),
        ("annotations", [{}]),
        ("images", []),
        ("reasoning_details", [{}]),
        ("audio", {}),
        ("unheard_of", 1),
    ],
}
"""What chunks of text do not have, or need not."""

text = NOTHING | st.text(max_size=4) | st.sampled_from(["\ud83d", "\x00", "\u2028", '"', "🦊"])
deltas = said(role=some("assistant", "critic"), content=text, reasoning_content=text)
choices = said(index=st.sampled_from([..., 0, 1]), delta=deltas, finish_reason=NOTHING)
texts = said(
    choices=st.lists(choices, min_size=1, max_size=2),
    usage=NOTHING,
    system_fingerprint=some("f"),
    service_tier=some("t"),
)


@st.composite
def events(draw: st.DrawFn) -> Any:
    """A chunk of text, with one thing or none about it that is odd."""
    event = draw(texts)
    choice = event["choices"][0]
    place, name, value = draw(st.sampled_from([("event", "", ...), *((at, *odd) for at in ODD for odd in ODD[at])]))
    at = {"event": event, "choice": choice, "delta": choice["delta"]}[place]
    if value is ...:
        at.pop(name, None)
    else:
        at[name] = value
    return event


def made_of(event: Any, name: bytes, escaped: bool, misses: int) -> tuple[Any, ...]:
    """The chunks, the answer and the failure."""
    decoder, assembly, chunks, failure = OpenAIStreamDecoder(), Assembly(), [], None
    decoder._misses = misses
    body = name + b"data: " + json.dumps(event, ensure_ascii=escaped).encode("utf-8", "replace") + b"\n\n"
    try:
        for chunk in (*decoder.feed(b"data: {}\n\n"), *decoder.feed(body), *decoder.close()):
            chunk.id, chunk.created, chunk.model = "i", 1, "m"
            assembly.add(chunk)
            chunks.append(encode(chunk))
    except GenerationError as error:
        failure = (error.code, error.message, error.failover)
    return chunks, encode(assembly.completion(id="i", created=1, model="m")), failure


@given(events(), st.sampled_from([b"", b"event: error\n", b"event: x\n"]), st.booleans())
def test_the_short_way_ends_where_the_long_one_does(event: Any, name: bytes, escaped: bool) -> None:
    assert made_of(event, name, escaped, 0) == made_of(event, name, escaped, codec.MOST_MISSES)


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
