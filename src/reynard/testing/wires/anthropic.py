"""Anthropic Messages: https://platform.claude.com/docs/en/api/messages, and Vertex AI's paths of it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from reynard.core import messages as core
from reynard.core import simulation
from reynard.core.formats import Kind
from reynard.core.generation import Generation
from reynard.core.playback import Spoken
from reynard.core.simulation import Failure, Script
from reynard.testing.wires import anthropic_rules, exchange
from reynard.testing.wires.anthropic_body import (
    NEWEST,
    Adaptive,
    Address,
    AnyTool,
    Block,
    Body,
    DirectBody,
    Disabled,
    Document,
    Enabled,
    FileId,
    Image,
    OneTool,
    PlainText,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    VertexBody,
)
from reynard.testing.wires.exchange import (
    Asked,
    Received,
    Refused,
    Request,
    Route,
    StoredFile,
    identity,
    named,
    require,
)
from reynard.testing.wires.magic import decoded, matches
from reynard.testing.wires.seals import sealed, signature

NAME: Final = "anthropic"
PATH: Final = "/v1/messages"
VERTEX_PATH: Final = re.compile(
    r"/.*publishers/anthropic/models/(?P<model>[^/]+):(?P<verb>rawPredict|streamRawPredict)"
)
VERSIONS: Final = ("2023-06-01", NEWEST)
MOST_BYTES: Final = 32 * 1024 * 1024
REDACTED: Final = (
    "ANTHROPIC_MAGIC_STRING_TRIGGER_REDACTED_THINKING_46C9A13E193C177646C7398A98432ECCCE4C1253D5E2D82641AC0E52CC2876CB"
)
"""Anthropic's documented word that makes a test's thoughts come encrypted."""
ERROR_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
STOP_REASONS: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}

_direct = msgspec.json.Decoder(DirectBody)
_vertex = msgspec.json.Decoder(VertexBody)


def route(request: Request) -> Route | None:
    """Anthropic's path, and Vertex's two."""
    if request.path == PATH:
        return Route(NAME)
    found = VERTEX_PATH.fullmatch(request.path)
    return found and Route(NAME, "vertex", unquote(found["model"]), found["verb"] == "streamRawPredict")


def key(request: Request, route: Route) -> str | None:
    """`x-api-key` or a bearer token; Google's bearer token on Vertex."""
    bearer = (request.header(b"authorization") or "").removeprefix("Bearer ")
    return bearer if route.platform == "vertex" else request.header(b"x-api-key") or bearer


def denied(route: Route, given: str | None) -> Refused:
    """401."""
    return Refused("invalid x-api-key" if route.platform == "" else "invalid credentials", 401)


def read(request: Request, route: Route, files: Mapping[str, StoredFile]) -> Asked:
    """See `Wire`."""
    require(len(request.body) <= MOST_BYTES, "Request exceeds the maximum allowed number of bytes.", 413)
    body: Body
    if route.model is None:
        said = request.header(b"anthropic-version")
        require(said is not None, "anthropic-version: header is required")
        require(said in VERSIONS, f"anthropic-version: {said} is not a valid version")
        direct = _direct.decode(request.body)
        body, newest = direct, said == NEWEST
        model, behaviour = named(direct.model)
    else:
        vertex = _vertex.decode(request.body)
        body, newest = vertex, vertex.anthropic_version == NEWEST
        require(body.stream is route.stream, "`stream` is true with streamRawPredict, and not with rawPredict")
        model, behaviour = named(route.model)
    turns = anthropic_rules.check(body, model, newest=newest)
    media = tuple(_media(block, turn.where) for turn in turns for block in _pictured(turn.blocks))
    thinking = body.thinking
    thinks = not (thinking is None or isinstance(thinking, Disabled))
    return Asked(
        model=model,
        behaviour=behaviour,
        stream=body.stream,
        generation=_generation(body, turns, model, iter(media), thinks=thinks),
        id=identity(request),
        media=media,
        thoughts=not (isinstance(thinking, Enabled | Adaptive) and thinking.display == "omitted"),
        sealed=REDACTED.encode() in request.body,
    )


