"""Google's generateContent: https://ai.google.dev/api/generate-content, and Vertex AI's paths of it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from reynard.core import messages as core
from reynard.core import simulation
from reynard.core.generation import Generation
from reynard.core.playback import Spoken
from reynard.core.simulation import Failure, Script
from reynard.testing.wires import exchange, gemini_rules, google_json
from reynard.testing.wires.exchange import (
    SSE,
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
from reynard.testing.wires.gemini_body import (
    Blob,
    Body,
    Content,
    DirectBody,
    FileData,
    FunctionCall,
    FunctionDeclaration,
    GenerationConfig,
    Part,
    ThinkingConfig,
    VertexBody,
)
from reynard.testing.wires.gemini_files import FILE_PATH, state_of
from reynard.testing.wires.magic import kind_of, matches
from reynard.testing.wires.seals import signature

NAME: Final = "gemini"
PATH: Final = re.compile(r"/v1(?:beta)?/models/(?P<model>[^/]+):(?P<verb>generateContent|streamGenerateContent)")
VERTEX_PATH: Final = re.compile(
    r"/.*publishers/google/models/(?P<model>[^/]+):(?P<verb>generateContent|streamGenerateContent)"
)
MOST_BYTES: Final = 20 * 1024 * 1024
TYPES: Final = frozenset(
    {
        *("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"),
        *("audio/wav", "audio/mp3", "audio/mpeg", "audio/aiff", "audio/aac", "audio/ogg", "audio/flac"),
        *("audio/mp4", "audio/m4a", "audio/x-m4a", "audio/x-wav", "audio/x-aiff"),
        *("video/mp4", "video/mpeg", "video/mov", "video/quicktime", "video/avi", "video/x-flv", "video/mpg"),
        *("video/webm", "video/wmv", "video/3gpp"),
        *("application/pdf", "application/json", "text/plain", "text/html", "text/css", "text/markdown", "text/md"),
        *("text/csv", "text/xml", "text/rtf", "text/javascript"),
    }
)
"""https://ai.google.dev/gemini-api/docs: image-, audio-, video- and document-understanding."""
YOUTUBE: Final = ("youtube.com", "www.youtube.com", "m.youtube.com", "youtu.be")
STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
FINISH_REASONS: Final = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"}

_bodies = msgspec.json.Decoder(DirectBody)
_vertex_bodies = msgspec.json.Decoder(VertexBody)


def route(request: Request) -> Route | None:
    """Two verbs at Google's own address, and the same two on Vertex."""
    for platform, pattern in (("", PATH), ("vertex", VERTEX_PATH)):
        found = pattern.fullmatch(request.path)
        if found:
            return Route(NAME, platform, unquote(found["model"]), found["verb"] == "streamGenerateContent")
    return None


def key(request: Request, route: Route) -> str | None:
    """`x-goog-api-key`, or `?key=`; a bearer token on Vertex."""
    if route.platform == "vertex":
        return (request.header(b"authorization") or "").removeprefix("Bearer ")
    return request.header(b"x-goog-api-key") or request.query.get("key")


def denied(route: Route, given: str | None) -> Refused:
    """401 on Vertex; elsewhere a wrong key is an argument that is not valid, and none is no permission."""
    if route.platform == "vertex":
        return Refused("Request had invalid authentication credentials.", 401, "ACCESS_TOKEN_TYPE_UNSUPPORTED")
    if not given:
        return Refused("Method doesn't allow unregistered callers. Please use API Key.", 403)
    return Refused("API key not valid. Please pass a valid API key.", 400, "API_KEY_INVALID")


def read(request: Request, route: Route, files: Mapping[str, StoredFile]) -> Asked:
    """See `Wire`."""
    model, behaviour = named(route.model or "")
    stream = route.stream is True
    require(not stream or request.query.get("alt") == "sse", "a stream is served with ?alt=sse alone here")
    require(len(request.body) <= MOST_BYTES, "Request payload size exceeds the limit: 20971520 bytes.")
    decoder: msgspec.json.Decoder[Any] = _vertex_bodies if route.platform == "vertex" else _bodies
    body: Body = google_json.decode(decoder, request.body)
    if route.platform == "vertex":
        gemini_rules.check_nameless(body)
    gemini_rules.check(body, model)
    media = tuple(_media(body, route.platform, files))
    thinking = (body.generation_config or GenerationConfig()).thinking_config or ThinkingConfig(thinking_budget=0)
    return Asked(
        model=model,
        behaviour=behaviour,
        stream=stream,
        generation=_generation(body, model, iter(media), thinks=thinking.thinking_budget != 0),
        id=identity(request),
        media=media,
        thoughts=thinking.include_thoughts,
        signed=gemini_rules.generation_of(model) >= 3,
        identified=route.platform != "vertex",
    )


