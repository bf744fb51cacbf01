"""The body of `POST /v1/responses`, parsed to a Generation.

Left out, because nothing in an answer depends on it: `store` (a task is always kept), `metadata`, `user`,
`safety_identifier`, `prompt_cache_key`, `prompt_cache_retention`, `client_metadata`, `reasoning.summary` (there is
always one where the provider shows what was thought), `stream_options.include_obfuscation`, and what only repeats a
default: `truncation: disabled`, `tool_choice: auto`, `parallel_tool_calls: true`, `service_tier: auto | default`.
Agents send most of these with every call, and a channel of another dialect would have to refuse them.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from reynard.core.decoding import decode
from reynard.core.errors import InvalidParam, ReynardError, UnsupportedOptions
from reynard.core.forms import check_count
from reynard.core.generation import MAX_JSON_DEPTH, Generation, too_deep
from reynard.core.messages import (
    JsonFormat,
    Message,
    Name,
    ResponseFormat,
    SchemaFormat,
    StreamOptions,
    SystemMessage,
)
from reynard.core.surfaces.responses import items, tools
from reynard.core.surfaces.responses.answer import Repeated
from reynard.core.surfaces.responses.items import Place

Json = dict[str, Any]
SummaryWord = Literal["auto", "concise", "detailed", "none"]
ENCRYPTED: Final = "reasoning.encrypted_content"
LOGPROBS: Final = "message.output_text.logprobs"


class Reasoning(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to think. A summary is given wherever the provider shows one, asked for or not."""

    effort: Annotated[str, Meta(min_length=1, max_length=32)] | None = None
    summary: SummaryWord | None = None
    generate_summary: SummaryWord | None = None
    context: Literal["auto"] | None = None
    mode: Literal["standard"] | None = None


class _Format(Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True, omit_defaults=True):
    """A format of the text, told by its `type`."""


class PlainText(_Format, tag="text", frozen=True, kw_only=True):
    """Any text."""


class AnyJson(_Format, tag="json_object", frozen=True, kw_only=True):
    """Any JSON object."""


