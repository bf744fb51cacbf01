"""OpenAI's own SDK, by base URL alone."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from tests.processes import Gateway, Upstream

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def sdk(gateway: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0) as client:
        yield client


def test_completions(sdk: OpenAI) -> None:
    completion = sdk.chat.completions.create(model="gpt-5.5", messages=[{"role": "user", "content": "Hi"}])
    assert completion.choices[0].message.content
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None


def test_streams(sdk: OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "Hi"}]
    whole = sdk.chat.completions.create(model="gpt-5.5", messages=messages)
    chunks = list(
        sdk.chat.completions.create(
            model="gpt-5.5", messages=messages, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_round_trip(sdk: OpenAI, streamed: bool) -> None:
    messages: Any = [{"role": "user", "content": "What is the weather?"}]
    message: Any
    if streamed:
        with sdk.chat.completions.stream(model="gpt-5.5", messages=messages, tools=[TOOL]) as stream:
            message = stream.get_final_completion().choices[0].message
    else:
        message = sdk.chat.completions.create(model="gpt-5.5", messages=messages, tools=[TOOL]).choices[0].message
    assert message.tool_calls
    [call] = message.tool_calls
    assert (call.function.name, call.function.arguments) == ("weather", '{"city": "value"}')
    said = message.model_dump(exclude={"parsed"})
    said["tool_calls"][0]["function"].pop("parsed_arguments", None)  # the SDK's own, which OpenAI refuses too
    messages += [said, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    answer = sdk.chat.completions.create(model="gpt-5.5", messages=messages, tools=[TOOL])
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"


def test_models(sdk: OpenAI) -> None:
    ids = [model.id for model in sdk.models.list()]
    assert "gpt-5.5" in ids
    assert sdk.models.retrieve("gpt-5.5").id == "gpt-5.5"


def test_errors_are_the_sdks_own(gateway: Gateway, sdk: OpenAI, upstream: Upstream) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="not supported"):
        sdk.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "Hi"}])
    with pytest.raises(openai.AuthenticationError):
        OpenAI(base_url=f"{gateway.url}/v1", api_key="sk-wrong").models.list()
    upstream.behave(tokens=50, tokens_per_s=200, fail={"cut_stream_rate": 1})
    with pytest.raises(openai.APIError, match="broke off"):
        list(sdk.chat.completions.create(model="gpt-5.5", messages=[{"role": "user", "content": "Hi"}], stream=True))
