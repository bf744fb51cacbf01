"""What every dialect has to show: its golden exchanges, and what it makes of errors.

Subclass `DialectExchanges` and `DialectErrors` with a codec and the judges of the provider's own SDK, and put the
exchanges into `golden/<dialect>/`: `requests.json` (`asked`, and what is `sent`, the parameter that is `refused`, or
the `error`), `completions.json` (`body` or `text`, and the `answer` or the `error`), `streams/*.sse` with what they
become in `streams.json`, and `errors.json` (`status`, `body` or `text`, and the `code`).
"""

import copy
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from reynard.core import forms
from reynard.core.channels import Carried, Channel, Dialect, Quirks
from reynard.core.chat import Chunk, Completion, encode
from reynard.core.errors import TASK_ERROR_CODES, GenerationError, UnsupportedOptions
from reynard.core.generation import Generation
from reynard.core.media import as_said, sources
from reynard.engine.attempt import with_content
from reynard.ports.codec import Codec
from reynard.ports.transport import WireRequest
from reynard.providers.failures import FAILOVER, SAYS

GOLDEN = Path(__file__).parent / "golden"
UNDOCUMENTED = {"relative", "undocumented", "foreign", "hostile"}
"""How a case says that the provider's own types do not have it."""


@cache
def golden(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text("utf-8"))


def named(cases: Iterable[dict[str, Any]]) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in cases]


def compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def body_of(case: dict[str, Any]) -> bytes:
    return case["text"].encode() if "text" in case else compact(case["body"])


def asked(case: dict[str, Any]) -> Generation:
    return forms.parse(compact(case["asked"])).generation


