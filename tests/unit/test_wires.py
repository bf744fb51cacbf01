"""What the checking upstream refuses, wire by wire, and what it takes: a request, changed in one place."""

import base64
import copy
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from reynard.core.playback import Piece
from reynard.core.simulation import Simulation
from reynard.testing.provider import Denied, Played, Provider
from reynard.testing.wires.exchange import Request
from reynard.testing.wires.seals import is_sealed, sealed, signature

JSON = {b"content-type": b"application/json", b"host": b"x"}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()
PDF = base64.b64encode(b"%PDF-1.7\n" + bytes(20)).decode()
Body = dict[str, Any]
Change = Callable[[Body], object]


def play(target: str, body: Body | bytes, headers: dict[bytes, bytes], provider: Provider | None = None) -> Played:
    provider = provider or Provider(Simulation(), None)
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    request = Request("POST", target, {**JSON, **headers}, data)
    return provider.play(request, *provider.routed(request))


def refusal(target: str, body: Body | bytes, headers: dict[bytes, bytes]) -> tuple[int, str, Any]:
    with pytest.raises(Denied) as caught:
        play(target, body, headers)
    return caught.value.refused.status, caught.value.refused.reason, msgspec.json.decode(caught.value.body)


# Anthropic


VERSION = {b"anthropic-version": b"2023-06-01"}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": signature(b"Hm.")}
USE = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}
RESULT: Body = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}
CLAUDE = "claude-sonnet-4-5"


def text(said: str = "Hello") -> Body:
    return {"type": "text", "text": said}


def image(**source: Any) -> Body:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG, **source}}


def document(**source: Any) -> Body:
    return {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF, **source}}


def user(*blocks: Any) -> Body:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> Body:
    return {"role": "assistant", "content": list(blocks)}


