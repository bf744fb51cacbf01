import json
from typing import Any

import pytest
from msgspec.structs import asdict

from reynard.core import forms
from reynard.core.errors import InvalidForm, InvalidParam, RequestError
from reynard.core.forms import Form, Submission
from reynard.core.generation import MAX_JSON_DEPTH, too_deep, weight
from reynard.core.messages import AudioBlock, Function, ImageBlock, SystemMessage, TextBlock, UserMessage, VideoBlock

PICTURE = "https://example.org/a.png"
FILM = "https://example.org/a.mp4"
SOUND = "https://example.org/a.wav"
TURN = {"role": "user", "content": "Hello"}
BODY: dict[Form, dict[str, Any]] = {
    "text": {"model": "m", "prompt": "Hello"},
    "vision": {"model": "m", "prompt": "Hello", "image_urls": [PICTURE]},
    "video": {"model": "m", "prompt": "Hello", "video_urls": [FILM]},
    "audio": {"model": "m", "audio_url": SOUND},
    "custom": {"model": "m", "messages": [TURN]},
}
PROMPT_FORMS: list[Form] = ["text", "vision", "video", "audio"]
ALL_FORMS: list[Form] = [*PROMPT_FORMS, "custom"]


def parse(body: object) -> Submission:
    return forms.parse(json.dumps(body).encode())


def refused(body: object, error: type[RequestError] = InvalidParam) -> RequestError:
    with pytest.raises(error) as caught:
        parse(body)
    assert type(caught.value) is error
    return caught.value


@pytest.mark.parametrize("form", ALL_FORMS)
def test_the_form_is_told_by_its_fields(form: Form) -> None:
    assert parse(BODY[form]).form == form


def test_a_text_prompt_becomes_one_user_turn() -> None:
    assert parse(BODY["text"]).generation.messages == (UserMessage(content="Hello"),)


def test_media_follow_the_prompt_in_their_order() -> None:
    pictures = [f"https://example.org/{number}.png" for number in range(10)]
    (turn,) = parse({**BODY["vision"], "image_urls": pictures}).generation.messages
    assert isinstance(turn.content, tuple)
    text, *images = turn.content
    assert text == TextBlock(text="Hello")
    assert [image.image_url.url for image in images if isinstance(image, ImageBlock)] == pictures


def test_a_video_becomes_a_video_block() -> None:
    (turn,) = parse(BODY["video"]).generation.messages
    assert isinstance(turn.content, tuple)
    assert isinstance(turn.content[1], VideoBlock)
    assert turn.content[1].video_url.url == FILM


@pytest.mark.parametrize(
    ("extra", "text"), [({}, "Please transcribe this audio file"), ({"prompt": "Who speaks?"}, "Who speaks?")]
)
def test_audio_without_a_prompt_is_transcribed(extra: dict[str, str], text: str) -> None:
    (turn,) = parse({**BODY["audio"], **extra}).generation.messages
    assert isinstance(turn.content, tuple)
    assert turn.content[0] == TextBlock(text=text)
    assert isinstance(turn.content[1], AudioBlock)
    assert turn.content[1].audio_url.url == SOUND


@pytest.mark.parametrize("form", PROMPT_FORMS)
def test_a_system_prompt_goes_first(form: Form) -> None:
    first, _ = parse({**BODY[form], "system_prompt": "Be brief."}).generation.messages
    assert first == SystemMessage(content="Be brief.")


@pytest.mark.parametrize("form", PROMPT_FORMS)
@pytest.mark.parametrize("nothing", [None, ""])
def test_an_empty_system_prompt_is_no_turn(form: Form, nothing: str | None) -> None:
    assert len(parse({**BODY[form], "system_prompt": nothing}).generation.messages) == 1


@pytest.mark.parametrize("form", ALL_FORMS)
def test_sync_and_stream_default_to_false(form: Form) -> None:
    submission = parse(BODY[form])
    assert (submission.sync, submission.generation.stream) == (False, False)


@pytest.mark.parametrize("form", ALL_FORMS)
@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("stream", [True, False])
def test_sync_and_stream_are_taken_in_every_form(form: Form, sync: bool, stream: bool) -> None:
    submission = parse({**BODY[form], "sync": sync, "stream": stream})
    assert (submission.sync, submission.generation.stream) == (sync, stream)