def data_of(raw: bytes) -> list[Any]:
    """The events of a stream that are JSON."""
    lines = [line[5:].strip() for line in raw.splitlines() if line.startswith(b"data:")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def answer_of(completion: Completion) -> Any:
    """As the client gets it."""
    completion.id, completion.created, completion.model = "chatcmpl-1", 1, "m"
    return json.loads(encode(completion))


def told(chunks: Iterable[Chunk]) -> list[Any]:
    """As `streams.json` has it."""
    kept = [json.loads(encode(chunk)) for chunk in chunks]
    return [{field: chunk[field] for field in ("choices", "usage") if field in chunk} for chunk in kept]


def begun(chunks: Iterable[Chunk]) -> set[int]:
    return {choice.index for chunk in chunks for choice in chunk.choices}


def finished(chunks: Iterable[Chunk]) -> set[int]:
    return {choice.index for chunk in chunks for choice in chunk.choices if choice.finish_reason is not None}


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(["1e999", "-Inf"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@st.composite
def spoilt(draw: st.DrawFn, values: Sequence[Any]) -> Any:
    """One of `values`, with one value within it exchanged."""
    value = copy.deepcopy(draw(st.sampled_from(values)))
    at: Any = value
    while True:
        keys = sorted(at) if isinstance(at, dict) else range(len(at))
        if not keys:
            return value
        key = draw(st.sampled_from(keys))
        if not isinstance(at[key], dict | list) or not at[key] or draw(st.booleans()):
            at[key] = draw(junk)
            return value
        at = at[key]


class DialectExchanges:
    """What is asked, what goes over the wire, what is made of the answer."""

    dialect: ClassVar[Dialect]
    codec: ClassVar[Codec]
    path: ClassVar[str]
    """Of a request, unless its case says another."""
    mark: ClassVar[bytes]
    """What a stream says at the end of each choice, and not before."""
    headers: ClassVar[Mapping[str, str]] = {}
    foreign: ClassVar[Collection[str]] = ()
    """Streams that end well, and answers, that are not all the provider's own."""
    told_elsewhere: ClassVar[Collection[str]] = ()
    """Parameters that are in other tests."""
    openings: ClassVar[Sequence[bytes]] = ()
    """Of answers, up to where a value may nest as deeply as it likes."""

    def judge_request(self, sent: dict[str, Any]) -> None:
        """Raises for what the provider's SDK could not have sent."""
        raise NotImplementedError

    def judge_answer(self, body: dict[str, Any]) -> None:
        """Raises for what the provider's SDK does not take for an answer."""
        raise NotImplementedError

    def judge_event(self, data: dict[str, Any]) -> None:
        """Raises for what the provider's SDK does not take for an event of a stream."""
        raise NotImplementedError

    # what the tests are made with

    def golden(self, kind: str) -> Any:
        return golden(f"{self.dialect}/{kind}.json")

    def stream(self, name: str) -> bytes:
        return (GOLDEN / self.dialect / "streams" / f"{name}.sse").read_bytes()

    def cases(self) -> dict[str, list[Any]]:
        """What a test gets, by the name of its argument."""
        requests, completions, streams = map(self.golden, ("requests", "completions", "streams"))
        sent = [case for case in requests if "sent" in case]
        answered = [case for case in completions if "answer" in case]
        whole = [name for name, becomes in streams.items() if becomes["error"] is None]
        return {
            "sent": named(sent),
            "documented_request": named(case for case in sent if not UNDOCUMENTED & case.keys()),
            "refused": named(case for case in requests if "refused" in case),
            "completion": named(answered),
            "documented_completion": named(
                case for case in answered if not UNDOCUMENTED & case.keys() and case["name"] not in self.foreign
            ),
            "failed": named(case for case in completions if "error" in case),
            "stream": list(streams),
            "whole": whole,
            "documented_stream": [name for name in whole if name not in self.foreign],
            "broken": [name for name in streams if name not in whole],
        }

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        for name, cases in self.cases().items():
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, cases)

    def channel(self, case: dict[str, Any]) -> Channel:
        model = case.get("model", {})
        traits = {"quirks": case.get("quirks", {}), **case.get("channel", {})}
        thinking = traits.pop("thinking", model.get("thinking", "budget"))
        carried = Carried(model.get("id", "m"), "upstream/m", thinking, tuple(model.get("unsupported", ())))
        quirks = msgspec.convert(traits.pop("quirks"), Quirks)
        return Channel(name="c", dialect=self.dialect, models=(carried,), quirks=quirks, **traits)

    def encoded(self, case: dict[str, Any], channel: Channel | None = None) -> WireRequest:
        """With every source of media as it stands: fetching is the engine's business."""
        generation = asked(case)
        media = {source.said: as_said(source) for source in sources(generation)}
        return self.codec.encode(generation, channel or self.channel(case), media)

    def decoded(self, pieces: Sequence[bytes]) -> tuple[list[Chunk], GenerationError | None]:
        decoder = self.codec.stream_decoder()
        chunks: list[Chunk] = []
        try:
            for piece in pieces:
                chunks += decoder.feed(piece)
            chunks += decoder.close()
        except GenerationError as error:
            return chunks, error
        return chunks, None

    def seen(self, pieces: Sequence[bytes]) -> tuple[list[Chunk], str | None]:
        """For comparing: the chunks, and the code of the error."""
        chunks, error = self.decoded(pieces)
        return chunks, None if error is None else error.code

    # requests

    def test_a_request_is_sent_in_exactly_these_bytes(self, sent: dict[str, Any]) -> None:
        request = self.encoded(sent)
        expected = sent["text"].encode() if "text" in sent else compact(sent["sent"])
        assert request.body.decode() == expected.decode()
        assert json.loads(request.body) == sent["sent"]
        assert request.path == sent.get("path", self.path)
        assert request.stream == sent["asked"].get("stream", False)
        assert request.headers == sent.get("headers", self.headers)

    def test_a_request_is_one_that_the_provider_documents(self, documented_request: dict[str, Any]) -> None:
        self.judge_request(documented_request["sent"])

    def test_what_there_is_no_word_for_is_refused_by_name(self, refused: dict[str, Any]) -> None:
        assert self.codec.unsupported(asked(refused), self.channel(refused)) == refused["refused"]
        with pytest.raises(UnsupportedOptions) as caught:
            self.encoded(refused)
        assert (caught.value.code, caught.value.param) == ("unsupported_advanced_options", refused["refused"])

    def test_what_cannot_be_sent_fails_as_the_callers_fault(self) -> None:
        for case in self.golden("requests"):
            if "error" in case:
                with pytest.raises(GenerationError) as caught:
                    self.encoded(case)
                assert (caught.value.code, caught.value.failover) == (
                    case["error"],
                    case.get("failover", False),
                ), case["name"]
                assert case["says"] in caught.value.message

    def test_no_parameter_falls_through_in_silence(self) -> None:
        """A field that is new in `Generation` is sent or refused."""
        by_the_gateway = {"model", "stream", "stream_options"}
        said = {field for case in self.golden("requests") if "error" not in case for field in case["asked"]}
        assert set(Generation.__struct_fields__) <= said | by_the_gateway | set(self.told_elsewhere)

    # answers

    def test_an_answer_here_is_one_that_the_provider_documents(self, documented_completion: dict[str, Any]) -> None:
        self.judge_answer(json.loads(body_of(documented_completion)))

    def test_a_completion_is_put_into_openais_words(self, completion: dict[str, Any]) -> None:
        answer = answer_of(self.codec.decode(body_of(completion)))
        base = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
        assert answer == {**base, **completion["answer"]}
        ChatCompletion.model_validate(answer)

    def test_what_is_no_completion_is_a_failure(self, failed: dict[str, Any]) -> None:
        with pytest.raises(GenerationError) as caught:
            with_content(self.codec.decode(body_of(failed)))
        assert caught.value.code == failed["error"]
        assert failed.get("says", "") in caught.value.message
        assert "html" not in caught.value.message

    def test_deep_nesting_is_a_failure_of_the_provider(self) -> None:
        for opening in (b"", *self.openings):
            for deep in (b"[" * 100_000 + b"]" * 100_000, b"[" * 100_000, b'{"a":' * 100_000):
                with pytest.raises(GenerationError) as caught:
                    self.codec.decode(opening + deep)
                assert caught.value.failover
                assert self.decoded([b"data: " + opening + deep + b"\n\n"])[1] is not None

    def test_any_json_is_an_answer_or_a_failure(self) -> None:
        answers = [json.loads(body_of(case)) for case in self.golden("completions") if "answer" in case]

        @given(spoilt(answers))
        @settings(max_examples=200)
        def check(value: Any) -> None:
            raw = json.dumps(value).encode()
            try:
                encode(self.codec.decode(raw))
            except GenerationError as error:
                assert error.code in TASK_ERROR_CODES  # noqa: PT017

        check()

    # streams

    def test_every_stream_has_its_expectation(self) -> None:
        streams = set(self.golden("streams"))
        assert {file.stem for file in (GOLDEN / self.dialect / "streams").iterdir()} == streams
        assert set(self.foreign) <= streams | {case["name"] for case in self.golden("completions")}

    def test_a_stream_is_one_that_the_provider_documents(self, documented_stream: str) -> None:
        for data in data_of(self.stream(documented_stream)):
            self.judge_event(data)

    def test_a_stream_is_put_into_openais_words(self, stream: str) -> None:
        chunks, code = self.seen([self.stream(stream)])
        assert {"error": code, "chunks": told(chunks)} == self.golden("streams")[stream]

    def test_a_stream_cut_at_any_byte_has_the_same_chunks(self, stream: str) -> None:
        raw = self.stream(stream)
        whole = self.seen([raw])
        for cut in range(len(raw) + 1):
            assert self.seen([raw[:cut], raw[cut:]]) == whole
        assert self.seen([raw[at : at + 1] for at in range(len(raw))]) == whole

    def test_every_chunk_is_one_that_openai_documents(self, stream: str) -> None:
        for chunk in self.decoded([self.stream(stream)])[0]:
            chunk.id, chunk.created, chunk.model = "chatcmpl-1", 1, "m"
            ChatCompletionChunk.model_validate_json(encode(chunk))

    def test_a_whole_stream_begins_and_ends_each_choice_exactly_once(self, whole: str) -> None:
        choices = [choice for chunk in self.golden("streams")[whole]["chunks"] for choice in chunk["choices"]]
        indexes = sorted({choice["index"] for choice in choices})
        assert sorted(choice["index"] for choice in choices if choice["finish_reason"] is not None) == indexes
        told = sorted(choice["index"] for choice in choices if "role" in choice["delta"])
        assert told in ([], indexes)  # some servers of the openai dialect never say whose turn it is

    def test_a_broken_stream_may_go_to_another_channel_and_never_looks_whole(self, broken: str) -> None:
        chunks, error = self.decoded([self.stream(broken)])
        assert error is not None
        assert error.failover == (error.code != "content_policy_violation")
        assert finished(chunks) < begun(chunks) or not begun(chunks)

    def test_a_stream_cut_short_anywhere_is_never_taken_for_a_whole_one(self, whole: str) -> None:
        raw = self.stream(whole)
        ends = finished(self.decoded([raw])[0])
        for cut in range(len(raw)):
            chunks, error = self.decoded([raw[:cut]])
            if error is None:
                assert finished(chunks) == ends
                assert raw.count(self.mark, 0, cut) >= len(ends)

    def test_an_event_too_large_is_a_failure_of_the_provider(self) -> None:
        _, error = self.decoded([b"data: ", *[b"a" * 1_000_000] * 6])
        assert error is not None
        assert (error.code, error.failover) == ("upstream_error", True)

    def test_any_events_are_chunks_or_a_failure(self) -> None:
        streams = [data_of(self.stream(name)) for name in self.cases()["documented_stream"]]

        @given(spoilt(streams))
        @settings(max_examples=200)
        def check(events: list[Any]) -> None:
            chunks, error = self.decoded([b"data: " + json.dumps(event).encode() + b"\n\n" for event in events])
            for chunk in chunks:
                encode(chunk)
            assert error is None or error.code in TASK_ERROR_CODES

        check()


BARE = {
    300: "upstream_error",
    302: "upstream_error",
    400: "invalid_parameters",
    401: "upstream_auth_failed",
    402: "upstream_auth_failed",
    403: "upstream_auth_failed",
    404: "upstream_error",
    405: "invalid_parameters",
    408: "generation_timeout",
    409: "upstream_error",
    413: "media_too_large",
    415: "invalid_parameters",
    418: "invalid_parameters",
    422: "invalid_parameters",
    425: "upstream_error",
    429: "upstream_rate_limited",
    500: "upstream_error",
    502: "upstream_error",
    503: "upstream_error",
    504: "generation_timeout",
    520: "upstream_error",
    524: "upstream_error",
    529: "upstream_error",
}
"""What a status is when the body says nothing."""
SAYING_NOTHING = [
    *[b"", b"{}", b"null", b"<html></html>", b"[]", b"[{}]", b"[7]", b"\xff\xfe", b'{"error":null}', b'{"error":[]}'],
    *[b"[" * 100_000, b'{"error":' * 100_000],
]
NO_ERRORS: list[Any] = ["overloaded", None, [], {}, 7, {"message": "x"}, {"type": 7}, {"details": []}]
"""What may stand where an answer with status 200 has its error."""


class DialectErrors:
    """What is made of error bodies."""

    dialect: ClassVar[Dialect]
    codec: ClassVar[Codec]
    typed: ClassVar[Mapping[str, str]]
    """Every word by which the provider tells an error, and the code that it is."""
    bare: ClassVar[Mapping[int, str]] = {}
    """Statuses that it has another meaning for."""
    keys: ClassVar[Collection[str]]
    """All that is looked at in an error body."""
    events: ClassVar[Sequence[tuple[Any, str]]] = ()
    """Errors that came with status 200, and the codes that they are."""

    def bodies(self, word: str) -> Iterator[Any]:
        """Every way in which the provider says `word`."""
        raise NotImplementedError

    def of_event(self, error: Any) -> GenerationError:
        """What is made of an error that came with status 200."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        cases = {
            "case": named(golden(f"{self.dialect}/errors.json")),
            "status": [*BARE],
            "word": [*self.typed],
        }
        for name in cases.keys() & set(metafunc.fixturenames):
            metafunc.parametrize(name, cases[name])

    def judged(self, status: int, body: Any) -> GenerationError:
        return self.codec.decode_error(status, body if isinstance(body, bytes) else json.dumps(body).encode())

    def test_an_error_body_is_told_by_status_and_type(self, case: dict[str, Any]) -> None:
        error = self.judged(case["status"], body_of(case))
        assert error.code == case["code"]
        assert error.failover == case.get("failover", error.code in FAILOVER)
        assert error.message == SAYS[error.code] + (f" It said: {case['quotes']}" if "quotes" in case else "")
        assert error.retry_after_s == case.get("wait")
        assert case.get("hides", "\0") not in error.message

    def test_a_bare_status_is_enough(self, status: int) -> None:
        expected = (self.bare.get(status, BARE[status]), None)
        for body in SAYING_NOTHING:
            error = self.judged(status, body)
            assert (error.code, error.retry_after_s) == expected, body[:20]

    def test_what_is_safe_to_try_elsewhere_is_and_a_fault_of_the_request_is_not(self) -> None:
        assert all(self.judged(status, b"").failover for status in (408, 409, 425, 429, *range(500, 530)))
        assert not any(self.judged(status, b"").failover for status in (400, 413, 415, 422))

    def test_a_typed_error_outweighs_its_status(self, word: str) -> None:
        for status in (400, 429, 500, 529):
            for body in self.bodies(word):
                assert self.judged(status, body).code == self.typed[word], body

    def test_the_words_of_a_message_decide_nothing(self, status: int) -> None:
        words = " ".join([*self.typed, "rate limit content policy invalid x-api-key safety prompt is too long timeout"])
        assert self.judged(status, {"error": {"message": words}}).code == self.judged(status, b"").code

    def test_the_tables_know_no_code_that_a_task_cannot_have(self) -> None:
        assert set(self.typed.values()) <= set(SAYS) <= set(TASK_ERROR_CODES)

    def test_an_error_that_came_with_status_200_is_the_providers(self) -> None:
        for said, code in (*self.events, *[(nothing, "upstream_error") for nothing in NO_ERRORS]):
            found = self.of_event(said)
            assert (found.code, found.failover) == (code, True), said

    def test_a_huge_error_body_is_read_and_bounded(self) -> None:
        error = self.judged(400, {"error": {"message": "long " * 200_000}})
        assert 500 < len(error.message) < 700

    def test_any_bytes_and_any_json_are_some_error(self) -> None:
        values = st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.sampled_from(sorted(self.typed)),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(self.keys)), inner),
            max_leaves=8,
        )

        @given(st.integers(300, 599), st.binary(max_size=60) | values)
        @settings(max_examples=200)
        def check(status: int, body: Any) -> None:
            assert self.judged(status, body).code in TASK_ERROR_CODES

        check()
