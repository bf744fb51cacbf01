"""What Anthropic refuses though it has the right shape. Each rule says it in nearly Anthropic's own words."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from reynard.testing.wires.anthropic_body import (
    Adaptive,
    AnyTool,
    Block,
    Body,
    Disabled,
    Document,
    Enabled,
    Image,
    NoTool,
    OneTool,
    RedactedThinking,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from reynard.testing.wires.exchange import require
from reynard.testing.wires.seals import is_sealed, signature

SHORTEST_BUDGET: Final = 1_024
MOST_BREAKPOINTS: Final = 4
USERS: Final = (Text, Image, Document, ToolResult)
ASSISTANTS: Final = (Text, Thinking, RedactedThinking, ToolUse)
VERSION: Final = re.compile(r"claude-[a-z]+-(\d+)(?:-(\d{1,2})(?!\d))?")
NO_BUDGET: Final = (4, 7)
"""From here on thinking is adaptive alone, and sampling is the model's own affair."""
ADAPTIVE: Final = (4, 6)
"""From here on thinking may be adaptive, and an answer cannot be begun for the model."""


class Spoken(Struct, frozen=True):
    """A turn, with those of the same role behind it put together, as Anthropic does."""

    where: str
    role: str
    blocks: Sequence[Block]


def check(body: Body, model: str, *, newest: bool) -> list[Spoken]:
    """The turns, all rules kept, those of the newest API version too if that is spoken. Raises `Refused`."""
    turns = _turns(body)
    if newest:
        _check_newest(body, turns)
    for rule in _TURN_RULES:
        rule(turns)
    _check_tools(body)
    _check_sampling(body, version(model))
    _check_thinking(body, turns, version(model))
    _check_breakpoints(body, turns)
    return turns


def version(model: str) -> tuple[int, int] | None:
    """`claude-opus-4-7` → (4, 7); `claude-sonnet-4-20250514` → (4, 0); None for a name of another kind."""
    found = VERSION.match(model)
    return found and (int(found[1]), int(found[2] or 0))


def _turns(body: Body) -> list[Spoken]:
    turns: list[Spoken] = []
    for index, turn in enumerate(body.messages):
        where = f"messages.{index}"
        last = index == len(body.messages) - 1 and turn.role == "assistant"
        blocks = [Text(text=turn.content)] if isinstance(turn.content, str) else turn.content
        empty = not blocks or turn.content == ""
        require(not empty or last, f"{where}: all messages must have non-empty content")
        blocks = [] if empty else blocks
        if turns and turns[-1].role == turn.role:
            turns[-1] = Spoken(turns[-1].where, turn.role, [*turns[-1].blocks, *blocks])
        else:
            turns.append(Spoken(where, turn.role, blocks))
    return turns


def _check_roles(turns: list[Spoken]) -> None:
    require(turns[0].role == "user", "messages: first message must use the `user` role")
    for turn in turns:
        taken = USERS if turn.role == "user" else ASSISTANTS
        for block in turn.blocks:
            kind = type(block).__struct_config__.tag
            require(isinstance(block, taken), f"{turn.where}: `{kind}` blocks cannot be in `{turn.role}` messages")


def _check_texts(turns: list[Spoken]) -> None:
    for turn in turns:
        for text in _texts(turn.blocks):
            require(text.text != "", f"{turn.where}: text content blocks must be non-empty")
            require(not text.text.isspace(), f"{turn.where}: text content blocks must contain non-whitespace text")
    last = turns[-1]
    if last.role == "assistant" and last.blocks and isinstance(end := last.blocks[-1], Text):
        require(
            end.text == end.text.rstrip(), f"{last.where}: final assistant content cannot end with trailing whitespace"
        )


def _texts(blocks: Iterable[object]) -> Iterator[Text]:
    for block in blocks:
        if isinstance(block, Text):
            yield block
        elif isinstance(block, ToolResult) and not isinstance(block.content, str):
            yield from _texts(block.content)


def _check_calls(turns: list[Spoken]) -> None:
    """A call is answered in the very next turn, before anything else is said, and once."""
    seen: set[str] = set()
    calls: list[str] = []
    for turn in turns:
        results = [block for block in turn.blocks if isinstance(block, ToolResult)]
        _check_answered(turn, calls, results)
        for result in results:
            media = not isinstance(result.content, str) and any(not isinstance(item, Text) for item in result.content)
            require(not (result.is_error and media), f"{turn.where}: all content must be text if `is_error` is true")
        calls = [block.id for block in turn.blocks if isinstance(block, ToolUse)]
        require(len(set(calls)) == len(calls) and not seen & set(calls), f"{turn.where}: `tool_use` ids must be unique")
        seen |= set(calls)
    require(not calls, _unanswered(turns[-1].where, calls))


def _check_answered(turn: Spoken, calls: list[str], results: list[ToolResult]) -> None:
    answered = [result.tool_use_id for result in results]
    missing = [call for call in calls if call not in answered]
    require(not missing, _unanswered(turn.where, missing))
    strange = [call for call in answered if call not in calls]
    require(
        not strange,
        f"{turn.where}: unexpected `tool_use_id` found in `tool_result` blocks: {', '.join(strange)}. Each "
        "`tool_result` block must have a corresponding `tool_use` block in the previous message.",
    )
    require(len(set(answered)) == len(answered), f"{turn.where}: each `tool_use` must have a single result")
    require(
        list(turn.blocks[: len(results)]) == results,
        f"{turn.where}: `tool_result` blocks must come before any other content",
    )


