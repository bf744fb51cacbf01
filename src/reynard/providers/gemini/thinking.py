"""How much to think, in Google's words: https://ai.google.dev/gemini-api/docs/thinking.

Whoever asks for thought is shown its summary (`includeThoughts`). Not every model can do without thought: what says "do
not think" is the least that the model allows, with the summary left out.

Thoughts count towards `maxOutputTokens`. A budget that would leave nothing of it for the answer is put on top of it, as
is what Google says a model thinks at most by its own measure; the limit then counts the answer. What a level comes to,
Google does not say, nor what a model thinks that was told nothing: there the limit is sent as it is, and whoever wants
an answer leaves room in it.
"""

from typing import Any, Final

from msgspec import Struct

from reynard.core.channels import Carried
from reynard.core.generation import Generation
from reynard.core.reasoning import Wish, effort_of, wish

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
MOST_DYNAMIC: Final = 8_192


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
    wanted = wish(generation)
    if wanted.thinks is None:
        return None
    amount = _level(wanted, known) if carried.thinking == "level" else {"thinkingBudget": _budget(wanted, known)}
    return {**amount, "includeThoughts": wanted.thinks}


def room(limit: int, how: Json) -> int:
    """`maxOutputTokens` for an answer of `limit` tokens beside a `thinkingConfig`."""
    budget: int = how.get("thinkingBudget", 0)
    most = MOST_DYNAMIC if budget == DYNAMIC else budget
    return limit if limit > most else limit + most


def _level(wanted: Wish, known: Range) -> Json:
    """The word; the next one up where the model does not have it. None for "think", which is what such a model does."""
    if wanted.thinks and not wanted.effort and not wanted.budget:
        return {}
    word = LEVELS[wanted.effort or effort_of(wanted.budget or 0)]
    return {"thinkingLevel": next(level for level in ALL[ALL.index(word) :] if level in known.levels)}


def _budget(wanted: Wish, known: Range) -> int:
    """Tokens. A budget that was said is sent as it is: what is too little or too much, the provider says."""
    if not wanted.thinks:
        return known.least
    return BUDGETS[wanted.effort] if wanted.effort else wanted.budget or DYNAMIC
