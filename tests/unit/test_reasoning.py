"""What three parameters amount to, and that every dialect takes them for the same."""

import json
from typing import Any

import pytest

from reynard.bootstrap.wiring import codec_of
from reynard.core import forms
from reynard.core.channels import Carried, Channel, Quirks
from reynard.core.generation import Generation
from reynard.core.reasoning import Wish, wish

SPEECH: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "a"}], "max_tokens": 40_000}
WAYS = [
    Channel(name="effort", dialect="openai", models=(), quirks=Quirks(reasoning="effort")),
    Channel(name="object", dialect="openai", models=(), quirks=Quirks(reasoning="object")),
    Channel(name="thinking", dialect="openai", models=(), quirks=Quirks(reasoning="thinking")),
    Channel(name="vllm", dialect="openai", models=(), quirks=Quirks(reasoning="template", budget="reasoning_budget")),
    Channel(name="switch", dialect="openai", models=(), quirks=Quirks(reasoning="switch", budget="reasoning_budget")),
    Channel(name="claude, budget", dialect="anthropic", models=(Carried("m", "m", "budget"),)),
    Channel(name="claude, either", dialect="anthropic", models=(Carried("m", "m", "either"),)),
    Channel(name="claude, adaptive", dialect="anthropic", models=(Carried("m", "m", "adaptive"),)),
    Channel(name="gemini, budget", dialect="gemini", models=(Carried("m", "m", "budget"),)),
    Channel(name="gemini, level", dialect="gemini", models=(Carried("m", "m", "level"),)),
]
SAID: list[dict[str, Any]] = [{}, {"reasoning": True}, {"reasoning": False}]


def generation(said: dict[str, Any]) -> Generation:
    return forms.parse(json.dumps({**SPEECH, **said}).encode()).generation


@pytest.mark.parametrize(
    ("said", "amount"),
    [
        ({}, Wish()),
        ({"reasoning": True}, Wish(True)),
        ({"reasoning": False}, Wish(False)),
        ({"reasoning_budget": 0}, Wish(False)),
        ({"reasoning_budget": 9}, Wish(True, None, 9)),
        ({"reasoning": True, "reasoning_budget": 9}, Wish(True, None, 9)),
        ({"reasoning": True, "reasoning_budget": 0}, Wish(True)),
        ({"reasoning": False, "reasoning_budget": 9}, Wish(False)),
        ({"reasoning_effort": "low", "reasoning": False, "reasoning_budget": 9}, Wish(True, "low")),
        ({"reasoning_effort": "none", "reasoning": True, "reasoning_budget": 9}, Wish(False, "none")),
    ],
)
def test_what_was_said_amounts_to_one_wish(said: dict[str, Any], amount: Wish) -> None:
    assert wish(generation(said)) == amount


@pytest.mark.parametrize("channel", [pytest.param(way, id=way.name) for way in WAYS])
@pytest.mark.parametrize(
    ("said", "same"),
    [
        ({"reasoning": False, "reasoning_budget": 500}, {"reasoning": False}),
        ({"reasoning": True, "reasoning_budget": 0}, {"reasoning": True}),
        ({"reasoning_budget": 0}, {"reasoning": False}),
        ({"reasoning_effort": "low", "reasoning_budget": 9000, "reasoning": False}, {"reasoning_effort": "low"}),
    ],
)
def test_every_dialect_weighs_them_alike(channel: Channel, said: dict[str, Any], same: dict[str, Any]) -> None:
    if "reasoning_effort" in said and channel.quirks.reasoning in ("thinking", "template", "switch"):
        same = {**same, "reasoning": True}  # these have a switch beside the effort
    codec = codec_of(channel.dialect)
    assert codec.encode(generation(said), channel, {}).body == codec.encode(generation(same), channel, {}).body


def test_the_ways_are_not_all_the_same() -> None:
    """The bodies that are compared do say something of thinking."""
    for channel in WAYS:
        encode = codec_of(channel.dialect).encode
        bodies = {encode(generation(said), channel, {}).body for said in SAID}
        assert len(bodies) == 3
