"""Golden exchanges of the openai dialect: what is asked, what goes over the wire, what is made of the answer.

Sources: OpenAI's API reference for chat (its own SDK's types judge every request and answer here), and what Moonshot,
vLLM, OpenRouter, Mistral, Ollama and llama.cpp are known to send in its place.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat import completion_create_params as params
from pydantic import TypeAdapter

from reynard.core import forms
from reynard.core.channels import Carried, Channel, Quirks
from reynard.core.chat import Chunk, encode
from reynard.core.errors import GenerationError, UnsupportedOptions
from reynard.core.generation import Generation
from reynard.core.media import as_said, sources
from reynard.engine.attempt import with_content
from reynard.ports.transport import WireRequest
from reynard.providers.openai import OpenAICodec

FOLDER = Path(__file__).parent / "openai"
CODEC = OpenAICodec()


def golden(name: str) -> Any:
    return json.loads((FOLDER / name).read_text("utf-8"))


def named(cases: Iterable[dict[str, Any]]) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in cases]


def compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


REQUESTS = golden("requests.json")
COMPLETIONS = golden("completions.json")
STREAMS = golden("streams.json")


def channel(quirks: dict[str, Any]) -> Channel:
    models = (Carried("m", "upstream/m"),)
    known = {**quirks, "unsupported": frozenset(quirks.get("unsupported", ()))}
    return Channel(name="c", dialect="openai", models=models, quirks=Quirks(**known))


def asked(case: dict[str, Any]) -> Generation:
    return forms.parse(compact(case["asked"])).generation


def encoded(generation: Generation, through: Channel) -> WireRequest:
    """With every source of media as it stands: fetching is the engine's business."""
    return CODEC.encode(generation, through, {source.said: as_said(source) for source in sources(generation)})


@pytest.mark.parametrize("case", named(case for case in REQUESTS if "sent" in case))
def test_a_request_is_sent_in_exactly_these_bytes(case: dict[str, Any]) -> None:
    request = encoded(asked(case), channel(case.get("quirks", {})))
    assert request.body == compact(case["sent"])
    assert (request.path, request.stream) == ("/chat/completions", case["sent"].get("stream", False))


@pytest.mark.parametrize("case", named(case for case in REQUESTS if "sent" in case and "relative" not in case))
def test_a_request_is_one_that_openai_documents(case: dict[str, Any]) -> None:
    kind: Any = params.CompletionCreateParamsNonStreaming
    if case["sent"].get("stream"):
        kind = params.CompletionCreateParamsStreaming
    assert set(case["sent"]) <= set(get_type_hints(kind))
    judged = TypeAdapter(kind).validate_python(case["sent"])
    assert len(list(judged["messages"])) == len(case["sent"]["messages"])
    assert len(list(judged.get("tools", ()))) == len(case["sent"].get("tools", ()))


@pytest.mark.parametrize("case", named(case for case in REQUESTS if "refused" in case))
def test_what_the_channel_has_no_word_for_is_refused_by_name(case: dict[str, Any]) -> None:
    generation, through = asked(case), channel(case["quirks"])
    assert CODEC.unsupported(generation, through) == case["refused"]
    with pytest.raises(UnsupportedOptions) as caught:
        encoded(generation, through)
    assert (caught.value.code, caught.value.param) == ("unsupported_advanced_options", case["refused"])


def body_of(case: dict[str, Any]) -> bytes:
    return case["text"].encode() if "text" in case else compact(case["body"])


@pytest.mark.parametrize("case", named(case for case in COMPLETIONS if "answer" in case))
def test_a_completion_is_put_into_openais_words(case: dict[str, Any]) -> None:
    completion = CODEC.decode(body_of(case))
    completion.id, completion.created, completion.model = "chatcmpl-1", 1, "m"
    answer = json.loads(encode(completion))
    base = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
    assert answer == {**base, **case["answer"]}
    ChatCompletion.model_validate(answer)


@pytest.mark.parametrize("case", named(case for case in COMPLETIONS if "error" in case))
def test_what_is_no_completion_is_a_failure_of_the_provider(case: dict[str, Any]) -> None:
    with pytest.raises(GenerationError) as caught:
        with_content(CODEC.decode(body_of(case)))
    assert caught.value.code == case["error"]
    assert "html" not in caught.value.message


def decoded(pieces: Sequence[bytes]) -> tuple[list[Chunk], GenerationError | None]:
    decoder = CODEC.stream_decoder()
    chunks: list[Chunk] = []
    try:
        for piece in pieces:
            chunks += decoder.feed(piece)
        chunks += decoder.close()
    except GenerationError as error:
        return chunks, error
    return chunks, None


def shown(pieces: Sequence[bytes]) -> dict[str, Any]:
    """As `streams.json` has it."""
    chunks, error = decoded(pieces)
    kept = [json.loads(encode(chunk)) for chunk in chunks]
    told = [{field: chunk[field] for field in ("choices", "usage") if field in chunk} for chunk in kept]
    return {"error": None if error is None else error.code, "chunks": told}


def stream(name: str) -> bytes:
    return (FOLDER / "streams" / f"{name}.sse").read_bytes()


def test_every_stream_has_its_expectation() -> None:
    assert {file.stem for file in (FOLDER / "streams").iterdir()} == set(STREAMS)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_put_into_openais_words(name: str) -> None:
    assert shown([stream(name)]) == STREAMS[name]


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_cut_at_any_byte_has_the_same_chunks(name: str) -> None:
    raw = stream(name)
    for cut in range(len(raw) + 1):
        assert shown([raw[:cut], raw[cut:]]) == STREAMS[name]
    assert shown([raw[at : at + 1] for at in range(len(raw))]) == STREAMS[name]


@pytest.mark.parametrize("name", STREAMS)
def test_every_chunk_is_one_that_openai_documents(name: str) -> None:
    chunks, _ = decoded([stream(name)])
    for chunk in chunks:
        chunk.id, chunk.created, chunk.model = "chatcmpl-1", 1, "m"
        ChatCompletionChunk.model_validate_json(encode(chunk))


@pytest.mark.parametrize("name", [name for name in STREAMS if STREAMS[name]["error"] is None])
def test_a_whole_stream_ends_each_choice_exactly_once(name: str) -> None:
    choices = [choice for chunk in STREAMS[name]["chunks"] for choice in chunk["choices"]]
    ends = [choice["index"] for choice in choices if choice["finish_reason"] is not None]
    assert sorted(ends) == sorted({choice["index"] for choice in choices})


@pytest.mark.parametrize("name", [name for name in STREAMS if STREAMS[name]["error"] is not None])
def test_a_broken_stream_may_go_to_another_channel(name: str) -> None:
    _, error = decoded([stream(name)])
    assert error is not None
    assert error.failover


@pytest.mark.parametrize("name", ["text", "tool_calls", "crlf_and_comments"])
def test_a_stream_cut_short_anywhere_is_never_taken_for_a_whole_one(name: str) -> None:
    raw = stream(name)
    finish = raw.index(b'"finish_reason":"')
    for end in range(finish):
        assert decoded([raw[:end]])[1] is not None


def test_an_event_too_large_is_a_failure_of_the_provider() -> None:
    _, error = decoded([b"data: ", *[b"a" * 1_000_000] * 6])
    assert error is not None
    assert (error.code, error.failover) == ("upstream_error", True)
