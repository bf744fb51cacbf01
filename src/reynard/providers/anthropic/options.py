"""The parameters of a request in Anthropic's words, and which of them it has no word for.

A value that asks for nothing is no parameter: it is neither refused nor sent. Left out because they are hints that
Anthropic has no word for, and that change nothing of what is asked: the `name` of a message, the `detail` of an image,
the annotations of an earlier answer, the name of a response format.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from reynard.core.channels import Channel
from reynard.core.generation import Generation
from reynard.core.messages import AssistantMessage, FunctionTool, Json, SchemaFormat, TextFormat, Tool
from reynard.providers.anthropic.messages import refuses
from reynard.providers.anthropic.schemas import enforced
from reynard.providers.anthropic.thinking import EFFORTS, LEAST_TOP_P, Plan, plan

REASONING: Final = ("reasoning_effort", "reasoning", "reasoning_budget")
CARRIED: Final = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop",
        *REASONING,
        "response_format",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "service_tier",
        "user",
        "safety_identifier",
    }
)
"""What this dialect has a word for; some values of it are refused."""

NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "temperature": (1,),
    "top_p": (1,),
    "top_k": (0,),
    "n": (1,),
    "seed": (),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
    "functions": (),
    "function_call": (),
    "modalities": (("text",),),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "metadata": ({},),
    "store": (False,),
    "prompt_cache_key": (),
    "prompt_cache_retention": ("in_memory", "in-memory"),
}
"""The values that ask for nothing."""

UNKNOWN: Final = tuple(field for field in NEUTRAL if field not in CARRIED)
"""What this dialect has no word for."""

TIERS: Final = {"auto": "auto", "default": "standard_only"}
CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}
SAMPLING: Final = ("temperature", "top_p", "top_k")

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


def unsupported(generation: Generation, channel: Channel) -> str | None:
    """The first parameter that the channel has no word for."""
    lacking = (*channel.quirks.unsupported, *channel.carried(generation.model).unsupported)
    if channel.quirks.reasoning == "none":
        lacking = (*lacking, *REASONING)
    for field in (*UNKNOWN, *lacking):
        if said(generation, field) is not None:
            return field
    for field, is_refused in _REFUSED.items():
        value = said(generation, field)
        if value is not None and is_refused(value, generation):
            return field
    return _beside_thinking(generation, channel)


def said(generation: Generation, field: str) -> Any:
    """The value of a parameter; None if it asks for nothing."""
    value = getattr(generation, field, None)
    return None if value is None or value in NEUTRAL.get(field, ()) else value


def options(generation: Generation, planned: Plan) -> Json:
    """Everything but the model and the turns; in the order of the API's reference."""
    found: dict[str, Any] = {
        "max_tokens": planned.max_tokens,
        "tools": [_tool(tool) for tool in generation.tools or ()],
        "tool_choice": _tool_choice(generation),
        "thinking": planned.thinking,
        "output_config": _output(generation, planned),
        "stop_sequences": _stops(generation),
        "metadata": _user(generation),
        "service_tier": TIERS.get(generation.service_tier or ""),
        "stream": generation.stream or None,
    }
    found |= {field: said(generation, field) for field in SAMPLING}
    return {field: value for field, value in found.items() if value not in (None, [], {})}


def _refuses_tools(tools: tuple[Tool, ...], _: Generation) -> bool:
    """Free-form tools, and names that Anthropic does not take (it has no dots)."""
    return not all(isinstance(tool, FunctionTool) and _TOOL_NAME.fullmatch(tool.function.name) for tool in tools)


def _refuses_choice(choice: str | Json, _: Generation) -> bool:
    return choice not in CHOICES if isinstance(choice, str) else _chosen(choice) is None


def _refuses_format(wanted: Any, _: Generation) -> bool:
    """Any JSON at all is not to be had from Anthropic; only what fits a schema."""
    if isinstance(wanted, SchemaFormat):
        return not isinstance(wanted.json_schema.get("schema"), dict)
    return not isinstance(wanted, TextFormat)


