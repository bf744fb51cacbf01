"""Golden exchanges of the gemini dialect.

Sources: Google's reference of generateContent, whose own SDK's types judge every request and answer here.
"""

import json
import warnings
from collections.abc import Sequence
from typing import Any

import pytest
from google.genai import types
from pydantic import BaseModel, ConfigDict
from tests.dialects import UNDOCUMENTED, DialectExchanges, body_of, compact, golden, named

from reynard.core.assembly import Assembly
from reynard.core.channels import Carried, Channel
from reynard.core.chat import Chunk, encode
from reynard.core.errors import GenerationError
from reynard.providers.gemini import GeminiCodec
from reynard.providers.gemini.answers import FAILS, FINISH
from reynard.providers.gemini.contents import UNSIGNED


class Body(BaseModel):
    """The body of generateContent, out of the SDK's own types; none of them takes a field that it does not know."""

    model_config = ConfigDict(extra="forbid")

    contents: list[types.Content]
    systemInstruction: types.Content | None = None  # noqa: N815
    tools: list[types.Tool] | None = None
    toolConfig: types.ToolConfig | None = None  # noqa: N815
    generationConfig: types.GenerationConfig | None = None  # noqa: N815
    serviceTier: types.ServiceTier | None = None  # noqa: N815


class ThinkingBody(BaseModel):
    """`generationConfig` has it in the REST reference."""

    model_config = ConfigDict(extra="forbid")

    thinkingConfig: types.ThinkingConfig  # noqa: N815


def ended(reason: str) -> bytes:
    part = {"content": {"parts": [{"text": "a"}]}, "finishReason": reason}
    return compact({"candidates": [part]})


def unsigned_call(response_id: str | None, count: int) -> bytes:
    parts = [{"functionCall": {"name": "f", "args": {}}} for _ in range(count)]
    body: dict[str, Any] = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}
    body["usageMetadata"] = {"promptTokenCount": count}
    return compact(body if response_id is None else {**body, "responseId": response_id})


def ids_of(body: bytes) -> list[str]:
    return [call.id for call in TestGemini.codec.decode(body).choices[0].message.tool_calls or ()]