def _pictured(blocks: Iterable[object]) -> Iterator[Image | Document]:
    for block in blocks:
        if isinstance(block, Image | Document):
            yield block
        elif isinstance(block, ToolResult) and not isinstance(block.content, str):
            yield from _pictured(block.content)


def _media(block: Image | Document, where: str) -> Received:
    kind: Kind = "image" if isinstance(block, Image) else "file"
    match block.source:
        case Address(url=url):
            require(url.startswith("https://"), f"{where}: Only HTTPS URLs are supported.")
            return Received(kind, "application/pdf" if kind == "file" else "", None, url)
        case FileId(file_id=id):
            raise Refused(f"{where}: File not found: {id}", 404)
        case PlainText(data=text):
            require(bool(text.strip()), f"{where}: the document is empty")
            return Received(kind, "text/plain", text.encode())
        case source:
            data = decoded(source.data, f"{where}.{block.__struct_config__.tag}.source.base64")
            fits = matches(data, source.media_type)
            require(fits, f"{where}: Image does not match the provided media type {source.media_type}")
            return Received(kind, source.media_type, data)


def _generation(
    body: Body, turns: list[anthropic_rules.Spoken], model: str, media: Iterator[Received], *, thinks: bool
) -> Generation:
    said: list[core.Message] = []
    if body.system:
        system = body.system if isinstance(body.system, str) else "\n".join(text.text for text in body.system)
        said.append(core.SystemMessage(content=system))
    for turn in turns:
        said += _messages(turn, media)
    return Generation(
        model=model,
        messages=tuple(said),
        stream=body.stream,
        max_tokens=body.max_tokens,
        tools=tuple(
            core.FunctionTool(function=core.Function(name=tool.name, parameters=tool.input_schema))
            for tool in body.tools or ()
        ),
        tool_choice=_choice(body),
        reasoning=thinks,
    )


def _choice(body: Body) -> str | core.Json | None:
    match body.tool_choice:
        case OneTool(name=name):
            return {"type": "function", "function": {"name": name}}
        case AnyTool():
            return "required"
        case _:
            return "none" if anthropic_rules.no_tools(body) else None


def _messages(turn: anthropic_rules.Spoken, media: Iterator[Received]) -> list[core.Message]:
    """The turn in the words of OpenAI Chat: the results of tools first, as they stand first."""
    if turn.role == "assistant":
        text = "".join(block.text for block in turn.blocks if isinstance(block, Text))
        thoughts = "".join(block.thinking for block in turn.blocks if isinstance(block, Thinking))
        calls = [
            exchange.call(block.id, block.name, block.input) for block in turn.blocks if isinstance(block, ToolUse)
        ]
        return [core.AssistantMessage(content=text, tool_calls=tuple(calls), reasoning_content=thoughts)]
    found: list[core.Message] = [
        core.ToolMessage(content=_content(block.content, media), tool_call_id=block.tool_use_id)
        for block in turn.blocks
        if isinstance(block, ToolResult)
    ]
    rest = [block for block in turn.blocks if not isinstance(block, ToolResult)]
    return [*found, core.UserMessage(content=_content(rest, media))] if rest else found


def _content(said: str | Iterable[Block], media: Iterator[Received]) -> str | tuple[core.Block, ...]:
    if isinstance(said, str):
        return said
    return tuple(
        core.TextBlock(text=block.text) if isinstance(block, Text) else exchange.block(next(media)) for block in said
    )


def spoken(asked: Asked, played: Script, fail: Failure) -> Spoken:
    """See `Wire`."""
    failed = _failed(asked, played, fail)
    if not asked.stream:
        message = {**_opening(asked, played), "content": _blocks(asked, played), **_stop(played)}
        return Spoken(failed=failed, whole=msgspec.json.encode({**message, "usage": _usage(played)}))
    return Spoken(
        failed=failed,
        events=tuple(_event(event) for event in _events(asked, played)),
        end=_event({"type": "message_stop"}),
        error_event=_event({"type": "error", "error": {"type": "overloaded_error", "message": "simulated failure"}}),
        garbage=b'event: content_block_delta\ndata: {"type": "content_block_delta", "del\n\n',
    )


