"""How a Claude model is told to think first: https://platform.claude.com/docs/en/build-with-claude/thinking."""

from typing import Final

from msgspec import Struct

from reynard.core.channels import Channel
from reynard.core.generation import Generation
from reynard.core.messages import AssistantMessage, Json, Message, UserMessage
from reynard.core.reasoning import SHARE_OF, Wish, effort_of, wish
from reynard.providers.anthropic.messages import signed_thoughts

DEFAULT_LIMIT: Final = 4096
"""`max_tokens` where the request has none: Anthropic needs one."""

BUDGETED: Final = ("budget", "either")
LEAST_BUDGET: Final = 1024
MOST_SHARED: Final = 10**9  # no model has that many; a client may say what no float can hold
EFFORTS: Final[dict[str, str]] = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
"""`output_config.effort` for an effort; `none` is no thinking at all."""
ELDER: Final = {**EFFORTS, "xhigh": "high"}
"""The same for the models that know budgets, too: the word between `high` and `max` is newer than they are."""

LEAST_TOP_P: Final = 0.95  # of a model that thinks


class Plan(Struct, frozen=True, kw_only=True):
    """What a request says of thinking; None is nothing."""

    max_tokens: int
    thinking: Json | None = None
    effort: str | None = None

    @property
    def thinks(self) -> bool:
        """Whether the model is asked to think."""
        return self.thinking is not None and self.thinking["type"] != "disabled"


def plan(generation: Generation, channel: Channel) -> Plan:
    """How `generation` is told to think, and its `max_tokens`.

    Adaptive models are told to, and how hard; what they think counts towards the limit. The others get a budget: the
    one that was said, or the share of the limit that the effort stands for (`medium` where none was said), and at least
    Anthropic's minimum. Where the limit would leave nothing for the answer, the budget is put on top of it: the limit
    then counts the answer alone.

    With a budget, Anthropic refuses a turn with tools that goes on without the thoughts that it began with. Where a
    client did not send them back, a model that knows both ways is adaptive for this one call, and one that knows
    budgets alone does not think.
    """
    limit = generation.output_limit or DEFAULT_LIMIT
    wanted = wish(generation)
    if wanted.thinks is None:
        return Plan(max_tokens=limit)
    if not wanted.thinks:
        return Plan(max_tokens=limit, thinking={"type": "disabled"})
    way = channel.carried(generation.model).thinking
    has_budget = way in BUDGETED
    if has_budget and _goes_on_without_thoughts(generation.messages, channel.quirks.takes_reasoning_back):
        if way == "budget":
            return Plan(max_tokens=limit)
        has_budget = False
    if not has_budget:
        thinking = {"type": "adaptive", "display": "summarized"}
        return Plan(max_tokens=limit, thinking=thinking, effort=_effort(wanted, ELDER if way == "either" else EFFORTS))
    budget = max(wanted.budget or _share(wanted, limit), LEAST_BUDGET)
    return Plan(
        max_tokens=limit if limit > budget else limit + budget,
        thinking={"type": "enabled", "budget_tokens": budget},
    )


def _effort(wanted: Wish, words: dict[str, str]) -> str | None:
    """What was said of how hard to think, in Anthropic's word."""
    if wanted.effort is not None:
        return words.get(wanted.effort)
    return effort_of(wanted.budget) if wanted.budget else None


def _share(wanted: Wish, limit: int) -> int:
    return int(min(limit, MOST_SHARED) * SHARE_OF.get(wanted.effort or "medium", SHARE_OF["medium"]))


def _goes_on_without_thoughts(messages: tuple[Message, ...], are_sent: bool) -> bool:
    """Whether the last turn of the assistant ends in tool calls, and has, with all its rounds of them, no thought that
    Anthropic signed and that is sent back."""
    rounds: list[AssistantMessage] = []
    for message in reversed(messages):
        if isinstance(message, AssistantMessage):
            rounds.append(message)
        elif rounds and isinstance(message, UserMessage):
            break
    if not rounds or not rounds[0].tool_calls:
        return False
    return not (are_sent and any(list(signed_thoughts(message)) for message in rounds))