def _media(body: Body, platform: str, files: Mapping[str, StoredFile]) -> Iterator[Received]:
    for index, content in enumerate(body.contents):
        for position, part in enumerate(content.parts):
            where = f"contents[{index}].parts[{position}]"
            for inline, linked in _carried(part):
                if inline is not None:
                    yield _inline(inline, where)
                if linked is not None:
                    yield _linked(linked, platform, files, where)


def _carried(part: Part) -> Iterator[tuple[Blob | None, FileData | None]]:
    yield part.inline_data, part.file_data
    for inner in (part.function_response and part.function_response.parts) or ():
        yield inner.inline_data, inner.file_data


def _inline(blob: Blob, where: str) -> Received:
    require(blob.mime_type in TYPES, f"{where}: Unsupported MIME type: {blob.mime_type}")
    data = google_json.bytes_of(blob.data, f"{where}.inline_data.data")
    require(matches(data, blob.mime_type), f"{where}: Unable to process input: the bytes are not {blob.mime_type}")
    return Received(kind_of(blob.mime_type), blob.mime_type, data)


def _linked(linked: FileData, platform: str, files: Mapping[str, StoredFile], where: str) -> Received:
    """An uploaded file, which must be ready; YouTube; a public address. Vertex has its own storage and no uploads."""
    parts = urlsplit(linked.file_uri)
    declared = linked.mime_type
    require(declared is None or declared in TYPES, f"{where}: Unsupported MIME type: {declared}")
    if platform == "vertex":
        require(declared is not None, f"{where}: fileData needs a mimeType")
        require(parts.scheme in ("https", "gs"), f"{where}: Unsupported file uri: {linked.file_uri}")
    elif FILE_PATH.fullmatch(parts.path) is not None:
        return _stored(linked, files, where)
    require(parts.scheme == "https" or platform == "vertex", f"{where}: Unsupported file uri: {linked.file_uri}")
    kind = "video" if parts.hostname in YOUTUBE else kind_of(declared or "")
    return Received(kind, declared or "", None, linked.file_uri)


def _stored(linked: FileData, files: Mapping[str, StoredFile], where: str) -> Received:
    name = urlsplit(linked.file_uri).path.rpartition("/")[2]
    file = files.get(name)
    if file is None:
        raise Refused("You do not have permission to access the File or it may not exist.", 403)
    state = state_of(file)
    require(state == "ACTIVE", f"The File files/{name} is not in an ACTIVE state and usage is not allowed: {state}")
    same = linked.mime_type in (None, file.type)
    require(same, f"{where}: the file was uploaded as {file.type}, not {linked.mime_type}")
    return Received(kind_of(file.type), file.type, file.data, linked.file_uri)


def _generation(body: Body, model: str, media: Iterator[Received], *, thinks: bool) -> Generation:
    config = body.generation_config or GenerationConfig()
    said: list[core.Message] = []
    if body.system_instruction is not None:
        text = "\n".join(part.text or "" for part in body.system_instruction.parts)
        said.append(core.SystemMessage(content=text))
    for content in body.contents:
        said += _messages(content, media)
    functions = [function for tool in body.tools or () for function in tool.function_declarations or ()]
    return Generation(
        model=model,
        messages=tuple(said),
        max_tokens=config.max_output_tokens,
        seed=config.seed,
        tools=tuple(_function(function) for function in functions),
        tool_choice=_choice(body),
        reasoning=thinks,
    )


def _function(function: FunctionDeclaration) -> core.FunctionTool:
    schema = function.parameters_json_schema
    if function.parameters is not None:
        properties = function.parameters.properties or {}
        schema = {"properties": {name: _lowered(inner) for name, inner in properties.items()}}
    return core.FunctionTool(function=core.Function(name=function.name, parameters=schema))


def _lowered(schema: Any) -> core.Json:
    """What an example is made from: the type in lower case, and the choices."""
    return {"type": (schema.type or "").lower(), "enum": schema.enum}


def _choice(body: Body) -> str | core.Json | None:
    config = body.tool_config and body.tool_config.function_calling_config
    if not config:
        return None
    if config.mode == "ANY" and config.allowed_function_names:
        return {"type": "function", "function": {"name": config.allowed_function_names[0]}}
    return "none" if config.mode == "NONE" else None