def message() -> Body:
    """A request that has everything in it, and is right: a fresh one, to be changed."""
    right = {
        "model": CLAUDE,
        "max_tokens": 2000,
        "system": "Be brief.",
        "messages": [
            user(text(), image(), document()),
            assistant(THOUGHT, text("Let me see."), USE),
            user({**RESULT, "content": [text("sunny"), image()]}, text("And?")),
        ],
        "tools": [{"name": "weather", "input_schema": {"type": "object"}}],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    return copy.deepcopy(right)


def put(path: str, value: Any) -> Change:
    """Sets the field at a dotted path."""

    def change(body: Body) -> None:
        *way, last = path.split(".")
        at: Any = body
        for step in way:
            at = at[int(step)] if isinstance(at, list) else at.setdefault(step, {})
        at[int(last) if isinstance(at, list) else last] = copy.deepcopy(value)

    return change


def both(*changes: Change) -> Change:
    return lambda body: [change(body) for change in changes]


def turns(*said: Body) -> Change:
    """Other turns, and no thinking."""
    return both(put("messages", list(said)), put("thinking", None))


def thinking_turns(*said: Body) -> Change:
    return put("messages", list(said))


def drop(field: str) -> Change:
    return lambda body: body.pop(field)


GIF = base64.b64encode(b"GIF89a" + bytes(20)).decode()

ANTHROPIC: list[tuple[str, Change]] = [
    ("max_tokens", drop("max_tokens")),
    ("model", drop("model")),
    ("unknown field", put("frequency_penalty", 1)),
    ("unknown field", put("messages.0.name", "Bob")),
    ("unknown field", put("messages.0.content.0.index", 1)),
    ("system", put("messages.0.role", "system")),
    ("first message must use the `user` role", turns(assistant(text()), user(text()))),
    ("cannot be in `assistant`", turns(user(text()), assistant(image()), user(text()))),
    ("cannot be in `user`", turns(user(USE))),
    ("non-empty content", turns(user(), user(text()))),
    ("non-empty content", turns({"role": "user", "content": ""})),
    ("must be non-empty", turns(user(text("")))),
    ("non-whitespace", turns(user(text(" \n")))),
    ("non-whitespace", turns(user(text()), assistant(USE), user({**RESULT, "content": [text(" ")]}))),
    ("trailing whitespace", turns(user(text()), assistant(text("It is ")))),
    ("without `tool_result`", turns(user(text()), assistant(USE), user(text()))),
    ("without `tool_result`", turns(user(text()), assistant(USE))),
    ("without `tool_result`", turns(user(text()), assistant(USE), user(text()), user(text()), assistant(text()))),
    ("before any other content", turns(user(text()), assistant(USE), user(text(), RESULT))),
    ("unexpected `tool_use_id`", turns(user(text()), assistant(text()), user(RESULT))),
    ("unexpected `tool_use_id`", turns(user(text()), assistant(USE), user(RESULT, {**RESULT, "tool_use_id": "b"}))),
    ("single result", turns(user(text()), assistant(USE), user(RESULT, RESULT))),
    ("ids must be unique", turns(user(text()), assistant(USE, USE), user(RESULT))),
    ("ids must be unique", turns(user(text()), assistant(USE), user(RESULT), assistant(USE), user(RESULT))),
    ("`is_error`", turns(user(text()), assistant(USE), user({**RESULT, "is_error": True, "content": [image()]}))),
    ("Invalid `signature`", put("messages.1.content.0.signature", signature(b"Other."))),
    ("Invalid `data`", put("messages.1.content.0", {"type": "redacted_thinking", "data": "c2VjcmV0"})),
    ("final block", thinking_turns(user(text()), assistant(text(), THOUGHT), user(text()))),
    ("found `tool_use`", thinking_turns(user(text()), assistant(USE), user(RESULT))),
    ("found `text`", thinking_turns(user(text()), assistant(text("It is")))),
    (
        "found `tool_use`",
        thinking_turns(
            user(text()), assistant(USE), user(RESULT), assistant(THOUGHT, {**USE, "id": "b"}),
            user({**RESULT, "tool_use_id": "b"}),
        ),
    ),
    ("1024", put("thinking.budget_tokens", 1023)),
    ("greater than", put("thinking.budget_tokens", 2000)),
    ("budget_tokens", put("thinking", {"type": "enabled"})),
    ("`temperature` may only be set to 1", put("temperature", 0.5)),
    ("`top_k`", put("top_k", 5)),
    ("`top_p`", put("top_p", 0.9)),
    ("tool_choice forces", put("tool_choice", {"type": "any"})),
    ("adaptive thinking is not supported", put("thinking", {"type": "adaptive"})),
    ("thinking.type.adaptive", put("model", "claude-opus-4-7")),
    ("`temperature` is not supported", both(put("model", "claude-opus-5"), drop("thinking"), put("temperature", 0.2))),
    ("prefill", both(turns(user(text()), assistant(text("It is"))), put("model", "claude-opus-4-6"))),
    ("<= 1", both(put("temperature", 1.1), drop("thinking"))),
    ("at `$.messages[0].content[1].source.media_type`", put("messages.0.content.1.source.media_type", "image/bmp")),
    ("does not match", put("messages.0.content.1.source.media_type", "image/jpeg")),
    ("does not match", put("messages.0.content.1.source.data", GIF)),
    ("does not match", put("messages.2.content.0.content.1.source.data", GIF)),
    ("does not match", put("messages.0.content.2.source.data", PNG)),
    ("invalid base64", put("messages.0.content.1.source.data", PNG[:-1])),
    ("invalid base64", put("messages.0.content.1.source.data", "data:image/png;base64," + PNG)),
    ("is empty", put("messages.0.content.1.source.data", "")),
    ("HTTPS", put("messages.0.content.1.source", {"type": "url", "url": "http://example.org/a.png"})),
    ("not found", put("messages.0.content.1.source", {"type": "file", "file_id": "file_1"})),
    (
        "document is empty",
        put("messages.0.content.2.source", {"type": "text", "media_type": "text/plain", "data": " "}),
    ),
    ("unique", put("tools", [{"name": "a", "input_schema": {"type": "object"}}] * 2)),
    ("'object'", put("tools.0.input_schema", {"type": "string"})),
    ("matching regex", put("tools.0.name", "get.weather")),
    ("matching regex", put("tools.0.name", "a" * 129)),
    ("matching regex", put("messages.1.content.2.id", "call:1")),
    ("not found in provided tools", both(drop("thinking"), put("tool_choice", {"type": "tool", "name": "b"}))),
    ("while providing tools", both(drop("tools"), put("tool_choice", {"type": "auto"}))),
    ("non-whitespace", put("stop_sequences", ["\n"])),
    ("maximum of 4", put("system", [{**text(), "cache_control": {"type": "ephemeral"}}] * 5)),
]  # fmt: skip


def test_a_right_message_is_taken() -> None:
    assert play("/v1/messages", message(), VERSION).seen.media[2].kind == "image"


@pytest.mark.parametrize(("reason", "change"), ANTHROPIC, ids=[f"{i}-{row[0]}" for i, row in enumerate(ANTHROPIC)])
def test_what_anthropic_refuses(reason: str, change: Change) -> None:
    body = message()
    change(body)
    status, said, error = refusal("/v1/messages", body, VERSION)
    assert reason in said
    assert status == (404 if reason == "not found" else 400)
    kind = "not_found_error" if status == 404 else "invalid_request_error"
    assert (error["type"], error["error"]) == ("error", {"type": kind, "message": said})


@pytest.mark.parametrize(
    "change",
    [
        turns(user(text()), user(text("more")), assistant(text()), user(text())),
        turns(user(text()), assistant(text("It is"))),
        turns(user(text()), assistant(USE), user(RESULT), user(text())),
        turns(user(text()), assistant(USE, {**USE, "id": "b"}), user(RESULT), user({**RESULT, "tool_use_id": "b"})),
        thinking_turns(user(text()), assistant(text()), user(text())),
        thinking_turns(
            user(text()),
            assistant({"type": "redacted_thinking", "data": sealed(b"Hm.")}, USE),
            user(RESULT),
            assistant({**USE, "id": "b"}),
            user({**RESULT, "tool_use_id": "b"}),
        ),
        both(put("thinking", {"type": "adaptive"}), put("model", "claude-opus-4-7")),
        both(put("thinking", {"type": "adaptive"}), put("model", "some-name?tokens=1")),
        both(drop("thinking"), put("tool_choice", {"type": "tool", "name": "weather"})),
        put("temperature", 1),
    ],
)
def test_what_anthropic_takes(change: Change) -> None:
    body = message()
    change(body)
    assert play("/v1/messages", body, VERSION).at_once


def test_the_newest_version_has_no_sampling() -> None:
    newest = {b"anthropic-version": b"2026-10-21"}
    body = {**message(), "temperature": 1}
    assert play("/v1/messages", body, VERSION)
    assert refusal("/v1/messages", body, newest)[1] == "temperature: Extra inputs are not permitted"
    body = {**message(), "messages": [user({**text(), "citations": [{"type": "page_location"}]})]}
    assert "citations" in refusal("/v1/messages", body, newest)[1]


@pytest.mark.parametrize("headers", [{}, {b"anthropic-version": b"2020-01-01"}])
def test_anthropics_version_is_needed(headers: dict[bytes, bytes]) -> None:
    assert "anthropic-version" in refusal("/v1/messages", message(), headers)[1]


def test_a_message_too_large() -> None:
    body = msgspec.json.encode(message()) + b" " * 32 * 1024 * 1024
    status, _, error = refusal("/v1/messages", body, VERSION)
    assert (status, error["error"]["type"]) == (413, "request_too_large")


VERTEX = "/v1/projects/p/locations/global/publishers/anthropic/models/claude-sonnet-4-5@20250929"


@pytest.mark.parametrize(
    ("verb", "change", "reason"),
    [
        ("rawPredict", drop("anthropic_version"), "anthropic_version"),
        ("rawPredict", put("model", CLAUDE), "unknown field `model`"),
        ("rawPredict", put("stream", True), "`stream`"),
        ("streamRawPredict", put("stream", False), "`stream`"),
    ],
)
def test_what_vertex_refuses_of_claude(verb: str, change: Change, reason: str) -> None:
    body = {**message(), "anthropic_version": "vertex-2023-10-16"}
    body.pop("model")
    assert play(f"{VERTEX}:rawPredict", body, {}).seen.model == "claude-sonnet-4-5@20250929"
    change(body)
    assert reason in refusal(f"{VERTEX}:{verb}", body, {})[1]


# Google


PRO = "/v1beta/models/gemini-3-pro-preview:generateContent"
CALL: Body = {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}
SIGNED = {**CALL, "thoughtSignature": "skip_thought_signature_validator"}
RESPONSE: Body = {"functionResponse": {"name": "weather", "response": {"sky": "clear"}}}
SAID = {"text": "Hello"}


def content(role: str, *parts: Body) -> Body:
    return {"role": role, "parts": list(parts)}


def blob(mime: str, data: str = PNG) -> Body:
    return {"inlineData": {"mimeType": mime, "data": data}}


def generate() -> Body:
    """A request that has everything in it, and is right: a fresh one, to be changed."""
    schema = {"type": "OBJECT", "properties": {"city": {"type": "STRING", "enum": ["Oslo"]}}, "required": ["city"]}
    right = {
        "systemInstruction": {"parts": [SAID]},
        "contents": [
            content("user", SAID, blob("image/png"), blob("application/pdf", PDF)),
            content("model", SIGNED),
            content("user", RESPONSE),
        ],
        "tools": [{"functionDeclarations": [{"name": "weather", "parameters": schema}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
        "generationConfig": {"temperature": 2, "maxOutputTokens": 10, "thinkingConfig": {"thinkingLevel": "LOW"}},
    }
    return copy.deepcopy(right)


def contents(*said: Body) -> Change:
    return put("contents", list(said))


ASKED = content("user", SAID)
FILES = "https://generativelanguage.googleapis.com/v1beta/files/"

GEMINI: list[tuple[str, Change]] = [
    ("contents", drop("contents")),
    ("length >= 1", put("contents", [])),
    ("unknown field `model`", put("model", "x")),
    ("unknown field `stream`", put("stream", True)),
    ("unknown field `maxTokens`", put("generationConfig.maxTokens", 1)),
    ("unknown field `index`", put("contents.0.parts.0.index", 1)),
    ("set twice", both(put("tool_config", {}), put("generationConfig.nonsense", 1))),
    ("'assistant'", put("contents.0.role", "assistant")),
    ("must not be empty", contents(content("user"))),
    ("oneof field 'data'", contents(content("user", {"text": "a", **blob("image/png")}))),
    ("oneof field 'data'", contents(content("user", {"thoughtSignature": SIGNED["thoughtSignature"]}))),
    ("are the model's", contents(content("user", CALL))),
    ("are not the model's", contents(ASKED, content("model", RESPONSE))),
    ("Corrupted thought signature", put("contents.1.parts.0.thoughtSignature", signature(b"other"))),
    ("missing a thought_signature", put("contents.1.parts.0", CALL)),
    (
        "missing a thought_signature",
        contents(
            ASKED, content("model", SIGNED), content("user", RESPONSE), content("model", CALL),
            content("user", RESPONSE),
        ),
    ),
    ("number and names", put("contents.2.parts.0.functionResponse.name", "wether")),
    ("number and names", contents(ASKED, content("model", SIGNED, CALL), content("user", RESPONSE))),
    ("number and names", contents(ASKED, content("model", SIGNED), ASKED)),
    ("function response turn comes immediately after", contents(ASKED, content("user", RESPONSE))),
    ("function call turn comes immediately after", contents(content("model", SIGNED), content("user", RESPONSE))),
    ("followed by a function response", contents(ASKED, content("model", SIGNED))),
    (
        "id of no function call",
        both(put("contents.1.parts.0.functionCall.id", "a"), put("contents.2.parts.0.functionResponse.id", "b")),
    ),
    ("Unsupported MIME type", put("contents.0.parts.1.inlineData.mimeType", "image/gif")),
    ("Unsupported MIME type", put("contents.0.parts.1.inlineData.mimeType", "application/zip")),
    ("mimeType", put("contents.0.parts.1.inlineData", {"data": PNG})),
    ("the bytes are not image/jpeg", put("contents.0.parts.1.inlineData.mimeType", "image/jpeg")),
    ("the bytes are not video/mp4", put("contents.0.parts.1.inlineData.mimeType", "video/mp4")),
    ("invalid base64", put("contents.0.parts.1.inlineData.data", "data:image/png;base64," + PNG)),
    ("is empty", put("contents.0.parts.1.inlineData.data", "")),
    ("may not exist", put("contents.0.parts.1", {"fileData": {"fileUri": FILES + "abc", "mimeType": "image/png"}})),
    ("Unsupported file uri", put("contents.0.parts.1", {"fileData": {"fileUri": "http://example.org/a.png"}})),
    ("Unsupported file uri", put("contents.0.parts.1", {"fileData": {"fileUri": "gs://bucket/a.png"}})),
    ("`additionalProperties`", put("tools.0.functionDeclarations.0.parameters.additionalProperties", False)),
    ("unknown field `$ref`", put("tools.0.functionDeclarations.0.parameters.properties.city", {"$ref": "#/a"})),
    ("mutually exclusive", put("tools.0.functionDeclarations.0.parametersJsonSchema", {"type": "object"})),
    ("matching regex", put("tools.0.functionDeclarations.0.name", "1st")),
    ("Duplicate", put("tools", [{"functionDeclarations": [{"name": "a"}, {"name": "a"}]}])),
    ("without function_declarations", both(drop("tools"), put("toolConfig.functionCallingConfig.mode", "ANY"))),
    ("ANY or VALIDATED", put("toolConfig.functionCallingConfig.allowedFunctionNames", ["weather"])),
    ("no such function", put("toolConfig.functionCallingConfig", {"mode": "ANY", "allowedFunctionNames": ["b"]})),
    ("<= 2", put("generationConfig.temperature", 2.1)),
    (">= 1", put("generationConfig.maxOutputTokens", 0)),
    ("length <= 5", put("generationConfig.stopSequences", list("abcdef"))),
    ("seed", put("generationConfig.seed", 2**31)),
    ("response mime type", put("generationConfig.responseSchema", {"type": "OBJECT"})),
    ("Only one of", both(put("generationConfig.responseSchema", {}), put("generationConfig.responseJsonSchema", {}))),
    ("response_logprobs", put("generationConfig.logprobs", 2)),
    ("only one of", put("generationConfig.thinkingConfig.thinkingBudget", 5)),
    ("only text", put("systemInstruction.parts", [blob("image/png")])),
    ("labels", put("labels", {"a": "b"})),
]  # fmt: skip


def test_a_right_request_to_google_is_taken() -> None:
    assert [item.kind for item in play(PRO, generate(), {}).seen.media] == ["image", "file"]


@pytest.mark.parametrize(("reason", "change"), GEMINI, ids=[f"{i}-{row[0]}" for i, row in enumerate(GEMINI)])
def test_what_google_refuses(reason: str, change: Change) -> None:
    body = generate()
    change(body)
    status, said, error = refusal(PRO, body, {})
    assert reason in said
    assert status == (403 if "may not exist" in reason else 400)
    told = "PERMISSION_DENIED" if status == 403 else "INVALID_ARGUMENT"
    assert error == {"error": {"code": status, "message": said, "status": told}}


def snake() -> Body:
    """The same in the other spelling, with base64 in the other alphabet and unpadded."""
    data = base64.urlsafe_b64encode(b"\x89PNG\r\n\x1a\n" + b"\xff\xfe" * 10).decode().rstrip("=")
    return {
        "contents": [content("user", {"inline_data": {"mime_type": "image/png", "data": data}})],
        "tools": [{"function_declarations": [{"name": "a", "parameters": {"properties": {"any_of": {"any_of": []}}}}]}],
        "generation_config": {"max_output_tokens": 3, "thinking_config": {"include_thoughts": True}},
    }


@pytest.mark.parametrize(
    ("model", "change"),
    [
        ("gemini-2.5-pro", both(put("contents.1.parts.0", CALL), put("generationConfig.thinkingConfig", {}))),
        ("gemini-3-flash", contents(ASKED, content("model", SIGNED, CALL), content("user", RESPONSE, RESPONSE))),
        (
            "gemini-3.1-pro-preview",
            contents(ASKED, content("model", CALL), content("user", RESPONSE), content("model", SAID), ASKED),
        ),
        ("gemini-3-flash", lambda body: (body.clear(), body.update(snake()))),
        ("gemini-3-flash", put("contents.0.parts.1", {"fileData": {"fileUri": "https://youtu.be/abcdefghijk"}})),
        ("gemini-3-flash", put("contents.0.parts.1", {"fileData": {"fileUri": "https://example.org/a.png"}})),
        ("gemini-2.5-flash", put("generationConfig.thinkingConfig", {"thinkingBudget": 0})),
        ("gemini-2.5-pro", put("generationConfig.thinkingConfig", {"thinkingBudget": -1})),
        ("gemini-2.5-flash-lite-preview-06-17", put("generationConfig.thinkingConfig", {"thinkingBudget": 512})),
    ],
)  # fmt: skip
def test_what_google_takes(model: str, change: Change) -> None:
    body = generate()
    change(body)
    assert play(f"/v1beta/models/{model}:generateContent", body, {}).at_once


@pytest.mark.parametrize(
    ("model", "thinking", "reason"),
    [
        ("gemini-2.5-pro", {"thinkingLevel": "LOW"}, "Thinking level is not supported"),
        ("gemini-2.5-pro", {"thinkingBudget": 0}, "only works in thinking mode"),
        ("gemini-2.5-pro", {"thinkingBudget": 127}, "between 128 and 32768"),
        ("gemini-2.5-flash", {"thinkingBudget": 24577}, "between 0 and 24576"),
        ("gemini-2.5-flash-lite", {"thinkingBudget": 511}, "between 512"),
        ("gemini-2.5-flash-lite-preview-06-17", {"thinkingBudget": 511}, "between 512"),
    ],
)
def test_budgets_of_google(model: str, thinking: Body, reason: str) -> None:
    body = {**generate(), "generationConfig": {"thinkingConfig": thinking}}
    assert reason in refusal(f"/v1beta/models/{model}:generateContent", body, {})[1]


def test_a_stream_of_google_is_asked_for_as_events() -> None:
    path = "/v1beta/models/gemini-3-pro-preview:streamGenerateContent"
    assert play(f"{path}?alt=sse", generate(), {}).seen.stream
    assert "alt=sse" in refusal(path, generate(), {})[1]


def test_a_request_too_large_for_google() -> None:
    assert "20971520" in refusal(PRO, msgspec.json.encode(generate()) + b" " * 20 * 1024 * 1024, {})[1]


def test_gemini_on_vertex_needs_types_and_takes_its_storage() -> None:
    path = "/v1/projects/p/locations/l/publishers/google/models/gemini-3-pro-preview:generateContent"
    body = {**generate(), "labels": {"a": "b"}}
    body["contents"][0]["parts"][1] = {"fileData": {"fileUri": "gs://bucket/a.png", "mimeType": "image/png"}}
    assert play(path, body, {}).seen.media[0].uri == "gs://bucket/a.png"
    del body["contents"][0]["parts"][1]["fileData"]["mimeType"]
    assert "mimeType" in refusal(path, body, {})[1]


@pytest.mark.parametrize("part", [0, 1])
def test_gemini_on_vertex_has_no_ids(part: int) -> None:
    path = "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:generateContent"
    said = [{"functionCall": {"name": "f", "args": {}}}, {"functionResponse": {"name": "f", "response": {}}}]
    roles = zip(("model", "user"), said, strict=True)
    turns = [{"role": "user", "parts": [{"text": "a"}]}, *({"role": role, "parts": [one]} for role, one in roles)]
    assert play(path, {"contents": turns}, {}).seen.model == "gemini-2.5-pro"
    next(iter(said[part].values()))["id"] = "c"
    assert 'Unknown name "id"' in refusal(path, {"contents": turns}, {})[1]


def test_gemini_on_vertex_has_no_tier() -> None:
    body = {**generate(), "serviceTier": "flex"}
    assert play(PRO, body, {}).seen.model
    path = "/v1/projects/p/locations/l/publishers/google/models/gemini-3-pro-preview:generateContent"
    assert "serviceTier" in refusal(path, body, {})[1]


# Files


def upload(provider: Provider, *, start: dict[bytes, bytes], body: bytes = b"") -> str:
    headers = {b"x-goog-upload-protocol": b"resumable", b"x-goog-upload-command": b"start", b"host": b"x", **start}
    reply = provider.file(Request("POST", "/upload/v1beta/files", headers, body))
    return dict(reply.headers)["x-goog-upload-url"].removeprefix("http://x")


TYPE = {b"x-goog-upload-header-content-type": b"image/png", b"x-goog-upload-header-content-length": b"4"}


@pytest.mark.parametrize(
    ("start", "body", "reason"),
    [
        ({}, b"", "mime type"),
        ({**TYPE, b"x-goog-upload-protocol": b"multipart"}, b"", "resumable"),
        ({**TYPE, b"x-goog-upload-command": b"upload"}, b"", "start"),
        ({**TYPE, b"x-goog-upload-header-content-length": b"2147483649"}, b"", "bytes is not taken"),
        ({**TYPE, b"x-goog-upload-header-content-length": b"many"}, b"", "no number"),
        (TYPE, b'{"file": {"name": "files/A_b"}}', "no name"),
        (TYPE, b'{"file": {"size": 4}}', "unknown field"),
    ],
)
def test_what_begins_no_upload(start: dict[bytes, bytes], body: bytes, reason: str) -> None:
    with pytest.raises(Denied, match=reason):
        upload(Provider(Simulation(), None), start=start, body=body)


@pytest.mark.parametrize(
    ("commands", "reason"),
    [
        ([("upload, finalize", "0", b"abc")], "4 bytes were promised, 3 came"),
        ([("upload, finalize", "1", b"abcd")], "the offset is 0, not 1"),
        ([("upload", "0", b"ab"), ("upload, finalize", "2", b"cd")], "multiple of 262144"),
        ([("cancel", "0", b"")], "unknown upload command"),
        ([("upload, finalize", "0", b"abcd"), ("upload, finalize", "0", b"abcd")], "already finalized"),
    ],
)
def test_what_ends_an_upload(commands: list[tuple[str, str, bytes]], reason: str) -> None:
    provider = Provider(Simulation(), None)
    target = upload(provider, start=TYPE)

    def send() -> None:
        for command, offset, data in commands:
            headers = {b"x-goog-upload-command": command.encode(), b"x-goog-upload-offset": offset.encode()}
            provider.file(Request("POST", target, headers, data))

    with pytest.raises(Denied, match=reason):
        send()


# OpenAI


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("data:image/bmp;base64,Qk0A", "unsupported image type"),
        (f"data:image/jpeg;base64,{PNG}", "is not image/jpeg"),
        (f"data:image/png;base64,{PNG[:-1]}", "base64"),
    ],
)
def test_what_openai_refuses(url: str, reason: str) -> None:
    body = {"model": "m", "messages": [user({"type": "image_url", "image_url": {"url": url}})]}
    status, said, error = refusal("/v1/chat/completions", body, {})
    assert reason in said
    assert (status, error["error"]["type"]) == (400, "invalid_request_error")


def test_bytes_that_tell_nothing_pass_openais_wire() -> None:
    block = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    assert play("/v1/chat/completions", {"model": "m", "messages": [user(block)]}, {}).seen.media[0].length == 3


# all of them


def test_a_streamed_call_of_anthropic_is_whole_json() -> None:
    body = {**message(), "stream": True, "messages": [user(text())]}
    body["tools"][0]["input_schema"]["properties"] = {"city": {"type": "string"}}
    pieces = [step.data for step in play("/v1/messages", body, VERSION).steps if isinstance(step, Piece)]
    events = [msgspec.json.decode(piece.split(b"data: ")[1]) for piece in pieces]
    said = [event["delta"].get("partial_json", "") for event in events if event["type"] == "content_block_delta"]
    assert msgspec.json.decode("".join(said)) == {"city": "value"}


@pytest.mark.parametrize(
    ("target", "headers"), [("/v1/chat/completions", {}), ("/v1/messages", VERSION), (PRO, {})]
)  # fmt: skip
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"a": NaN}', b"[" * 100_000])
def test_a_body_that_is_none(target: str, headers: dict[bytes, bytes], body: bytes) -> None:
    assert refusal(target, body, headers)[0] == 400


def test_a_seal_proves_itself() -> None:
    assert is_sealed(sealed(b"thought"))
    assert not is_sealed(sealed(b"thought")[:-4] + "AAAA")
    assert not is_sealed("no base64!")


def test_the_bodies_that_are_kept_are_bounded() -> None:
    provider = Provider(Simulation(), None)
    for _ in range(5):
        provider.remember(b'"' + b"a" * 40_000_000 + b'"')
    assert provider.state.requests == 5
    assert len(provider.shown()) < 130_000_000
