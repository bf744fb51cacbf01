"""The Claude models as they ship, through the engine's own check of a request."""

import json
from typing import Any

import pytest

from reynard import config
from reynard.bootstrap.wiring import codec_of
from reynard.core import forms
from reynard.core.catalogue import Catalogue
from reynard.core.errors import ReynardError
from reynard.core.generation import Generation
from reynard.core.keys import Key
from reynard.core.media import as_said, sources
from reynard.engine.routes import Route, Routes

SETTINGS = config.load(None, {"ANTHROPIC_API_KEY": "k"})
CHANNEL = next(
    config.channel_of(channel, SETTINGS.models) for channel in SETTINGS.channels if channel.name == "anthropic"
)
CLAUDES = ["claude-opus-4-6", "claude-opus-4-7", "claude-sonnet-4-6"]
ROUTES = Routes(Catalogue(SETTINGS.models), [Route(CHANNEL, codec_of("anthropic"), None)])  # type: ignore[arg-type]


def checked(said: dict[str, Any]) -> Generation:
    submission = forms.parse(json.dumps(said).encode())
    return ROUTES.checked(submission.generation, submission.form)


def sent(said: dict[str, Any]) -> Any:
    generation = checked(said)
    media = {source.said: as_said(source) for source in sources(generation)}
    return json.loads(codec_of("anthropic").encode(generation, CHANNEL, media).body)


def refused(said: dict[str, Any]) -> tuple[str, str | None]:
    with pytest.raises(ReynardError) as caught:
        checked(said)
    return caught.value.code, caught.value.param


def custom(model: str, *blocks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": "x"}, *blocks]
    return {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 9, **fields}


def image(of: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": of}}


def file(of: str) -> dict[str, Any]:
    return {"type": "file_url", "file_url": {"url": of}}


def test_the_shipped_channel_is_anthropics_own() -> None:
    assert (CHANNEL.dialect, CHANNEL.base_url, CHANNEL.path) == ("anthropic", "https://api.anthropic.com", "")
    assert [carried.id for carried in CHANNEL.models] == CLAUDES
    assert {model.id for model in ROUTES.usable(Key(id="k", digest=b"", name="", hint="", created=0))} == set(CLAUDES)


@pytest.mark.parametrize("model", CLAUDES)
def test_a_prompt_form_has_the_models_own_limit(model: str) -> None:
    assert sent({"model": model, "prompt": "a"})["max_tokens"] == 4096
    assert refused({"model": model, "messages": [{"role": "user", "content": "a"}]}) == ("invalid_param", "max_tokens")


@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        ("claude-opus-4-6", {"type": "enabled", "budget_tokens": 2048}),
        ("claude-sonnet-4-6", {"type": "enabled", "budget_tokens": 2048}),
        ("claude-opus-4-7", {"type": "adaptive", "display": "summarized"}),
    ],
)
def test_every_claude_is_told_to_think_in_its_own_way(model: str, thinking: dict[str, Any]) -> None:
    assert sent({"model": model, "prompt": "a", "reasoning": True})["thinking"] == thinking
    assert sent({"model": model, "prompt": "a", "reasoning": False})["thinking"] == {"type": "disabled"}
    assert "thinking" not in sent({"model": model, "prompt": "a"})


@pytest.mark.parametrize("model", CLAUDES)
def test_every_claude_thinks_in_a_tool_turn_that_goes_on_without_its_thoughts(model: str) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "x"},
    ]
    body = sent({"model": model, "messages": turns, "max_tokens": 9000, "reasoning": True})
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}


@pytest.mark.parametrize("field", ["temperature", "top_p", "top_k"])
def test_opus_4_7_has_one_way_to_sample(field: str) -> None:
    value = 5 if field == "top_k" else 0.5
    assert sent(custom("claude-opus-4-6", **{field: value}))[field] == value
    assert refused(custom("claude-opus-4-7", **{field: value})) == ("unsupported_advanced_options", field)


@pytest.mark.parametrize("model", CLAUDES)
@pytest.mark.parametrize(
    "block",
    [
        *[image(f"https://example.org/a.{end}") for end in ("jpeg", "jpg", "png", "gif", "webp", "JPG")],
        image("https://example.org/a"),
        image("data:image/jpg;base64,AAAA"),
        *[file(f"https://example.org/a.{end}") for end in ("pdf", "txt", "md", "csv", "html", "json", "xml", "yaml")],
        *[file(f"data:{kind};base64,e30=") for kind in ("application/pdf", "text/plain", "text/markdown", "text/csv")],
        *[file(f"data:{kind};base64,e30=") for kind in ("text/html", "application/json", "text/xml", "text/yaml")],
    ],
)
def test_a_format_that_claude_takes_is_sent(model: str, block: dict[str, Any]) -> None:
    assert len(sent(custom(model, block))["messages"][0]["content"]) == 2


@pytest.mark.parametrize("model", CLAUDES)
@pytest.mark.parametrize(
    "block",
    [
        image("https://example.org/a.bmp"),
        image("data:image/heic;base64,AAAA"),
        file("https://example.org/a.docx"),
        file("data:application/zip;base64,AAAA"),
        image("data:image/png;base64," + "A" * 10_000_004),
    ],
)
def test_a_format_or_a_size_that_claude_does_not_take_is_refused(model: str, block: dict[str, Any]) -> None:
    assert refused(custom(model, block))[0] == "model_rule_violation"
