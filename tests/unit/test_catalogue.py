"""Section 3 of the spec, row by row, on the catalogue that ships."""

import json
import re
from typing import Any

import pytest
from msgspec import structs

from reynard import config
from reynard.core import forms
from reynard.core.catalogue import Catalogue, Model, check, with_defaults
from reynard.core.errors import CapabilityMissing, InvalidParam, ModelNotSupported, RequestError, RuleViolation
from reynard.core.forms import Form
from reynard.core.ids import DRAWN, PARTS, completion_id, task_id

SHIPPED = Catalogue(config.load(None, {}).models)
GPT = ["gpt-5.4", "gpt-5.5"]
CLAUDE = ["claude-opus-4-6", "claude-opus-4-7", "claude-sonnet-4-6"]
GEMINI = ["gemini-2.5-pro", "gemini-3-pro-preview", "gemini-3.1-pro-preview"]
NEMOTRON = "nemotron-3-nano-omni"
DOCUMENTED = {
    **{model: ["text", "vision"] for model in (*GPT, "kimi-k2.6")},
    **{model: ["text", "vision", "file"] for model in CLAUDE},
    **{model: ["text", "vision", "video", "audio", "file"] for model in GEMINI},
    NEMOTRON: ["text", "vision", "video", "audio"],
}
ADDRESS = {
    "image": "https://example.org/a.png",
    "video": "https://example.org/a.mp4",
    "audio": "https://example.org/a.wav",
    "file": "https://example.org/a.pdf",
}
NEEDS = {"image": "vision", "video": "video", "audio": "audio", "file": "file"}
NAMED = "messages[0].content"


def block(kind: str, url: str | None = None) -> dict[str, Any]:
    name = f"{kind}_url"
    return {"type": name, name: {"url": ADDRESS[kind] if url is None else url}}


def judge(model: str, *blocks: dict[str, Any], **fields: Any) -> None:
    """Checks the custom form with these blocks against `model`."""
    content = [{"type": "text", "text": "Hello"}, *blocks]
    judge_body({"model": model, "messages": [{"role": "user", "content": content}], **fields})


def judge_body(body: dict[str, Any]) -> None:
    submission = forms.parse(json.dumps(body).encode())
    check(submission.generation, SHIPPED.find(submission.generation.model), submission.form)


def refused(error: type[RequestError], model: str, *blocks: dict[str, Any], **fields: Any) -> RequestError:
    with pytest.raises(error) as caught:
        judge(model, *blocks, **fields)
    assert type(caught.value) is error
    assert f"`{model}`" in caught.value.message or caught.value.param is not None
    return caught.value


def limited(model: str) -> dict[str, int]:
    return {"max_tokens": 100} if model in CLAUDE else {}


def test_the_documented_models_ship_with_their_capabilities() -> None:
    shipped = {model.id: model.ordered_capabilities for model in SHIPPED if model.id in DOCUMENTED}
    assert shipped == DOCUMENTED


def test_capabilities_are_told_in_the_documented_order() -> None:
    mixed = Model(id="m", capabilities=("file", "audio", "text", "video", "vision"))
    assert mixed.ordered_capabilities == ["text", "vision", "video", "audio", "file"]


def test_a_model_outside_the_catalogue_is_not_supported() -> None:
    with pytest.raises(ModelNotSupported) as caught:
        SHIPPED.find("gpt-2")
    assert (caught.value.code, caught.value.param) == ("model_not_supported", "model")
    assert SHIPPED.get("gpt-2") is None


@pytest.mark.parametrize("model", DOCUMENTED)
@pytest.mark.parametrize("kind", NEEDS)
def test_a_model_takes_the_media_of_its_capabilities_and_no_others(model: str, kind: str) -> None:
    if NEEDS[kind] in DOCUMENTED[model]:
        judge(model, block(kind), **limited(model))
    else:
        error = refused(CapabilityMissing, model, block(kind), **limited(model))
        assert error.code == "model_not_support_capability"
        assert error.param == f"{NAMED}[1].{kind}_url.url"
        assert model in error.message
        assert NEEDS[kind] in error.message


@pytest.mark.parametrize("model", DOCUMENTED)
def test_text_alone_is_for_every_model(model: str) -> None:
    judge(model, **limited(model))


def test_all_missing_capabilities_are_named_together() -> None:
    error = refused(CapabilityMissing, "gpt-5.5", block("image"), block("file"), block("audio"), block("video"))
    assert "does not take video, audio, file;" in error.message
    assert error.param == f"{NAMED}[2].file_url.url"


