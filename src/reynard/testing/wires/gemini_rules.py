"""What Google refuses though it has the right shape. Each rule says it in nearly Google's own words."""

import base64
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from reynard.testing.wires.exchange import canonical, require
from reynard.testing.wires.gemini_body import Body, Content, FunctionCall, GenerationConfig, Part, ThinkingConfig
from reynard.testing.wires.google_json import standard
from reynard.testing.wires.seals import signature

DUMMIES: Final = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
"""Signatures for calls that no Gemini made: https://ai.google.dev/gemini-api/docs/thought-signatures."""
TAKEN: Final = frozenset(
    standard(word) for plain in DUMMIES for word in (plain, base64.b64encode(plain.encode()).decode())
)
VERSION: Final = re.compile(r"(?:models/)?gemini-(\d+)(?:\.(\d+))?(?:-([a-z-]+[a-z]))?")
SPOKEN: Final = b"said"
"""Text may be cut and joined on its way; a signature on it proves only that it came from here."""
BUDGETS: Final = {
    "pro": (128, 32_768, False),
    "flash": (0, 24_576, True),
    "flash-lite": (512, 24_576, True),
}
"""Least and most tokens to think for, and whether it can be turned off, of Gemini 2.5
(https://ai.google.dev/gemini-api/docs/thinking)."""
DATA: Final = ("text", "inline_data", "file_data", "function_call", "function_response")


def generation_of(model: str) -> int:
    """`gemini-3-pro-preview` → 3; 0 for a name of another kind."""
    found = VERSION.match(model)
    return int(found[1]) if found else 0


def signature_of(call: FunctionCall) -> str:
    """The signature that this upstream puts on a call."""
    return signature(call.name.encode() + b"\0" + canonical(call.args or {}))


def check(body: Body, model: str) -> None:
    """Raises `Refused` unless all rules are kept."""
    for index, content in enumerate(body.contents):
        where = f"contents[{index}]"
        require(bool(content.parts), f"* GenerateContentRequest.{where}.parts: contents.parts must not be empty.")
        for position, part in enumerate(content.parts):
            _check_part(part, content.role, f"{where}.parts[{position}]")
    for part in body.system_instruction.parts if body.system_instruction else ():
        require(part.text is not None, "system_instruction: only text is supported")
    _check_calls(body.contents)
    _check_signed(body.contents, model)
    _check_tools(body)
    _check_config(body.generation_config or GenerationConfig(), model)


def check_nameless(body: Body) -> None:
    """Vertex AI has no ids: a call and its response are told by name and place. Raises `Refused`."""
    for index, content in enumerate(body.contents):
        for position, part in enumerate(content.parts):
            for name in ("function_call", "function_response"):
                said = getattr(part, name)
                where = f"contents[{index}].parts[{position}].{name}"
                named = said is not None and said.id is not None
                require(not named, f"Invalid JSON payload received. Unknown name \"id\" at '{where}'.")


def _check_part(part: Part, role: str, where: str) -> None:
    count = sum(getattr(part, field) is not None for field in DATA)
    require(count == 1, f"{where}.data: required oneof field 'data' must have one initialized field")
    own = part.function_call is not None or part.thought
    require(role == "model" or not own, f"{where}: function calls and thoughts are the model's")
    require(role == "user" or part.function_response is None, f"{where}: function responses are not the model's")
    if part.thought_signature is not None and standard(part.thought_signature) not in TAKEN:
        proof = signature(SPOKEN) if part.function_call is None else signature_of(part.function_call)
        require(standard(part.thought_signature) == proof, f"{where}: Corrupted thought signature.")