def _messages(content: Content, media: Iterator[Received]) -> list[core.Message]:
    """The turn in the words of OpenAI Chat."""
    if content.role == "model":
        text = "".join(part.text or "" for part in content.parts if not part.thought)
        calls = [
            exchange.call(part.function_call.id or "", part.function_call.name, part.function_call.args or {})
            for part in content.parts
            if part.function_call is not None
        ]
        return [core.AssistantMessage(content=text, tool_calls=tuple(calls))]
    said: list[core.Message] = []
    blocks: list[core.Block] = []
    for part in content.parts:
        if part.text is not None:
            blocks.append(core.TextBlock(text=part.text))
        carried = [item for pair in _carried(part) for item in pair if item is not None]
        blocks += [exchange.block(next(media)) for _ in carried]
        if part.function_response is not None:
            result = exchange.canonical(part.function_response.response).decode()
            said.append(core.ToolMessage(content=result, tool_call_id=part.function_response.id or ""))
    return [core.UserMessage(content=tuple(blocks)), *said] if blocks else said


def spoken(asked: Asked, played: Script, fail: Failure) -> Spoken:
    """See `Wire`."""
    failed = _failed(asked, played, fail)
    if not asked.stream:
        return Spoken(failed=failed, whole=msgspec.json.encode(_whole(asked, played)))
    return Spoken(
        failed=failed,
        events=tuple(SSE % msgspec.json.encode(chunk) for chunk in _chunks(asked, played)),
        error_event=SSE % error(503, "simulated failure"),
        garbage=b'data: {"candidates": [{"content": {"par\n\n',
    )


def _failed(asked: Asked, played: Script, fail: Failure) -> tuple[int, bytes]:
    """A prompt that is too long is an argument that is not valid; one that is blocked is answered, with no candidate:
    https://ai.google.dev/api/generate-content#PromptFeedback.
    """
    match fail.reason:
        case "failure":
            return fail.status, error(fail.status, "simulated failure")
        case "context_length":
            reason = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
            return 400, error(400, reason)
    counted = {"promptTokenCount": played.prompt_tokens, "totalTokenCount": played.prompt_tokens}
    blocked = msgspec.json.encode(
        {
            "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
            "usageMetadata": counted,
            "modelVersion": asked.model,
            "responseId": asked.id,
        }
    )
    return 200, SSE % blocked if asked.stream else blocked


def error(status: int, reason: str, code: str | None = None) -> bytes:
    """`{"error": {"code", "message", "status", "details"?}}`: https://cloud.google.com/apis/design/errors."""
    told: core.Json = {"code": status, "message": reason, "status": STATUSES.get(status, "UNKNOWN")}
    if code is not None:
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        told["details"] = [{"@type": kind, "reason": code, "domain": "googleapis.com"}]
    return msgspec.json.encode({"error": told})


def _whole(asked: Asked, played: Script) -> core.Json:
    parts: list[core.Json] = []
    if played.reasoning and asked.thoughts:
        parts.append({"text": "".join(played.reasoning), "thought": True})
    if played.tool is not None:
        parts.append(_call(asked, played, *played.tool))
    else:
        parts.append({"text": "".join(played.words), **_signature(asked, played)})
    return _chunk(asked, played, parts, len(played.words), last=True)


def _chunks(asked: Asked, played: Script) -> Iterator[core.Json]:
    """A chunk a word; the last one has the finish reason, and the signature of what was said in text."""
    for word in played.reasoning if asked.thoughts else ():
        yield _chunk(asked, played, [{"text": word, "thought": True}], 0)
    for count, word in enumerate(played.words, 1):
        yield _chunk(asked, played, [{"text": word}], count)
    if played.tool is not None:
        yield _chunk(asked, played, [_call(asked, played, *played.tool)], 0)
    end = {"text": "", **({} if played.tool else _signature(asked, played))}
    yield _chunk(asked, played, [end], len(played.words), last=True)


def _chunk(asked: Asked, played: Script, parts: list[core.Json], said: int, *, last: bool = False) -> core.Json:
    candidate: core.Json = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if last:
        candidate["finishReason"] = FINISH_REASONS[played.finish_reason]
    counted = simulation.usage(played)
    thoughts = len(played.reasoning)
    candidates = counted.completion_tokens - thoughts if last else said
    usage: core.Json = {
        "promptTokenCount": counted.prompt_tokens,
        "candidatesTokenCount": candidates,
        "totalTokenCount": counted.prompt_tokens + candidates + thoughts,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": counted.prompt_tokens}],
        **({"thoughtsTokenCount": thoughts} if thoughts else {}),
    }
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": asked.model, "responseId": asked.id}


def _call(asked: Asked, played: Script, name: str, arguments: str) -> core.Json:
    args = msgspec.json.decode(arguments)
    has_id = asked.signed and asked.identified
    call: core.Json = {"name": name, "args": args, **({"id": f"call_{asked.id}"} if has_id else {})}
    signed = gemini_rules.signature_of(FunctionCall(name=name, args=args))
    return {"functionCall": call, **({"thoughtSignature": signed} if asked.signed or played.reasoning else {})}


def _signature(asked: Asked, played: Script) -> core.Json:
    return {"thoughtSignature": signature(gemini_rules.SPOKEN)} if asked.signed or played.reasoning else {}
