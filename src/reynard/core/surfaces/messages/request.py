"""`POST /v1/messages`: the body, as a Generation."""

import hashlib
import re
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from reynard.core.decoding import decode
from reynard.core.errors import InvalidParam, ReynardError, UnsupportedOptions
from reynard.core.forms import check_count, check_depth
from reynard.core.generation import Generation
from reynard.core.messages import (
    AssistantMessage,
    Function,
    FunctionTool,
    Json,
    Message,
    SchemaFormat,
    StreamOptions,
    TextBlock,
)
from reynard.core.surfaces.messages import turns
from reynard.core.surfaces.messages.wire import (
    OPEN_FIELDS,
    AnyChoice,
    AutoChoice,
    CountRequest,
    MessagesRequest,
    NamedChoice,
    ThinkingDisabled,
    ThinkingEnabled,
    Tool,
)

NAMES: Final[dict[str, str]] = {
    "reasoning": "thinking",
    "reasoning_budget": "thinking.budget_tokens",
    "reasoning_effort": "output_config.effort",
    "response_format": "output_config.format",
    "stop": "stop_sequences",
    "user": "metadata.user_id",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
}
"""Parameters of a Generation that have another name here."""

HINTS: Final = frozenset({"user", "service_tier", "reasoning", "reasoning_effort", "reasoning_budget"})
"""Parameters that agents send with every request, whatever the model. Thinking is a leave to think, and the budget its
upper bound; a model that never thinks keeps to both. A channel that has no word for one is asked without it."""

TIER_OF: Final = {"auto": None, "standard_only": "default", None: None}
LONGEST_USER: Final = 64  # characters that OpenAI takes; agents put whole sessions into theirs
CLEAR_THINKING: Final = "clear_thinking_20251015"

MOST_BLOCKS: Final = 100_000  # turns and content blocks, those inside of results and documents too

_PATH = re.compile(r"messages\[\d+\]\.content\[\d+\](?:\.(?:image_url(?:\.url)?|file_url\.url|file\.file_data|file))?")
_PLACE = re.compile(r"messages\[\d+\]\.content\[\d+\]")
_NAMED = re.compile(r"`(\w+)`")


class Asked(Struct, frozen=True):
    """What is asked. `places`: where the body has a content block, by its path in the Generation. `eager`: names of
    the tools whose arguments are to be streamed as they are written."""

    generation: Generation
    places: dict[str, str]
    eager: frozenset[str] = frozenset()


class _Kind(Struct):
    """A tool, as far as tells whether it is the client's own."""

    type: Any = None


class _Edit(Struct):
    """One edit of `context_management`."""

    type: Any = None
    keep: Any = None


class _ContextManagement(Struct):
    """Agents say by it that all thoughts are to be kept, which is how it is here."""

    edits: tuple[_Edit, ...] = ()


NOTHING: Final = Raw(b"null")


class _Signs(Struct):
    """What has no counterpart here; the rest of the body is skipped over."""

    billing_policy: Raw = NOTHING
    compaction: Raw = NOTHING
    container: Raw = NOTHING
    diagnostics: Raw = NOTHING
    fallback_credit_token: Raw = NOTHING
    fallbacks: Raw = NOTHING
    inference_geo: Raw = NOTHING
    mcp_servers: Raw = NOTHING
    thread: Raw = NOTHING
    user_profile_id: Raw = NOTHING
    context_management: _ContextManagement | None = None
    speed: Any = None
    tools: tuple[_Kind, ...] | None = None


EMPTY: Final = frozenset({b"null", b"[]"})
REFUSED: Final = tuple(
    name for name in _Signs.__struct_fields__ if name not in ("context_management", "speed", "tools")
)

_signs = msgspec.json.Decoder(_Signs)
_requests = msgspec.json.Decoder(MessagesRequest)
_counts = msgspec.json.Decoder(CountRequest)


def parse(body: bytes) -> Asked:
    """The body of `POST /v1/messages`.

    Raises `MalformedBody` (not JSON), `InvalidParam` (naming the field), `UnsupportedOptions` (what no other API has).
    """
    _check_body(body)
    return _asked(decode(_requests, body))


def parse_count(body: bytes) -> Asked:
    """The body of `POST /v1/messages/count_tokens`: the same, and `max_tokens` may be left out. Raises as `parse`."""
    _check_body(body)
    return _asked(decode(_counts, body))


def lighter(generation: Generation, param: str | None) -> Generation | None:
    """`generation` without a parameter that is only a hint, or None if it is more than that."""
    return replace(generation, **{param: None}) if param in HINTS and param is not None else None


def reworded(error: ReynardError, places: dict[str, str]) -> ReynardError:
    """`error`, with the names and paths of the client's own body in it."""
    error.message = _NAMED.sub(lambda found: f"`{named(found[1])}`", _relocated(error.message, places))
    if error.param is not None:
        error.param = named(_relocated(error.param, places))
    return error


def named(param: str) -> str:
    """A parameter of a Generation, by the name that it has here."""
    return NAMES.get(param, param)


def _relocated(text: str, places: dict[str, str]) -> str:
    def place(found: re.Match[str]) -> str:
        path = _PLACE.match(found[0])
        return places.get(path[0] if path else "", found[0])

    return _PATH.sub(place, text)