class TestGemini(DialectExchanges):
    dialect = "gemini"
    codec = GeminiCodec()
    path = "/v1beta/models/upstream%2Fm:generateContent"
    mark = b'"finishReason": "'
    told_elsewhere = frozenset({"reasoning_budget"})  # see thinking.json
    openings = tuple(
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","%s":' % key for key in (b"args", b"x")
    )

    def judge_request(self, sent: dict[str, Any]) -> None:
        back = Body.model_validate(sent).model_dump(mode="json", by_alias=True, exclude_none=True)
        assert len(back["contents"]) == len(sent["contents"])
        assert back.get("generationConfig") == sent.get("generationConfig")

    def judge_answer(self, body: dict[str, Any]) -> None:
        types.GenerateContentResponse.model_validate_json(compact(body))

    def judge_event(self, data: dict[str, Any]) -> None:
        self.judge_answer(data)

    def cases(self) -> dict[str, list[Any]]:
        """Google documents its failures too."""
        documented = [case for case in self.golden("completions") if not UNDOCUMENTED & case.keys()]
        return {**super().cases(), "documented_completion": named(documented)}

    def decoded(self, pieces: Sequence[bytes]) -> tuple[list[Chunk], GenerationError | None]:
        """With the ids that the gateway made by their order."""
        chunks, error = super().decoded(pieces)
        made: list[str] = []
        for chunk in chunks:
            for choice in chunk.choices:
                for call in choice.delta.tool_calls or ():
                    if (call.id or "").startswith("call_"):
                        assert call.id not in made
                        made.append(call.id or "")
                        call.id = f"call_{len(made) - 1}"
        return chunks, error

    def test_what_is_decoded_is_the_gateways_to_name(self) -> None:
        found: list[Any] = [self.codec.decode(body_of(c)) for c in self.golden("completions") if "answer" in c]
        for name in self.golden("streams"):
            found += self.decoded([self.stream(name)])[0]
        assert {(one.id, one.created, one.model) for one in found} == {("", 0, "")}

    def test_the_judge_can_refuse(self) -> None:
        for body in ({"contents": [{"role": "user", "parts": [{"txt": "a"}]}]}, {"contents": [], "top_k": 1}):
            with pytest.raises(ValueError, match="Extra inputs"):
                Body.model_validate(body)

    @pytest.mark.parametrize(("upstream", "way", "said", "thinking"), golden("gemini/thinking.json"))
    def test_how_much_to_think_is_said_as_the_model_has_it(
        self, upstream: str, way: Any, said: dict[str, Any], thinking: dict[str, Any] | None
    ) -> None:
        case = {"asked": {"model": "m", "messages": [{"role": "user", "content": "a"}], **said}}
        through = Channel(name="c", dialect="gemini", models=(Carried("m", upstream, way),))
        config = json.loads(self.encoded(case, through).body).get("generationConfig")
        assert config == (None if thinking is None else {"thinkingConfig": thinking})
        if config is not None:
            ThinkingBody.model_validate(config)

    def test_media_goes_as_bytes_and_youtube_by_its_address(self) -> None:
        intake = self.codec.intake(self.channel({}))
        assert (intake.fetches, intake.youtube, intake.blind) == (frozenset(), True, False)
        assert 15_000_000 < intake.inline_bytes < 20_000_000
        assert self.codec.intake(self.channel({"channel": {"quirks": {"fetches": ("image",)}}})).fetches == {"image"}

    @pytest.mark.parametrize("reason", [reason.value for reason in types.FinishReason])
    def test_every_finish_reason_of_google_has_its_end(self, reason: str) -> None:
        if reason in FAILS:
            with pytest.raises(GenerationError) as caught:
                self.codec.decode(ended(reason))
            assert caught.value.code == FAILS[reason]
            return
        ends = {"STOP": "stop", "MAX_TOKENS": "length", "CONTINUATION": "length", "NO_IMAGE": "stop"}
        ends["FINISH_REASON_UNSPECIFIED"] = "stop"
        assert self.codec.decode(ended(reason)).choices[0].finish_reason == ends.get(reason, "content_filter")

    @pytest.mark.parametrize("reason", [reason.value for reason in types.BlockedReason])
    def test_every_reason_to_block_a_request_is_a_matter_of_policy(self, reason: str) -> None:
        with pytest.raises(GenerationError) as caught:
            self.codec.decode(compact({"promptFeedback": {"blockReason": reason}}))
        assert (caught.value.code, caught.value.failover) == ("content_policy_violation", False)

    def test_the_tables_know_only_reasons_that_google_has(self) -> None:
        assert {*FINISH, *FAILS} <= {reason.value for reason in types.FinishReason}
        assert not set(FINISH) & set(FAILS)

    def test_a_reason_that_is_new_is_not_taken_for_a_good_end(self) -> None:
        assert self.codec.decode(ended("BORED")).choices[0].finish_reason == "content_filter"

    def test_arguments_that_are_not_utf8_are_a_failure_of_the_provider(self) -> None:
        with pytest.raises(GenerationError):
            self.codec.decode(
                b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":"\xff"}}}]}}]}'
            )

    def test_calls_of_a_conversation_never_share_an_id(self) -> None:
        bodies = [unsigned_call(name, count) for name in ("r1", "r2", None) for count in (1, 2, 3)]
        ids = [call_id for body in (bodies[2], bodies[5], *bodies[6:]) for call_id in ids_of(body)]
        assert len(set(ids)) == len(ids)
        assert all(call_id.startswith("call_") and len(call_id) == 29 for call_id in ids)
        assert ids_of(bodies[2]) == ids_of(bodies[2])

    def test_calls_of_two_candidates_never_share_an_id(self) -> None:
        one = {"content": {"parts": [{"functionCall": {"name": "f"}}]}, "finishReason": "STOP"}
        answer = self.codec.decode(compact({"candidates": [one, {**one, "index": 1}], "responseId": "r"}))
        ids = [call.id for choice in answer.choices for call in choice.message.tool_calls or ()]
        assert len(set(ids)) == 2

    def test_a_wait_in_a_stream_is_kept(self) -> None:
        _, error = self.decoded([self.stream("error_at_once")])
        assert error is not None
        assert error.retry_after_s == 7

    def test_a_turn_with_tools_comes_back_as_google_said_it(self) -> None:
        """Stream → message → next request: the parts, the ids and the signatures are Google's own."""
        assembly = Assembly()
        for chunk in self.decoded([self.stream("tool_calls")])[0]:
            assembly.add(chunk)
        message = json.loads(encode(assembly.completion(id="x", created=1, model="m")))["choices"][0]["message"]
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "1"} for call in message["tool_calls"]]
        said = {"model": "m", "messages": [{"role": "user", "content": "a"}, message, *results]}
        body = json.loads(self.encoded({"asked": said, "channel": {"thinking": "level"}}).body)
        assert body["contents"][1] == {
            "role": "model",
            "parts": [
                {"text": "ok"},
                {"functionCall": {"id": "fc-1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "U0lHMQ=="},
                {"functionCall": {"id": "fc-2", "name": "g", "args": {}}},
            ],
        }
        assert [part["functionResponse"]["name"] for part in body["contents"][2]["parts"]] == ["f", "g"]
        Body.model_validate(body)

    def test_thoughts_come_back_as_their_signature_alone(self) -> None:
        answer = self.codec.decode(compact(self.golden("completions")[1]["body"]))
        message = json.loads(encode(answer))["choices"][0]["message"]
        said = {"model": "m", "messages": [{"role": "user", "content": "a"}, message, {"role": "user", "content": "b"}]}
        body = json.loads(self.encoded({"asked": said}).body)
        assert body["contents"][1]["parts"] == [{"text": "42", "thoughtSignature": "U0lHMA=="}]

    def test_the_word_for_no_signature_is_one_that_the_field_can_hold(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            part = types.Part.model_validate({"functionCall": {"name": "f"}, "thoughtSignature": UNSIGNED})
        assert part.thought_signature