@pytest.mark.parametrize("form", ALL_FORMS)
@pytest.mark.parametrize(
    ("field", "value"), [("max_tokens", 1), ("temperature", 0), ("temperature", 2), ("temperature", 0.7)]
)
def test_a_value_on_the_edge_is_taken(form: Form, field: str, value: float) -> None:
    assert getattr(parse({**BODY[form], field: value}).generation, field) == value


@pytest.mark.parametrize("form", ALL_FORMS)
@pytest.mark.parametrize("value", [True, False, None])
def test_reasoning_is_taken_in_every_form(form: Form, value: bool | None) -> None:
    assert parse({**BODY[form], "reasoning": value}).generation.reasoning is value


@pytest.mark.parametrize("form", ALL_FORMS)
@pytest.mark.parametrize("field", ["max_tokens", "temperature", "reasoning"])
def test_null_is_not_said(form: Form, field: str) -> None:
    assert parse({**BODY[form], field: None}) == parse(BODY[form])


@pytest.mark.parametrize("form", ALL_FORMS)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("max_tokens", 1.5),
        ("max_tokens", "1"),
        ("max_tokens", True),
        ("temperature", -0.001),
        ("temperature", 2.001),
        ("temperature", "hot"),
        ("reasoning", "yes"),
        ("reasoning", 1),
        ("sync", None),
        ("sync", "true"),
        ("stream", None),
        ("stream", 1),
        ("model", ""),
        ("model", None),
        ("model", "m" * 257),
    ],
)
def test_a_value_beyond_the_edge_is_refused_by_name(form: Form, field: str, value: object) -> None:
    error = refused({**BODY[form], field: value})
    assert error.param == field
    assert f"`{field}`" in error.message


@pytest.mark.parametrize("form", PROMPT_FORMS)
@pytest.mark.parametrize("character", ["a", "é", "🦊"])
@pytest.mark.parametrize(("field", "most"), [("prompt", 100_000), ("system_prompt", 10_000)])
def test_text_is_bounded_in_characters(form: Form, character: str, field: str, most: int) -> None:
    parse({**BODY[form], field: character * most})
    assert refused({**BODY[form], field: character * (most + 1)}).param == field


@pytest.mark.parametrize(("form", "field"), [("vision", "image_urls"), ("video", "video_urls")])
def test_one_to_ten_addresses_are_taken(form: Form, field: str) -> None:
    parse({**BODY[form], field: ["u"]})
    parse({**BODY[form], field: [PICTURE] * 10})
    for wrong in ([], [PICTURE] * 11, PICTURE, None):
        assert refused({**BODY[form], field: wrong}).param == field


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({**BODY["vision"], "image_urls": [PICTURE, ""]}, "image_urls[1]"),
        ({**BODY["video"], "video_urls": [FILM, 7]}, "video_urls[1]"),
        ({"model": "m", "audio_url": ""}, "audio_url"),
        ({"model": "m", "audio_url": None}, "audio_url"),
        ({"model": "m", "prompt": None}, "prompt"),
        ({**BODY["audio"], "prompt": None}, "prompt"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": None}, "messages"),
        ({"model": "m", "messages": "Hello"}, "messages"),
    ],
)
def test_a_telling_field_that_is_wrong_is_named(body: object, param: str) -> None:
    assert refused(body).param == param


@pytest.mark.parametrize("form", ALL_FORMS)
def test_a_missing_model_is_named(form: Form) -> None:
    error = refused({name: value for name, value in BODY[form].items() if name != "model"})
    assert (error.param, error.message) == ("model", "`model` is required and missing.")


@pytest.mark.parametrize("form", ["vision", "video"])
def test_a_missing_prompt_is_named(form: Form) -> None:
    assert refused({name: value for name, value in BODY[form].items() if name != "prompt"}).param == "prompt"


@pytest.mark.parametrize("form", ALL_FORMS)
@pytest.mark.parametrize("value", [1, None, {"deep": []}])
def test_an_unknown_field_is_named(form: Form, value: object) -> None:
    error = refused({**BODY[form], "temprature": value})
    assert error.param == "temprature"
    assert "`temprature`" in error.message


@pytest.mark.parametrize("form", PROMPT_FORMS)
@pytest.mark.parametrize("field", ["top_p", "tools", "stop", "n", "max_completion_tokens"])
def test_the_prompt_forms_do_not_take_what_is_for_the_custom_form(form: Form, field: str) -> None:
    assert refused({**BODY[form], field: 1}).param == field