def _refuses_stop(stop: str | tuple[str, ...], _: Generation) -> bool:
    return any(not text.strip() for text in ((stop,) if isinstance(stop, str) else stop))


_REFUSED: Final[dict[str, Callable[[Any, Generation], bool]]] = {
    "messages": lambda messages, _: refuses(messages),
    "temperature": lambda value, _: value > 1,
    "top_p": lambda _, generation: said(generation, "temperature") is not None,  # since Claude 4.5 not both
    "stop": _refuses_stop,
    "reasoning_effort": lambda effort, _: effort != "none" and effort not in EFFORTS,
    "response_format": _refuses_format,
    "tools": _refuses_tools,
    "tool_choice": _refuses_choice,
    "stream_options": lambda asked, _: asked.include_obfuscation is True,
    "service_tier": lambda tier, _: tier not in TIERS,
}


def _beside_thinking(generation: Generation, channel: Channel) -> str | None:
    """What Anthropic refuses of a request that asks to think first, or the wish itself, where an answer has begun."""
    if not any(getattr(generation, field) is not None for field in REASONING):
        return None
    if not plan(generation, channel).thinks:
        return None
    for field in ("temperature", "top_k"):
        if said(generation, field) is not None:
            return field
    if generation.top_p is not None and generation.top_p < LEAST_TOP_P:
        return "top_p"
    if generation.tool_choice not in (None, "auto", "none"):
        return "tool_choice"
    if isinstance(generation.messages[-1], AssistantMessage):
        return next(field for field in REASONING if getattr(generation, field) is not None)
    return None


def _tool(tool: Tool) -> Json:
    """A tool with a schema; `unsupported` lets no other pass."""
    if not isinstance(tool, FunctionTool):
        raise TypeError("only a function has a form here")
    function = tool.function
    schema: Json = {"type": "object", **(function.parameters or {"properties": {}})}
    found: Json = {
        "name": function.name,
        "description": function.description,
        "input_schema": enforced(schema) if function.strict else schema,
        "strict": function.strict or None,
        "cache_control": tool.cache_control,
    }
    return {field: value for field, value in found.items() if value is not None}


def _tool_choice(generation: Generation) -> Json | None:
    """Nothing where there is nothing to choose from, or to say."""
    one = generation.parallel_tool_calls is False
    choice = generation.tool_choice
    if not generation.tools and choice in (None, "auto", "none"):
        return None
    if choice is None:
        return {"type": "auto", "disable_parallel_tool_use": True} if one else None
    found: Json = {"type": CHOICES[choice]} if isinstance(choice, str) else {"type": "tool", "name": _chosen(choice)}
    return {**found, "disable_parallel_tool_use": True} if one and found["type"] != "none" else found


def _chosen(choice: Json) -> str | None:
    """The function that `{"type": "function", "function": {"name"}}` names."""
    function = choice.get("function") if choice.get("type") == "function" else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None


def _output(generation: Generation, planned: Plan) -> Json:
    found: Json = {}
    if planned.effort is not None:
        found["effort"] = planned.effort
    if isinstance(generation.response_format, SchemaFormat):
        found["format"] = {"type": "json_schema", "schema": enforced(_schema(generation.response_format.json_schema))}
    return found


def _schema(wanted: Json) -> Json:
    """The schema; what it is for is said inside of it."""
    schema: Json = wanted["schema"]
    purpose = wanted.get("description")
    return schema if not isinstance(purpose, str) or "description" in schema else {**schema, "description": purpose}


def _stops(generation: Generation) -> list[str]:
    stop = generation.stop
    return [stop] if isinstance(stop, str) else list(stop or ())


def _user(generation: Generation) -> Json | None:
    user = generation.safety_identifier or generation.user
    return {"user_id": user} if user else None
