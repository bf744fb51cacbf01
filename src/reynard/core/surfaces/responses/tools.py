"""The tools of a request, and which of them to use: flat in the Responses API, nested in a chat."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from reynard.core.decoding import LONGEST_NAME, decode_at
from reynard.core.errors import InvalidParam, UnsupportedOptions
from reynard.core.messages import CustomTool, Function, FunctionTool, Json, Tool

ToolName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.-]{1,128}$")]


class _Tool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A tool; what is null here is OpenAI's own business of when and where it runs."""

    type: str = msgspec.field(default_factory=str)
    name: ToolName
    description: str | None = None
    allowed_callers: None = None
    defer_loading: None = None
    async_: None = msgspec.field(default=None, name="async")


class FlatFunction(_Tool, frozen=True, kw_only=True):
    """A function with a schema."""

    parameters: Json | None = None
    strict: bool | None = None
    output_schema: None = None


class TextInput(Struct, frozen=True, kw_only=True, tag_field="type", tag="text", forbid_unknown_fields=True):
    """Any text."""


class GrammarInput(Struct, frozen=True, kw_only=True, tag_field="type", tag="grammar", forbid_unknown_fields=True):
    """Text that a grammar allows."""

    definition: str
    syntax: Literal["lark", "regex"]


class FlatCustom(_Tool, frozen=True, kw_only=True):
    """A tool with free-form input."""

    format: TextInput | GrammarInput | None = None


class NamedTool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool by its name."""

    type: Literal["function", "custom"]
    name: str


class AllowedTools(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Some of the tools."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: tuple[NamedTool, ...]


class _Sign(Struct):
    type: str


_signs = msgspec.json.Decoder(_Sign)
_flat: Final[dict[str, "msgspec.json.Decoder[Any]"]] = {
    "function": msgspec.json.Decoder(FlatFunction),
    "custom": msgspec.json.Decoder(FlatCustom),
}
WORDS: Final = ("auto", "none", "required")


def flat(said: Sequence[Raw] | None) -> list[FlatFunction | FlatCustom]:
    """The tools, read. Raises `UnsupportedOptions` for those that run at OpenAI, `InvalidParam`."""
    return [_read(raw, f"tools[{index}]") for index, raw in enumerate(said or ())]


def _read(raw: Raw, path: str) -> FlatFunction | FlatCustom:
    kind = decode_at(_signs, raw, path).type
    decoder = _flat.get(kind)
    if decoder is None:
        raise UnsupportedOptions(
            f"`{path}` is of type `{kind[:LONGEST_NAME]}`, which runs at OpenAI. Tools here are `function` and "
            "`custom`: the client runs them.",
            param=f"{path}.type",
        )
    tool: FlatFunction | FlatCustom = decode_at(decoder, raw, path)
    return tool


def nested(tool: FlatFunction | FlatCustom) -> Tool:
    """A tool as a chat has it."""
    match tool:
        case FlatFunction():
            function = Function(
                name=tool.name, description=tool.description, parameters=tool.parameters, strict=tool.strict
            )
            return FunctionTool(function=function)
        case FlatCustom():
            custom: Json = {"name": tool.name}
            if tool.description is not None:
                custom["description"] = tool.description
            if tool.format is not None:
                custom["format"] = _format(tool.format)
            return CustomTool(custom=custom)


def _format(asked: TextInput | GrammarInput) -> Json:
    match asked:
        case TextInput():
            return {"type": "text"}
        case GrammarInput():
            return {"type": "grammar", "grammar": {"definition": asked.definition, "syntax": asked.syntax}}


def choice(said: str | Json | None) -> str | Json | None:
    """`tool_choice` as a chat has it. Raises `InvalidParam`, `UnsupportedOptions`."""
    if said is None or said in WORDS:
        return said
    if isinstance(said, str):
        raise InvalidParam(f"`tool_choice` is one of {', '.join(WORDS)}, or an object.", param="tool_choice")
    kind = said.get("type")
    match kind:
        case "function" | "custom":
            return _by_name(_converted(said, NamedTool))
        case "allowed_tools":
            allowed = _converted(said, AllowedTools)
            named = [_by_name(tool) for tool in allowed.tools]
            return {"type": "allowed_tools", "allowed_tools": {"mode": allowed.mode, "tools": named}}
        case _:
            raise UnsupportedOptions(
                f"`tool_choice` is of type `{str(kind)[:LONGEST_NAME]}`; it takes `function`, `custom` and "
                "`allowed_tools`.",
                param="tool_choice.type",
            )


def _by_name(tool: NamedTool) -> Json:
    return {"type": tool.type, tool.type: {"name": tool.name}}


def _converted(said: Json, kind: Any) -> Any:
    return decode_at(msgspec.json.Decoder(kind), Raw(msgspec.json.encode(said)), "tool_choice")