def _failed(asked: Asked, played: Script, fail: Failure) -> tuple[int, bytes]:
    """A prompt that is too long has no type of its own; a refusal is an answer, with a stop reason of its own:
    https://platform.claude.com/docs/en/test-and-evaluate/strengthen-guardrails/handle-streaming-refusals.
    """
    match fail.reason:
        case "failure":
            return fail.status, error(fail.status, "simulated failure")
        case "context_length":
            return 400, error(400, "prompt is too long: 208310 tokens > 200000 maximum")
    refused = {"stop_reason": "refusal", "stop_sequence": None}
    if not asked.stream:
        message = {**_opening(asked, played), "content": [], **refused, "usage": _usage(played)}
        return 200, msgspec.json.encode(message)
    usage = _usage(played)
    opened = {**_opening(asked, played), "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    told: list[core.Json] = [
        {"type": "message_start", "message": opened},
        {"type": "message_delta", "delta": refused, "usage": usage},
        {"type": "message_stop"},
    ]
    return 200, b"".join(map(_event, told))


def error(status: int, reason: str, code: str | None = None) -> bytes:
    """`{"type": "error", "error": {"type", "message"}, "request_id"}`."""
    fallback = "api_error" if status >= 500 else "invalid_request_error"
    told = {"type": ERROR_TYPES.get(status, fallback), "message": reason}
    return msgspec.json.encode({"type": "error", "error": told, "request_id": "req_simulated"})


def _opening(asked: Asked, played: Script) -> core.Json:
    return {"id": f"msg_{asked.id}", "type": "message", "role": "assistant", "model": asked.model}


def _stop(played: Script) -> core.Json:
    return {"stop_reason": STOP_REASONS[played.finish_reason], "stop_sequence": None}


def _usage(played: Script) -> core.Json:
    counted = simulation.usage(played)
    return {
        "input_tokens": counted.prompt_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": counted.completion_tokens,
        "service_tier": "standard",
    }


def _blocks(asked: Asked, played: Script) -> list[core.Json]:
    """The content: thoughts with their signature, then text or a call."""
    found: list[core.Json] = []
    thought = "".join(played.reasoning)
    if thought and asked.sealed:
        found.append({"type": "redacted_thinking", "data": sealed(thought.encode())})
    elif thought:
        shown = thought if asked.thoughts else ""
        found.append({"type": "thinking", "thinking": shown, "signature": signature(shown.encode())})
    if played.words:
        found.append({"type": "text", "text": "".join(played.words)})
    if played.tool is not None:
        name, arguments = played.tool
        input_ = msgspec.json.decode(arguments)
        found.append({"type": "tool_use", "id": f"toolu_{asked.id}", "name": name, "input": input_})
    return found


def _events(asked: Asked, played: Script) -> Iterator[core.Json]:
    """The stream up to its end, but for `message_stop`: https://platform.claude.com/docs/en/build-with-claude/streaming."""
    opened = {**_opening(asked, played), "content": [], "stop_reason": None, "stop_sequence": None}
    yield {"type": "message_start", "message": {**opened, "usage": {**_usage(played), "output_tokens": 1}}}
    for index, block in enumerate(_blocks(asked, played)):
        empty, deltas = _pieces(block, asked, played)
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        if index == 0:
            yield {"type": "ping"}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    output = {"output_tokens": simulation.usage(played).completion_tokens}
    yield {"type": "message_delta", "delta": _stop(played), "usage": output}


def _pieces(block: core.Json, asked: Asked, played: Script) -> tuple[core.Json, list[core.Json]]:
    """A block as it begins, and what is added to it."""
    match block["type"]:
        case "thinking":
            thoughts = played.reasoning if asked.thoughts else ()
            deltas: list[core.Json] = [{"type": "thinking_delta", "thinking": word} for word in thoughts]
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [*deltas, signed]
        case "text":
            return {**block, "text": ""}, [{"type": "text_delta", "text": word} for word in played.words]
        case "tool_use":
            arguments = played.tool[1] if played.tool else ""
            half = len(arguments) // 2
            parts = ("", arguments[:half], arguments[half:])
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in parts]
        case _:
            return block, []


def _event(event: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))