def _unanswered(where: str, ids: list[str]) -> str:
    return (
        f"{where}: `tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(ids)}. Each "
        "`tool_use` block must have a corresponding `tool_result` block in the next message."
    )


def _check_signatures(turns: list[Spoken]) -> None:
    for turn in turns:
        for index, block in enumerate(turn.blocks):
            if isinstance(block, Thinking):
                good = signature(block.thinking.encode()) == block.signature
                require(good, f"{turn.where}.content.{index}: Invalid `signature` in `thinking` block")
            elif isinstance(block, RedactedThinking):
                good = is_sealed(block.data)
                require(good, f"{turn.where}.content.{index}: Invalid `data` in `redacted_thinking` block")
        if turn.role == "assistant" and turn.blocks:
            ends = isinstance(turn.blocks[-1], Thinking | RedactedThinking)
            require(not ends, f"{turn.where}: The final block in an assistant message cannot be `thinking`.")


_TURN_RULES: Final[tuple[Callable[[list[Spoken]], None], ...]] = (
    _check_roles,
    _check_texts,
    _check_calls,
    _check_signatures,
)


def _check_tools(body: Body) -> None:
    names = [tool.name for tool in body.tools or ()]
    require(len(set(names)) == len(names), "tools: Tool names must be unique.")
    for index, tool in enumerate(body.tools or ()):
        is_object = tool.input_schema.get("type") == "object"
        require(is_object, f"tools.{index}.custom.input_schema.type: Input should be 'object'")
    choice = body.tool_choice
    require(choice is None or bool(names), "tool_choice may only be specified while providing tools.")
    if isinstance(choice, OneTool):
        require(choice.name in names, f"Tool '{choice.name}' not found in provided tools")


def _check_sampling(body: Body, model: tuple[int, int] | None) -> None:
    for index, stop in enumerate(body.stop_sequences or ()):
        require(bool(stop.strip()), f"stop_sequences.{index}: each stop sequence must contain non-whitespace")
    if model is not None and model >= NO_BUDGET:
        for name, neutral in (("temperature", 1), ("top_p", 1), ("top_k", None)):
            require(getattr(body, name) in (None, neutral), f"`{name}` is not supported by this model.")


def _check_newest(body: Body, turns: list[Spoken]) -> None:
    """https://platform.claude.com/docs/en/api/migration-2026-10-21."""
    for name in ("temperature", "top_p", "top_k"):
        require(getattr(body, name) is None, f"{name}: Extra inputs are not permitted")
    cited = any(text.citations for turn in turns if turn.role == "user" for text in _texts(turn.blocks))
    require(not cited, "messages: `citations` are not permitted on `text` blocks of `user` messages")


def _check_thinking(body: Body, turns: list[Spoken], model: tuple[int, int] | None) -> None:
    thinking = body.thinking
    if model is not None:
        prefilled = turns[-1].role == "assistant" and model >= ADAPTIVE
        require(not prefilled, "This model does not support assistant message prefill.")
        adaptive = isinstance(thinking, Adaptive) and model < ADAPTIVE
        require(not adaptive, "adaptive thinking is not supported on this model")
        budgeted = isinstance(thinking, Enabled) and model >= NO_BUDGET
        require(not budgeted, '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive".')
    if thinking is None or isinstance(thinking, Disabled):
        return
    require(
        not isinstance(body.tool_choice, AnyTool | OneTool),
        "Thinking may not be enabled when tool_choice forces tool use.",
    )
    require(body.temperature in (None, 1), "`temperature` may only be set to 1 when thinking is enabled.")
    require(body.top_p is None or body.top_p >= 0.95, "`top_p` must be ≥ 0.95 or unset when thinking is enabled.")
    require(body.top_k is None, "`top_k` must be unset when thinking is enabled.")
    if isinstance(thinking, Enabled):
        budget = thinking.budget_tokens
        require(budget >= SHORTEST_BUDGET, "thinking.enabled.budget_tokens: Input should be ≥ 1024")
        require(budget < body.max_tokens, "`max_tokens` must be greater than `thinking.budget_tokens`.")
        _check_goes_on(turns)


def _check_goes_on(turns: list[Spoken]) -> None:
    """The answer that is being continued, from the last thing the user said on, starts with its thoughts.

    https://platform.claude.com/docs/en/build-with-claude/extended-thinking#preserving-thinking-blocks
    """
    begins = max(
        (
            index
            for index, turn in enumerate(turns)
            if turn.role == "user" and not any(isinstance(block, ToolResult) for block in turn.blocks)
        ),
        default=0,
    )
    going = next((turn for turn in turns[begins:] if turn.role == "assistant" and turn.blocks), None)
    if going is not None:
        kind = type(going.blocks[0]).__struct_config__.tag
        require(
            isinstance(going.blocks[0], Thinking | RedactedThinking),
            f"{going.where}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{kind}`. When "
            "`thinking` is enabled, a final `assistant` message must start with a thinking block.",
        )


def _check_breakpoints(body: Body, turns: list[Spoken]) -> None:
    blocks: list[object] = [block for turn in turns for block in turn.blocks]
    blocks += [inner for block in blocks if isinstance(block, ToolResult) for inner in block.content]
    blocks += [*(body.tools or ()), *(body.system or ()), body]
    count = sum(getattr(block, "cache_control", None) is not None for block in blocks)
    require(
        count <= MOST_BREAKPOINTS,
        f"A maximum of {MOST_BREAKPOINTS} blocks with cache_control may be provided. Found {count}.",
    )


def no_tools(body: Body) -> bool:
    """Whether the model is told to call none."""
    return isinstance(body.tool_choice, NoTool)
