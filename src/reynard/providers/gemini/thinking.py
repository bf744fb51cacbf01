"""How much to think, in Google's words: https://ai.google.dev/gemini-api/docs/thinking.

An effort that was said stands; then a budget; then `reasoning` alone. Whoever asks for thought is shown its summary
(`includeThoughts`). Not every model can do without thought: "none", a budget of 0 and `reasoning: false` are the
least that the model allows, with the summary left out.
"""

from typing import Any, Final

from msgspec import Struct

from reynard.core.channels import Carried
from reynard.core.generation import Generation
from reynard.core.reasoning import effort_of

Json = dict[str, Any]

BUDGETS: Final[dict[str, int]] = {
    "minimal": 1_024,
    "low": 1_024,
    "medium": 8_192,
    "high": 24_576,
    "xhigh": 24_576,
    "max": 24_576,
}
"""Tokens for an effort, as Google's own OpenAI endpoint has them: https://ai.google.dev/gemini-api/docs/openai."""

LEVELS: Final[dict[str, str]] = {
    "none": "MINIMAL",
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "HIGH",
    "max": "HIGH",
}
EFFORTS: Final = frozenset(LEVELS)
DYNAMIC: Final = -1


class Range(Struct, frozen=True):
    """What the models whose names begin so can do: the fewest tokens of thought, and the words for a level."""

    prefix: str
    least: int
    levels: tuple[str, ...]


ALL: Final = ("MINIMAL", "LOW", "MEDIUM", "HIGH")
NO_MINIMAL: Final = ALL[1:]
RANGES: Final = (
    Range("gemini-2.5-pro", 128, NO_MINIMAL),
    Range("gemini-2.5-", 0, NO_MINIMAL),
    Range("gemini-3-pro", 128, ("LOW", "HIGH")),
    Range("gemini-3-flash", 0, ALL),
    Range("gemini-3.1-flash", 0, ALL),
    Range("gemini-3.5-flash", 0, ALL),
    Range("gemini-3.6-flash", 0, ALL),
    Range("", 128, NO_MINIMAL),
)
"""The first that fits; the last is what every other model is taken to do."""


def thinking(generation: Generation, carried: Carried) -> Json | None:
    """`thinkingConfig`, or None if nothing was said of it."""
    known = next(known for known in RANGES if carried.upstream.rpartition("/")[2].startswith(known.prefix))
    effort, budget = generation.reasoning_effort, generation.reasoning_budget
    if effort is None and budget is None and generation.reasoning is None:
        return None
    if effort is None and budget is None and generation.reasoning:
        how: Json = {} if carried.thinking == "level" else {"thinkingBudget": DYNAMIC}
        return {**how, "includeThoughts": True}
    if effort is None and not budget:
        effort = "none"
    amount = _level(effort, budget, known) if carried.thinking == "level" else _budget(effort, budget, known)
    return {**amount, "includeThoughts": effort != "none"}


def _level(effort: str | None, budget: int | None, known: Range) -> Json:
    """The word; the next one up where the model does not have it."""
    wanted = LEVELS[effort or effort_of(budget or 0)]
    return {"thinkingLevel": next(word for word in ALL[ALL.index(wanted) :] if word in known.levels)}


def _budget(effort: str | None, budget: int | None, known: Range) -> Json:
    """Tokens. A budget that was said is sent as it is: what is too little or too much, the provider says."""
    if effort == "none":
        return {"thinkingBudget": known.least}
    return {"thinkingBudget": budget if effort is None else BUDGETS[effort]}
