"""Parameters in Google's words: `generationConfig`, `tools`, `toolConfig`, and what there is no word for.

Source: https://ai.google.dev/api/generate-content#v1beta.GenerationConfig.
"""

from collections.abc import Callable, Container
from typing import Any, Final

from reynard.core.channels import Carried
from reynard.core.generation import Generation
from reynard.core.messages import (
    AudioBlock,
    CustomTool,
    FunctionTool,
    ImageBlock,
    InputAudioBlock,
    JsonFormat,
    SchemaFormat,
    TextBlock,
)
from reynard.providers.gemini.contents import named
from reynard.providers.gemini.thinking import EFFORTS, room, thinking

Json = dict[str, Any]
Calling = tuple[str, list[str]]

TAKEN: Final[dict[str, Container[Any]]] = {
    "logit_bias": ({},),
    "verbosity": (),
    "parallel_tool_calls": (True,),
    "functions": (),
    "function_call": (),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "user": (),
    "metadata": ({},),
    "store": (False,),
    "service_tier": ("auto", "default", "flex", "priority"),
    "safety_identifier": (),
    "prompt_cache_key": (),
    "prompt_cache_retention": (),
    "reasoning_effort": EFFORTS,
}
"""Fields that Google has no word for, or not for every value; and the values that it can be given, or that ask for
nothing."""

MODALITIES: Final = {"text": "TEXT", "image": "IMAGE"}
MOST_STOPS: Final = 5
TIERS: Final = frozenset({"flex", "priority"})

PLAIN: Final = (
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("n", "candidateCount"),
    ("output_limit", "maxOutputTokens"),
    ("seed", "seed"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
)
"""Our name, and Google's."""


def refused(generation: Generation) -> str | None:
    """The first parameter that this dialect has no word for."""
    for field, taken in TAKEN.items():
        value = getattr(generation, field)
        if value is not None and value not in taken:
            return field
    return next((field for field, is_lost in LOST.items() if is_lost(generation)), None) or named(generation.messages)


def generation_config(generation: Generation, carried: Carried) -> Json:
    """`generationConfig`; empty if nothing was said."""
    config: Json = {google: value for ours, google in PLAIN if (value := getattr(generation, ours)) is not None}
    if generation.top_k == 0:  # no limit, which is no parameter
        del config["topK"]
    if generation.stop:
        config["stopSequences"] = [generation.stop] if isinstance(generation.stop, str) else generation.stop
    if generation.logprobs or generation.top_logprobs:
        config["responseLogprobs"] = True
    if generation.top_logprobs:
        config["logprobs"] = generation.top_logprobs
    config |= _format(generation)
    if generation.modalities and generation.modalities != ("text",):
        config["responseModalities"] = [MODALITIES[word] for word in generation.modalities]
    if (resolution := _resolution(generation)) is not None:
        config["mediaResolution"] = resolution
    if (amount := thinking(generation, carried)) is not None:
        config["thinkingConfig"] = amount
        if generation.output_limit is not None:
            config["maxOutputTokens"] = room(generation.output_limit, amount)
    return config


def tools(generation: Generation) -> Json:
    """`tools` and `toolConfig`. A function that is `strict` makes the mode VALIDATED: calls keep to their schema."""
    functions = [tool.function for tool in generation.tools or () if isinstance(tool, FunctionTool)]
    if not functions:
        return {}
    declarations: list[Json] = []
    for function in functions:
        declaration: Json = {"name": function.name}
        if function.description is not None:
            declaration["description"] = function.description
        if function.parameters is not None:
            declaration["parametersJsonSchema"] = function.parameters
        declarations.append(declaration)
    body: Json = {"tools": [{"functionDeclarations": declarations}]}
    mode, names = calling(generation.tool_choice or "auto") or ("AUTO", [])
    if mode == "AUTO" and (names or any(function.strict for function in functions)):
        mode = "VALIDATED"
    if mode != "AUTO" or generation.tool_choice is not None:
        config: Json = {"mode": mode, "allowedFunctionNames": names} if names else {"mode": mode}
        body["toolConfig"] = {"functionCallingConfig": config}
    return body


def calling(choice: str | Json) -> Calling | None:
    """A `tool_choice` as Google's mode and the functions that it is bound to; None if it cannot be said."""
    match choice:
        case "auto" | "none" | "required":
            return {"auto": "AUTO", "none": "NONE", "required": "ANY"}[choice], []
        case {"type": "function", "function": {"name": str(name)}}:
            return "ANY", [name]
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required" as mode, "tools": list(allowed)}}:
            names = [_name(tool) for tool in allowed]
            known = [name for name in names if name is not None]
            return ("ANY" if mode == "required" else "AUTO", known) if known and len(known) == len(names) else None
        case _:
            return None


def _name(tool: Any) -> str | None:
    match tool:
        case {"type": "function", "function": {"name": str(name)}}:
            return name
        case _:
            return None


def _format(generation: Generation) -> Json:
    """JSON, and its schema. The schema's `name` is OpenAI's own affair; its `description` goes into the schema."""
    match generation.response_format:
        case JsonFormat():
            return {"responseMimeType": "application/json"}
        case SchemaFormat(json_schema=said):
            schema, description = said.get("schema"), said.get("description")
            if isinstance(schema, dict) and isinstance(description, str):
                schema = {"description": description, **schema}
            config: Json = {"responseMimeType": "application/json"}
            return config if schema is None else {**config, "responseJsonSchema": schema}
        case _:
            return {}


def _resolution(generation: Generation) -> str | None:
    """One resolution for the whole request: high if any image says so, low if nothing but images does."""
    blocks = [
        block
        for message in generation.messages
        if isinstance(message.content, tuple)
        for block in message.content
        if not isinstance(block, TextBlock | AudioBlock | InputAudioBlock)
    ]
    details = {block.image_url.detail if isinstance(block, ImageBlock) else None for block in blocks}
    if "high" in details:
        return "MEDIA_RESOLUTION_HIGH"
    return "MEDIA_RESOLUTION_LOW" if details == {"low"} else None


def _is_lost_choice(generation: Generation) -> bool:
    choice = generation.tool_choice
    if choice is None:
        return False
    found = calling(choice)
    return found is None or (not generation.tools and found not in (("AUTO", []), ("NONE", [])))


def _is_lost_stop(generation: Generation) -> bool:
    stops = (generation.stop,) if isinstance(generation.stop, str) else generation.stop or ()
    return len(stops) > MOST_STOPS or "" in stops


def _is_lost_option(generation: Generation) -> bool:
    options = generation.stream_options
    return options is not None and options.include_obfuscation is True


LOST: Final[dict[str, Callable[[Generation], bool]]] = {
    "tools": lambda generation: any(isinstance(tool, CustomTool) for tool in generation.tools or ()),
    "tool_choice": _is_lost_choice,
    "stop": _is_lost_stop,
    "modalities": lambda generation: any(word not in MODALITIES for word in generation.modalities or ()),
    "stream_options": _is_lost_option,
}
"""What a table of values cannot tell."""