def _check_body(body: bytes) -> None:
    _check_refused(decode(_signs, body))
    check_count(body)


def _check_refused(signs: _Signs) -> None:
    for name in REFUSED:
        if bytes(getattr(signs, name)) not in EMPTY:
            raise _unsupported(name)
    for edit in signs.context_management.edits if signs.context_management is not None else ():
        if edit.type != CLEAR_THINKING or edit.keep != "all":
            raise _unsupported("context_management")
    if signs.speed not in (None, "standard"):
        raise _unsupported("speed")
    for index, tool in enumerate(signs.tools or ()):
        if tool.type not in (None, "custom"):
            raise UnsupportedOptions(
                f"`tools[{index}]` is a tool that only its own provider runs. Use tools with an `input_schema`.",
                param=f"tools[{index}].type",
            )


def _check_blocks(request: MessagesRequest) -> None:
    """Each block takes its time to be carried over, and the others wait meanwhile."""
    count = 0 if request.system is None or isinstance(request.system, str) else len(request.system)
    for said in request.messages:
        count += 1 + turns.blocks_in(said)
    if count > MOST_BLOCKS:
        raise InvalidParam(
            f"`messages` has too many turns and content blocks: at most {MOST_BLOCKS}.", param="messages"
        )


def _unsupported(param: str) -> UnsupportedOptions:
    return UnsupportedOptions(f"`{param}` has no counterpart in this gateway. Remove it.", param=param)


def _asked(request: MessagesRequest) -> Asked:
    _check_blocks(request)
    check_depth(request, OPEN_FIELDS)
    messages: list[Message] = []
    places: dict[str, str] = {}
    if request.system:
        messages.append(turns.system(request.system))
    for index, said in enumerate(request.messages):
        for message, found in turns.turn(said, f"messages[{index}]"):
            for position, place in enumerate(found):
                places[f"messages[{len(messages)}].content[{position}]"] = place
            messages.append(message)
    if request.cache_control is not None:
        messages[-1] = _marked(messages[-1], request.cache_control)
    eager = frozenset(tool.name for tool in request.tools or () if tool.eager_input_streaming)
    return Asked(_generation(request, tuple(messages)), places, eager)


def _generation(request: MessagesRequest, messages: tuple[Message, ...]) -> Generation:
    output, choice = request.output_config, request.tool_choice
    if choice is not None and not request.tools:
        raise InvalidParam("`tool_choice` needs `tools`.", param="tool_choice")
    parallel = not getattr(choice, "disable_parallel_tool_use", False)
    fields: dict[str, Any] = {
        "reasoning_effort": output.effort if output is not None else None,
        **_thinking(request),
    }
    return Generation(
        model=request.model,
        messages=messages,
        stream=request.stream,
        stream_options=StreamOptions(include_usage=True) if request.stream else None,
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        stop=request.stop_sequences or None,
        response_format=_format(output.format.schema) if output is not None and output.format is not None else None,
        tools=tuple(_tool(tool, f"tools[{index}]") for index, tool in enumerate(request.tools or ())) or None,
        tool_choice=_choice(choice),
        parallel_tool_calls=None if parallel else False,
        user=_user(request.metadata.user_id) if request.metadata is not None else None,
        service_tier=TIER_OF[request.service_tier],
        **fields,
    )


def _thinking(request: MessagesRequest) -> dict[str, Any]:
    """A chat has one word for both: who is not to think makes no effort at it."""
    match request.thinking:
        case None:
            return {}
        case ThinkingDisabled():
            return {"reasoning": False, "reasoning_effort": None}
        case ThinkingEnabled(budget_tokens=budget):
            return {"reasoning": True, "reasoning_budget": budget}
        case _:
            return {"reasoning": True}


def _tool(tool: Tool, at: str) -> FunctionTool:
    refused = {
        "defer_loading": bool(tool.defer_loading),
        "input_examples": bool(tool.input_examples),
        "allowed_callers": tool.allowed_callers not in (None, (), ("direct",)),
    }
    for name, is_refused in refused.items():
        if is_refused:
            raise _unsupported(f"{at}.{name}")
    function = Function(name=tool.name, description=tool.description, parameters=tool.input_schema, strict=tool.strict)
    return FunctionTool(function=function, cache_control=tool.cache_control)


def _choice(choice: Any) -> str | Json | None:
    match choice:
        case None:
            return None
        case AutoChoice():
            return "auto"
        case AnyChoice():
            return "required"
        case NamedChoice(name=name):
            return {"type": "function", "function": {"name": name}}
        case _:
            return "none"


def _format(schema: Json) -> SchemaFormat:
    return SchemaFormat(json_schema={"name": "answer", "schema": schema, "strict": True})


def _user(user_id: str | None) -> str | None:
    """Who calls; an id too long for other providers is told by its digest, which is as much of an identity."""
    if user_id is None or len(user_id) <= LONGEST_USER:
        return user_id
    return hashlib.sha256(user_id.encode()).hexdigest()


def _marked(message: Message, cache_control: Json) -> Message:
    """The last block of the last turn, up to where the prompt may then be cached."""
    content: Any = message.content
    if isinstance(message, AssistantMessage) or not content:
        return message
    blocks = (TextBlock(text=content),) if isinstance(content, str) else tuple(content)
    return replace(message, content=(*blocks[:-1], turns.marked(blocks[-1], cache_control)))