def _check_calls(contents: list[Content]) -> None:
    """A turn with calls is followed at once by one with their responses, as many and of the same names."""
    calls: list[FunctionCall] = []
    for index, content in enumerate(contents):
        responses = [part.function_response for part in content.parts if part.function_response is not None]
        require(
            bool(calls) or not responses,
            "Please ensure that function response turn comes immediately after a function call turn.",
        )
        require(
            Counter(call.name for call in calls) == Counter(response.name for response in responses),
            f"contents[{index}]: Please ensure that the number and names of function response parts are equal to those "
            "of the function call parts of the function call turn.",
        )
        ids = {call.id for call in calls if call.id is not None}
        strange = [response.id for response in responses if response.id is not None and response.id not in ids]
        require(not strange or not ids, f"contents[{index}]: a function response has an id of no function call")
        calls = [part.function_call for part in content.parts if part.function_call is not None]
        after = index == 0 or contents[index - 1].role == "user"
        require(
            not calls or (index > 0 and after),
            "Please ensure that function call turn comes immediately after a user turn or after a function response "
            "turn.",
        )
    require(not calls, "Please ensure that a function call turn is followed by a function response turn.")


def _check_signed(contents: list[Content], model: str) -> None:
    """From Gemini 3 on, the first call of each step in the current turn has its signature.

    The current turn begins with the last thing that the user said that is no function response.
    """
    if generation_of(model) < 3:
        return
    begins = max((index for index, content in enumerate(contents) if _is_said(content)), default=0)
    for index, content in enumerate(contents[begins:], begins):
        first = next((part for part in content.parts if part.function_call is not None), None)
        if first is not None and first.function_call is not None:
            require(
                first.thought_signature is not None,
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to "
                f"work correctly: function call `{first.function_call.name}`, position {index + 1}.",
            )


def _is_said(content: Content) -> bool:
    return content.role == "user" and all(part.function_response is None for part in content.parts)


def declared(body: Body) -> Iterator[str]:
    """The names of the functions."""
    for tool in body.tools or ():
        for function in tool.function_declarations or ():
            yield function.name


def _check_tools(body: Body) -> None:
    names = list(declared(body))
    twice = [name for name, count in Counter(names).items() if count > 1]
    require(not twice, f"Duplicate function declaration found: {', '.join(twice)}")
    for tool in body.tools or ():
        for function in tool.function_declarations or ():
            both = function.parameters is not None and function.parameters_json_schema is not None
            require(not both, f"{function.name}: parameters and parameters_json_schema are mutually exclusive")
    config = body.tool_config and body.tool_config.function_calling_config
    if not config:
        return
    require(bool(names) or config.mode != "ANY", "Function calling config is set without function_declarations.")
    allowed = config.allowed_function_names or []
    require(
        not allowed or config.mode in ("ANY", "VALIDATED"),
        "Allowed function names can only be set when function calling mode is ANY or VALIDATED.",
    )
    unknown = [name for name in allowed if name not in names]
    require(not unknown, f"allowed_function_names: no such function: {', '.join(unknown)}")


def _check_config(config: GenerationConfig, model: str) -> None:
    schemas = [config.response_schema is not None, config.response_json_schema is not None]
    require(not all(schemas), "Only one of response_schema and response_json_schema can be set.")
    structured = config.response_mime_type not in (None, "text/plain")
    require(
        not any(schemas) or structured,
        "A response schema needs the response mime type application/json or text/x.enum.",
    )
    require(config.logprobs is None or config.response_logprobs is True, "Logprobs needs response_logprobs.")
    if config.thinking_config is not None:
        _check_thinking(config.thinking_config, model)


def _check_thinking(thinking: ThinkingConfig, model: str) -> None:
    budget, level = thinking.thinking_budget, thinking.thinking_level
    require(budget is None or level is None, "You can only set only one of thinking budget and thinking level.")
    found = VERSION.match(model)
    if not found:
        return
    require(level is None or int(found[1]) >= 3, "Thinking level is not supported for this model.")
    if budget is None or budget == -1 or (found[1], found[2]) != ("2", "5"):
        return
    least, most, can_stop = BUDGETS.get(re.sub("-preview.*", "", found[3] or ""), (0, most_of_all(), True))
    require(budget != 0 or can_stop, "Budget 0 is invalid. This model only works in thinking mode.")
    require(
        budget == 0 or least <= budget <= most,
        f"The thinking budget {budget} is invalid. Please choose a value between {least} and {most}.",
    )


def most_of_all() -> int:
    """The largest budget that any model has."""
    return max(most for _, most, _ in BUDGETS.values())