@pytest.mark.parametrize(
    "own",
    [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_data": "AAAA"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ],
)
def test_the_blocks_of_openai_need_the_same_capabilities(own: dict[str, Any]) -> None:
    judge("gemini-2.5-pro", own)
    assert (refused(CapabilityMissing, "gpt-5.5", own).param or "").startswith(f"{NAMED}[1]")


@pytest.mark.parametrize("model", CLAUDE)
def test_claude_needs_max_tokens_in_the_custom_form(model: str) -> None:
    error = refused(InvalidParam, model)
    assert (error.code, error.param) == ("invalid_param", "max_tokens")
    judge(model, max_tokens=1)
    judge(model, max_completion_tokens=1)


@pytest.mark.parametrize("model", [model for model in DOCUMENTED if model not in CLAUDE])
def test_the_others_do_not_need_max_tokens(model: str) -> None:
    judge(model)


@pytest.mark.parametrize("model", CLAUDE)
@pytest.mark.parametrize("form", ["text", "vision"])
def test_a_prompt_form_gets_the_default_of_the_model(model: str, form: Form) -> None:
    body = {"model": model, "prompt": "Hello", **({"image_urls": [ADDRESS["image"]]} if form == "vision" else {})}
    judge_body(body)
    submission = forms.parse(json.dumps(body).encode())
    assert submission.form == form
    filled = with_defaults(submission.generation, SHIPPED.find(model), form)
    assert filled == structs.replace(submission.generation, max_tokens=4096)


@pytest.mark.parametrize(("form", "said"), [("text", 7), ("custom", None), ("custom", 7)])
def test_a_limit_that_was_said_and_the_custom_form_are_left_alone(form: Form, said: int | None) -> None:
    generation = forms.parse(b'{"model": "claude-opus-4-7", "prompt": "Hello"}').generation
    generation = structs.replace(generation, max_tokens=said)
    assert with_defaults(generation, SHIPPED.find("claude-opus-4-7"), form) == generation


@pytest.mark.parametrize("model", GPT)
@pytest.mark.parametrize("word", ["max_tokens", "max_completion_tokens"])
def test_gpt_takes_no_fewer_than_sixteen_tokens(model: str, word: str) -> None:
    error = refused(InvalidParam, model, **{word: 15})
    assert (error.code, error.param) == ("invalid_param", "max_tokens")
    judge(model, **{word: 16})


@pytest.mark.parametrize("model", GPT)
def test_gpt_has_the_same_minimum_in_a_prompt_form(model: str) -> None:
    judge_body({"model": model, "prompt": "Hello", "max_tokens": 16})
    with pytest.raises(InvalidParam):
        judge_body({"model": model, "prompt": "Hello", "max_tokens": 15})


@pytest.mark.parametrize("model", [model for model in DOCUMENTED if model not in GPT])
def test_the_others_have_no_minimum(model: str) -> None:
    judge(model, max_tokens=1)


@pytest.mark.parametrize(
    ("model", "kind", "most"),
    [
        (NEMOTRON, "image", 1),
        (NEMOTRON, "video", 1),
        ("gpt-5.5", "image", 10),
        ("kimi-k2.6", "image", 10),
        ("claude-opus-4-7", "file", 10),
        *[("gemini-2.5-pro", kind, 10) for kind in NEEDS],
    ],
)
def test_a_model_takes_so_many_of_a_kind(model: str, kind: str, most: int) -> None:
    judge(model, *[block(kind)] * most, **limited(model))
    error = refused(RuleViolation, model, *[block(kind)] * (most + 1), **limited(model))
    assert (error.code, error.param) == ("model_rule_violation", f"{NAMED}[{most + 1}].{kind}_url.url")


def test_media_are_counted_over_all_messages() -> None:
    turn = {"role": "user", "content": [block("image")]}
    with pytest.raises(RuleViolation) as caught:
        judge_body({"model": NEMOTRON, "messages": [turn, turn]})
    assert caught.value.param == "messages[1].content[0].image_url.url"


def test_kinds_are_counted_apart() -> None:
    judge(NEMOTRON, block("image"), block("video"), block("audio"))


AUDIO = ["wav", "mp3", "aiff", "aac", "ogg", "flac", "m4a"]


@pytest.mark.parametrize("model", [*GEMINI, NEMOTRON])
@pytest.mark.parametrize("form", [*AUDIO, "wma", "opus", "midi"])
def test_audio_has_the_formats_of_its_model(model: str, form: str) -> None:
    takes = AUDIO if model in GEMINI else ["wav", "mp3"]
    address = block("audio", f"https://example.org/a.{form}")
    own = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": form}}
    for source in (address, own):
        if form in takes:
            judge(model, source)
        else:
            assert refused(RuleViolation, model, source).code == "model_rule_violation"


@pytest.mark.parametrize(
    ("media_type", "taken"), [("audio/wav", True), ("audio/mpeg", True), ("audio/ogg", False), ("audio/flac", False)]
)
def test_nemotron_takes_audio_as_wav_or_mpeg(media_type: str, taken: bool) -> None:
    source = block("audio", f"data:{media_type};base64,AAAA")
    if taken:
        judge(NEMOTRON, source)
    else:
        refused(RuleViolation, NEMOTRON, source)


def test_the_shipped_gemini_channel_tells_each_model_to_think_in_its_own_way() -> None:
    settings = config.load(None, {"GEMINI_API_KEY": "k"})
    channel = next(channel for channel in settings.channels if channel.name == "gemini")
    carried = config.channel_of(channel, settings.models).models
    assert {model.id: model.thinking for model in carried} == dict(
        zip(GEMINI, ["budget", "level", "level"], strict=True)
    )


@pytest.mark.parametrize("model", GEMINI)
@pytest.mark.parametrize(
    ("kind", "url", "taken"),
    [
        *[("image", f"https://example.org/a.{form}", True) for form in ("png", "jpg", "jpeg", "webp", "heic", "heif")],
        *[("image", f"https://example.org/{name}", True) for name in ("a", "a.php", "a.v2", "?f=a.gif")],
        *[("image", f"https://example.org/a.{form}", False) for form in ("gif", "mp4", "pdf")],
        *[
            ("file", f"https://example.org/a.{form}", True)
            for form in ("pdf", "txt", "md", "csv", "json", "xml", "aspx")
        ],
        ("file", "https://example.org/a.png", False),
        *[("file", f"data:{kind};base64,AAAA", True) for kind in ("application/pdf", "text/xml", "application/rtf")],
        ("file", "data:application/zip;base64,AAAA", False),
        *[("video", f"data:video/{kind};base64,AAAA", True) for kind in ("mp4", "x-msvideo", "x-flv", "3gpp", "wmv")],
        ("video", "data:video/x-matroska;base64,AAAA", False),
        ("image", "data:image/gif;base64,AAAA", False),
    ],
)
def test_gemini_takes_what_google_documents(model: str, kind: str, url: str, taken: bool) -> None:
    """What an address ends in tells the format of an image or a document only where it is the name of one."""
    if taken:
        judge(model, block(kind, url))
    else:
        assert refused(RuleViolation, model, block(kind, url)).code == "model_rule_violation"


def test_audio_that_does_not_say_its_format_is_let_through() -> None:
    judge(NEMOTRON, block("audio", "https://example.org/speech"))


@pytest.mark.parametrize("model", [*GEMINI, NEMOTRON])
@pytest.mark.parametrize(
    ("name", "taken"),
    [(f"a.{extension}", True) for extension in ("mp4", "mpeg", "mpg", "mov", "webm", "MP4")]
    + [("a.avi", False), ("a.mkv", False), ("a", False), ("mp4", False), ("a.mp4.exe", False), ("", False)],
)
def test_a_direct_video_ends_in_a_known_extension(model: str, name: str, taken: bool) -> None:
    source = block("video", f"https://example.org/films/{name}?sig=1")
    if taken:
        judge(model, source)
    else:
        assert refused(RuleViolation, model, source).param == f"{NAMED}[1].video_url.url"


@pytest.mark.parametrize("model", [*GEMINI, NEMOTRON])
def test_youtube_is_for_gemini_alone(model: str) -> None:
    source = block("video", "https://www.youtube.com/watch?v=dQw4w9WgXcQ")
    if model in GEMINI:
        judge(model, source)
    else:
        assert "YouTube" in refused(RuleViolation, model, source).message


@pytest.mark.parametrize(("size", "taken"), [(3, True), (4, False)])
def test_a_source_that_says_its_size_is_measured(size: int, taken: bool) -> None:
    small = Model(id="m", capabilities=("text", "vision"), max_media_bytes={"image": 3})
    uri = "data:image/png;base64," + {3: "AAAA", 4: "AAAAAA=="}[size]
    body = {"model": "m", "messages": [{"role": "user", "content": [block("image", uri)]}]}
    generation = forms.parse(json.dumps(body).encode()).generation
    if taken:
        check(generation, small, "custom")
    else:
        with pytest.raises(RuleViolation) as caught:
            check(generation, small, "custom")
        assert caught.value.param == f"{NAMED}[0].image_url.url"


PREFIXES: dict[Form, str] = {
    "text": "task-llmrouter-",
    "vision": "task-llmrouter-",
    "video": "task-llmrouter-",
    "audio": "task-llm-",
    "custom": "task-llm-",
}


@pytest.mark.parametrize("form", PREFIXES)
def test_a_task_id_is_prefix_seconds_and_eight_characters(form: Form) -> None:
    made = task_id(form, 1776874481.5, lambda bound: bound - 1)
    assert made == f"{PREFIXES[form]}1776874481-sa999999"
    assert re.fullmatch(r"task-llm(router)?-\d+-[a-z0-9]{8}", made)


def test_every_number_drawn_makes_another_task_id() -> None:
    drawn = [0, 1, 35, 36, 36**5, DRAWN - 1]
    made = {task_id("text", 1776874481, lambda bound, number=number: number) for number in drawn}  # type: ignore[misc]
    assert len(made) == len(drawn)
    assert DRAWN == 36**6


def test_ids_of_a_moment_lie_side_by_side() -> None:
    parts = [
        task_id("text", 1776874481 + (part + 0.5) / PARTS, lambda _: 0).rpartition("-")[2] for part in range(PARTS)
    ]
    assert {len(part) for part in parts} == {8}
    assert len({part[:2] for part in parts}) == PARTS
    assert task_id("text", 1776874481.99999, lambda _: 0).endswith("-99aaaaaa")


def test_the_completion_of_a_task_has_its_name() -> None:
    assert completion_id("task-llm-1-abc") == "chatcmpl-llm-1-abc"