class FittingJson(_Format, tag="json_schema", frozen=True, kw_only=True):
    """JSON that fits a schema."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    schema: Json
    description: str | None = None
    strict: bool | None = None


class Text(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the text is to be like."""

    format: PlainText | AnyJson | FittingJson | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Streaming(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`include_obfuscation` is taken; nothing is obfuscated."""

    include_obfuscation: bool | None = None


class ResponseForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body. `input` is a text, or items (https://platform.openai.com/docs/api-reference/responses/create).

    The fields of type Any need what this gateway does not have: state between calls, or tools that run at OpenAI.
    """

    model: Name
    input: str | tuple[Raw, ...]
    instructions: str | None = None
    tools: tuple[Raw, ...] | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    include: tuple[str, ...] | None = None
    service_tier: str | None = None
    background: bool | None = None
    stream: bool | None = None
    stream_options: Streaming | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    client_metadata: Json | None = None
    previous_response_id: Any = None
    conversation: Any = None
    prompt: Any = None
    max_tool_calls: Any = None
    context_management: Any = None
    moderation: Any = None
    prompt_cache_options: Any = None
    access_programs: Any = None
    image: Any = None


NOT_KEPT: Final = "the input of a call is not kept. Send the whole conversation as `input`"
REFUSED: Final[dict[str, str]] = {
    "previous_response_id": NOT_KEPT,
    "conversation": NOT_KEPT,
    "prompt": "prompts are not kept here. Send what it says as `instructions` and `input`",
    "max_tool_calls": "it counts calls of tools that run at OpenAI",
    "context_management": "no provider is asked to shorten the conversation",
    "moderation": "the providers do not have it in common",
    "prompt_cache_options": "the providers do not have it in common",
    "access_programs": "it is OpenAI's own",
    "image": "it is OpenAI's own",
}
"""Fields of the API that are refused by name, and why; null is as good as not said."""

INCLUDED: Final = frozenset({ENCRYPTED, LOGPROBS})
STANDARD_TIERS: Final = frozenset({"auto", "default"})
PLACE_OF: Final = {"messages": "input", "tools": "tools", "response_format": "text"}

NAMES: Final = {
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
    "logprobs": "include",
}
"""Fields of a Generation that have another name here."""

E = TypeVar("E", bound=ReynardError)

PARTS: Final = {
    ".file": "",
    ".file.file_data": ".file_data",
    ".file.file_id": ".file_id",
    ".file.filename": ".filename",
    ".file_url.url": ".file_url",
    ".image_url.url": ".image_url",
}
"""Fields of a content block, as a part of content has them."""

_FIELD = re.compile(rf"`({'|'.join(NAMES)})([^`\w][^`]*)?`")
_PLACE = re.compile(r"\[(\d{1,7})\](\.content)?(\[\d+\])?(.*)", re.DOTALL)
_forms = msgspec.json.Decoder(ResponseForm)


class Asked(Struct, frozen=True):
    """A parsed body. `streams`: the caller wants events. `known`: what the Response object repeats of the request.
    `places`: where the body has the messages of the generation, in their order."""

    generation: Generation
    background: bool
    streams: bool
    known: Repeated
    places: tuple[Place, ...]


def parse(body: bytes) -> Asked:
    """What `body` asks for. A generation in the background is always streamed, for its chunks are to be read later.

    Raises `MalformedBody` (not JSON), `InvalidParam`, `UnsupportedOptions` (naming the field).
    """
    check_count(body)
    form = decode(_forms, body)
    _refuse(form)
    flat = tools.flat(form.tools)
    turns = _turns(form)
    messages = tuple(message for message, _ in turns)
    generation = _generation(form, messages, tuple(tools.nested(tool) for tool in flat) or None)
    for field, place in PLACE_OF.items():
        if too_deep(getattr(generation, field)):
            raise _too_deep(place)
    places = tuple(place for _, place in turns)
    return Asked(generation, form.background is True, form.stream is True, _known(form, flat), places)


def in_words(error: E, places: Sequence[Place] = ()) -> E:
    """`error`, with the fields of a Generation under the names that they have in this API, and where it has them."""

    def renamed(found: re.Match[str]) -> str:
        name, rest = found.group(1), found.group(2) or ""
        return f"`{_placed(rest, places) if name == 'messages' else NAMES[name] + rest}`"

    error.message = _FIELD.sub(renamed, error.message)
    if error.param is not None:
        error.param = _FIELD.sub(renamed, f"`{error.param}`").strip("`")
    return error


def _placed(path: str, places: Sequence[Place]) -> str:
    """What is at `path` in `messages`. A message of an assistant may be several items, of which the first is told."""
    found = _PLACE.fullmatch(path)
    if found is None or int(found[1]) >= len(places):
        return NAMES["messages"]
    place = places[int(found[1])]
    if place.content is None or found[2] is None:
        return place.item
    return f"{place.content}{found[3] or ''}{PARTS.get(found[4], found[4])}"


def _refuse(form: ResponseForm) -> None:
    """What the types do not say."""
    for field, reason in REFUSED.items():
        if getattr(form, field) is not None:
            raise UnsupportedOptions(f"`{field}` is not taken: {reason}.", param=field)
    if form.truncation == "auto":
        raise UnsupportedOptions("`truncation: auto` is not taken: nothing is cut from the input.", param="truncation")
    for index, wanted in enumerate(form.include or ()):
        if wanted not in INCLUDED:
            raise UnsupportedOptions(
                f"`include` takes {' and '.join(sorted(INCLUDED))} alone.", param=f"include[{index}]"
            )
    if form.stream_options is not None and not form.stream:
        raise InvalidParam("`stream_options` needs `stream: true`.", param="stream_options")
    if too_deep(form.tool_choice):
        raise _too_deep("tool_choice")


def _generation(form: ResponseForm, messages: tuple[Message, ...], own: tuple[Any, ...] | None) -> Generation:
    streams = form.stream is True or form.background is True
    choice = tools.choice(form.tool_choice)
    tier = form.service_tier
    return Generation(
        model=form.model,
        messages=messages,
        stream=streams,
        stream_options=StreamOptions(include_usage=True) if streams else None,
        max_completion_tokens=form.max_output_tokens,
        temperature=form.temperature,
        top_p=form.top_p,
        logprobs=True if form.top_logprobs or LOGPROBS in (form.include or ()) else None,
        top_logprobs=form.top_logprobs or None,
        reasoning_effort=None if form.reasoning is None else form.reasoning.effort,
        verbosity=None if form.text is None else form.text.verbosity,
        response_format=_format(form.text),
        tools=own,
        tool_choice=None if choice == "auto" else choice,
        parallel_tool_calls=False if own and form.parallel_tool_calls is False else None,
        service_tier=None if tier in STANDARD_TIERS else tier,
    )


def _turns(form: ResponseForm) -> list[tuple[Message, Place]]:
    found: list[tuple[Message, Place]] = []
    if form.instructions:
        found.append((SystemMessage(content=form.instructions), Place("instructions")))
    found += items.messages(form.input)
    if not found:
        raise InvalidParam("`input` is empty.", param="input")
    return found


def _format(text: Text | None) -> ResponseFormat | None:
    match None if text is None else text.format:
        case AnyJson():
            return JsonFormat()
        case FittingJson() as fitting:
            said = msgspec.structs.asdict(fitting)
            return SchemaFormat(json_schema={name: value for name, value in said.items() if value is not None})
        case _:
            return None


def _known(form: ResponseForm, flat: list[tools.FlatFunction | tools.FlatCustom]) -> Repeated:
    """The request, as far as a Response object repeats it."""
    reasoning = form.reasoning or Reasoning()
    text = form.text or Text()
    shown: Json = {"format": msgspec.to_builtins(text.format or PlainText())}
    if text.verbosity is not None:
        shown["verbosity"] = text.verbosity
    return Repeated(
        instructions=form.instructions,
        max_output_tokens=form.max_output_tokens,
        metadata=form.metadata or {},
        parallel_tool_calls=form.parallel_tool_calls is not False,
        prompt_cache_key=form.prompt_cache_key,
        reasoning={"effort": reasoning.effort, "summary": _summary(reasoning)},
        safety_identifier=form.safety_identifier,
        store=form.store is not False,
        temperature=form.temperature,
        text=shown,
        tool_choice=form.tool_choice or "auto",
        tools=[msgspec.to_builtins(tool) for tool in flat],
        top_logprobs=form.top_logprobs,
        top_p=form.top_p,
        user=form.user,
    )


def _summary(reasoning: Reasoning) -> str | None:
    asked = reasoning.summary or reasoning.generate_summary
    return None if asked == "none" else asked


def _too_deep(field: str) -> InvalidParam:
    return InvalidParam(f"`{field}` nests deeper than {MAX_JSON_DEPTH} levels.", param=field)
