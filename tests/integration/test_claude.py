"""A gateway whose provider speaks Anthropic's dialect, over real sockets."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, OpenAI
from tests.processes import FORGIVING, Gateway, running
from tests.raw import STREAM, provider

STREAMS = Path(__file__).parent.parent / "golden" / "anthropic" / "streams"
MODEL = "claude-opus-4-6"
HI: Any = [{"role": "user", "content": "Hi"}]


def streamed(name: str) -> bytes:
    return STREAM + (STREAMS / f"{name}.sse").read_bytes()


def answered(status: int, body: object) -> bytes:
    text = json.dumps(body).encode()
    return b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        status,
        len(text),
        text,
    )


class Script:
    """What the provider says to the next calls; the last of it again and again."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []

    def __call__(self, connection: socket.socket) -> None:
        connection.sendall(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])


@pytest.fixture(scope="module")
def script() -> Script:
    return Script()


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory, script: Script) -> Iterator[OpenAI]:
    with provider(script) as url:
        rows = [
            f'[[channels]]\nname = "{name}"\ndialect = "anthropic"\nbase_url = "{url}"\napi_key = "k"\n'
            f'models = ["{MODEL}"]\npriority = {priority}\n{FORGIVING}'
            for priority, name in enumerate(("first", "second"))
        ]
        with (
            running(Gateway(tmp_path_factory.mktemp("anthropic"), "".join(rows))) as gateway,
            OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0) as client,
        ):
            yield client


def test_thoughts_and_tools_reach_a_client_of_openai(sdk: OpenAI, script: Script) -> None:
    script.answers = [streamed("thinking_then_tools")]
    with sdk.chat.completions.stream(model=MODEL, messages=HI, max_tokens=9) as stream:
        choice: Any = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.reasoning_content == "Hm."
    assert choice.message.reasoning_details[0]["signature"] == "sig=="
    assert [(call.id, call.function.name, call.function.arguments) for call in choice.message.tool_calls] == [
        ("call_1", "f", "{}")
    ]


def test_the_whole_answer_of_a_stream_is_counted(sdk: OpenAI, script: Script) -> None:
    script.answers = [streamed("usage")]
    options: Any = {"include_usage": True}
    chunks = list(
        sdk.chat.completions.create(model=MODEL, messages=HI, max_tokens=9, stream=True, stream_options=options)
    )
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens_details.cached_tokens) == (125, 5, 21)


def test_a_whole_answer(sdk: OpenAI, script: Script) -> None:
    body = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hello"}]}
    script.answers = [answered(200, {**body, "stop_reason": "max_tokens", "usage": {}})]
    choice = sdk.chat.completions.create(model=MODEL, messages=HI, max_tokens=9).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("Hello", "length")


@pytest.mark.parametrize(
    "first",
    [
        answered(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        answered(401, {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}),
        streamed("error_at_once"),
        streamed("html"),
    ],
)
def test_another_channel_takes_over(sdk: OpenAI, script: Script, first: bytes) -> None:
    script.answers = [first, streamed("text")]
    chunks = list(sdk.chat.completions.create(model=MODEL, messages=HI, max_tokens=9, stream=True))
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == "Hi 🦊"


def test_what_anthropic_refuses_is_said_to_the_client(sdk: OpenAI, script: Script) -> None:
    said = "prompt is too long: 210000 tokens > 200000 maximum"
    script.answers = [answered(400, {"type": "error", "error": {"type": "invalid_request_error", "message": said}})]
    with pytest.raises(APIStatusError) as caught:
        sdk.chat.completions.create(model=MODEL, messages=HI, max_tokens=9)
    assert caught.value.status_code == 422
    assert said in caught.value.message


def test_what_claude_has_no_word_for_is_refused_before_anything_is_sent(sdk: OpenAI, script: Script) -> None:
    script.answers = []
    with pytest.raises(APIStatusError) as caught:
        sdk.chat.completions.create(model=MODEL, messages=HI, max_tokens=9, seed=7)
    assert (caught.value.status_code, caught.value.code, caught.value.param) == (
        422,
        "unsupported_advanced_options",
        "seed",
    )