@pytest.mark.parametrize(
    "pair",
    [
        ("messages", "audio_url"),
        ("messages", "video_urls"),
        ("messages", "image_urls"),
        ("audio_url", "video_urls"),
        ("audio_url", "image_urls"),
        ("video_urls", "image_urls"),
        ("messages", "prompt"),
    ],
)
@pytest.mark.parametrize("value", [None, "x", []])
def test_two_forms_at_once_are_refused_by_both_names(pair: tuple[str, str], value: object) -> None:
    error = refused({"model": "m", **dict.fromkeys(pair, value)}, InvalidForm)
    assert error.param in pair
    assert all(f"`{field}`" in error.message for field in pair)


@pytest.mark.parametrize("body", [{}, {"model": "m"}, {"model": "m", "system_prompt": "Be brief.", "sync": True}])
def test_no_form_at_all_is_told_what_there_is(body: object) -> None:
    error = refused(body, InvalidForm)
    assert all(f"`{field}`" in error.message for field in ("prompt", *forms.SIGN_OF))


@pytest.mark.parametrize("body", [None, 1, "text", [], [BODY["text"]], True])
def test_a_body_that_is_no_object_is_refused(body: object) -> None:
    assert "object" in refused(body).message


def test_the_chat_path_reads_the_same_custom_form() -> None:
    body = {**BODY["custom"], "stream": True, "temperature": 0.5}
    assert asdict(forms.parse_chat(json.dumps(body).encode()).generation) == asdict(parse(body).generation)


@pytest.mark.parametrize(
    ("field", "nested"),
    [
        ("tools", lambda deep: [{"type": "function", "function": {"name": "f", "parameters": deep}}]),
        ("tool_choice", lambda deep: deep),
        ("response_format", lambda deep: {"type": "json_schema", "json_schema": deep}),
        ("functions", lambda deep: [deep]),
        ("function_call", lambda deep: deep),
        ("audio", lambda deep: deep),
        ("prediction", lambda deep: deep),
        ("web_search_options", lambda deep: deep),
        ("messages", lambda deep: [{"role": "assistant", "content": "a", "audio": deep}]),
    ],
)
def test_nesting_is_bounded(field: str, nested: Any) -> None:
    def deep(levels: int) -> dict[str, Any]:
        return {"a": deep(levels - 1)} if levels > 1 else {"a": 1}

    parse({**BODY["custom"], field: nested(deep(MAX_JSON_DEPTH - 2))})
    assert refused({**BODY["custom"], field: nested(deep(MAX_JSON_DEPTH + 1))}).param == field


@pytest.mark.parametrize("around", [lambda inner: {"a": inner}, lambda inner: [1, inner], lambda inner: ("a", inner)])
def test_so_many_levels_and_not_one_more(around: Any) -> None:
    value = around(1)
    for _ in range(MAX_JSON_DEPTH - 1):
        value = around(value)
    assert not too_deep(value)
    assert not too_deep(Function(name="f", parameters=value))
    assert too_deep(around(value))


def test_the_chat_path_bounds_nesting_too() -> None:
    body = json.dumps(BODY["custom"])[:-1] + ', "audio": ' + '{"a":' * 65 + "1" + "}" * 65 + "}"
    with pytest.raises(InvalidParam) as caught:
        forms.parse_chat(body.encode())
    assert caught.value.param == "audio"


@pytest.mark.parametrize(
    ("most", "one_more"),
    [
        (b"," * forms.MOST_VALUES, b","),
        (b"{[" * (forms.MOST_NESTED // 2), b"["),
        (b"{[" * (forms.MOST_NESTED // 2), b"{"),
        (b"[" * forms.MOST_NESTED, b"{"),
    ],
    ids=["commas", "one more array", "one more object", "arrays, and an object"],
)
def test_the_values_of_a_large_body_are_counted_exactly(most: bytes, one_more: bytes) -> None:
    text = b"x" * forms.LONGEST_UNCOUNTED
    forms.check_count(text + most)
    with pytest.raises(InvalidParam):
        forms.check_count(text + most + one_more)


def test_a_request_weighs_what_its_texts_and_media_come_to() -> None:
    image = "data:image/png;base64," + "A" * 4_000
    content = [{"type": "text", "text": "x" * 100}, {"type": "image_url", "image_url": {"url": image, "detail": "low"}}]
    messages = [{"role": "system", "content": "y" * 10}, {"role": "user", "content": content}]
    body = json.dumps({"model": "m", "messages": messages}).encode()
    assert weight(forms.parse(body).generation) == 10 + 100 + len(image) + len("low")
