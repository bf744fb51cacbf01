"""One conversation with tools, sent as OpenAI Chat to each family of models: one shape, and a turn that goes on."""

import json
from typing import Any

import httpx2
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from tests.integration.test_matrix import DIALECT, client, providers, web
from tests.processes import Upstream

__all__ = ["client", "providers", "web"]

FAMILIES = ["gpt-5.5", "claude-opus-4-6", "claude-opus-4-7", "gemini-2.5-pro", "gemini-3.1-pro-preview", "kimi-k2.6"]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a place.",
            "parameters": {
                "type": "object",
                "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["place"],
            },
        },
    }
]
MAY_DIFFER = ("system_fingerprint", "service_tier", "usage", "reasoning_details")
ASKED: list[dict[str, Any]] = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "What is the weather in Paris?"},
]


def body(model: str, messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": messages, "max_tokens": 4096, "tools": TOOLS, **more}


def chunks(client: httpx2.Client, asked: dict[str, Any]) -> list[dict[str, Any]]:
    asked = {**asked, "stream": True, "stream_options": {"include_usage": True}}
    response = client.post("/v1/chat/completions", json=asked)
    assert response.status_code == 200, response.text
    lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def shape(value: Any) -> Any:
    """`value` without what must differ: the keys and types that are left are what a client depends on."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items() if key not in MAY_DIFFER}
    return [shape(item) for item in value] if isinstance(value, list) else type(value).__name__


def kinds(found: list[dict[str, Any]]) -> list[Any]:
    """The shapes of the chunks, each once for a run of them; without what only carries a signature."""
    shapes: list[Any] = []
    for chunk in found:
        if [list(choice["delta"]) for choice in chunk["choices"]] == [["reasoning_details"]]:
            continue
        if not shapes or shapes[-1] != shape(chunk):
            shapes.append(shape(chunk))
    return shapes


@pytest.mark.parametrize("model", FAMILIES)
def test_every_family_gives_chunks_of_the_same_shape(client: httpx2.Client, model: str) -> None:
    for messages in (ASKED, [*ASKED, *called(client, "gpt-5.5")]):
        ours = chunks(client, body(model, messages))
        for chunk in ours:
            ChatCompletionChunk.model_validate(chunk)
        assert kinds(ours) == kinds(chunks(client, body("gpt-5.5", messages)))


def called(client: httpx2.Client, model: str, **more: Any) -> list[dict[str, Any]]:
    """The turn in which `model` calls the tool, sent back whole, and the tool's result."""
    response = client.post("/v1/chat/completions", json=body(model, ASKED, **more))
    assert response.status_code == 200, response.text
    ChatCompletion.model_validate(response.json())
    (choice,) = response.json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    (call,) = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert set(json.loads(call["function"]["arguments"])) == {"place", "days"}
    return [choice["message"], {"role": "tool", "tool_call_id": call["id"], "content": "Rain, 12 °C."}]


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize("reasoning", [None, True])
@pytest.mark.parametrize("model", FAMILIES)
def test_a_tool_round_trip_goes_on(
    client: httpx2.Client, upstream: Upstream, model: str, reasoning: bool | None, forgets: bool
) -> None:
    """With thoughts and without; and for a client that keeps nothing of a turn but what OpenAI documents."""
    more = {} if reasoning is None else {"reasoning": reasoning}
    turn, result = called(client, model, **more)
    assert bool(turn.get("reasoning_content")) == bool(reasoning)
    if forgets:
        turn = {key: turn[key] for key in ("role", "content", "tool_calls")}
    response = client.post("/v1/chat/completions", json=body(model, [*ASKED, turn, result], **more))
    assert response.status_code == 200, response.text
    (choice,) = response.json()["choices"]
    assert (choice["finish_reason"], bool(choice["message"]["content"])) == ("stop", True)
    assert upstream.state()["seen"][-1]["wire"] == DIALECT[model]


@pytest.mark.parametrize("first", ["claude-opus-4-6", "gemini-3.1-pro-preview", "gpt-5.5"])
@pytest.mark.parametrize("second", ["claude-opus-4-6", "gemini-3.1-pro-preview", "gpt-5.5"])
def test_a_conversation_moves_to_another_provider(client: httpx2.Client, first: str, second: str) -> None:
    turn = called(client, first, reasoning=True)
    response = client.post("/v1/chat/completions", json=body(second, [*ASKED, *turn], reasoning=True))
    assert response.status_code == 200, response.text
