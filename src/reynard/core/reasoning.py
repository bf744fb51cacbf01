"""How much to think, in the words that providers have for it, and what of the thoughts goes back to them.

`reasoning_details` follows the shape that OpenRouter has made common
(https://openrouter.ai/docs/guides/best-practices/reasoning-tokens): `reasoning.text` is a thought with its signature,
`reasoning.encrypted` is one that only its provider can read. `format` says whose it is: no provider is sent another's.
"""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from reynard.core.generation import Generation
from reynard.core.messages import Json

Thinking = Literal["budget", "adaptive", "either", "level"]
"""`budget`: a number of tokens. `adaptive`: the model decides, guided by an effort (Claude from 4.7 on).
`either`: a number of tokens, or as the model decides where a number cannot be had (Claude 4.6).
`level`: a word (Gemini from 3 on)."""

SHARE_OF: Final[dict[str, float]] = {
    "minimal": 0.1,
    "low": 0.2,
    "medium": 0.5,
    "high": 0.8,
    "xhigh": 0.95,
    "max": 0.95,
}
"""The part of the output limit that an effort may think for, as OpenRouter has it."""

ANTHROPIC: Final = "anthropic-claude-v1"
GEMINI: Final = "google-gemini-v1"


class Wish(NamedTuple):
    """What a request says of thinking. `thinks`: whether to; None if nothing was said. How much: by an `effort`, by a
    `budget` of tokens above 0, or, with neither, as it is usual."""

    thinks: bool | None = None
    effort: str | None = None
    budget: int | None = None


def wish(generation: Generation) -> Wish:
    """The one that three parameters amount to: an effort outweighs the others, `reasoning` outweighs a budget that says
    the opposite, and a budget of 0 alone is "do not think"."""
    effort, thinks, budget = generation.reasoning_effort, generation.reasoning, generation.reasoning_budget
    if effort is not None:
        return Wish(effort != "none", effort)
    if thinks is None and budget is not None:
        thinks = budget > 0
    return Wish(thinks, None, budget or None if thinks else None)


def effort_of(budget: int) -> str:
    """The effort that comes closest to a budget of tokens."""
    if budget == 0:
        return "none"
    return "low" if budget <= 4_096 else "medium" if budget <= 16_384 else "high"


def thought(text: str, signature: str, owner: str) -> Json:
    """A thought and its signature."""
    return {"type": "reasoning.text", "text": text, "signature": signature, "format": owner}


def sealed(data: str, owner: str, call_id: str | None = None) -> Json:
    """A thought, or a signature, that only its provider can read; `call_id` is the tool call that it belongs to."""
    detail: Json = {"type": "reasoning.encrypted", "data": data, "format": owner}
    return detail if call_id is None else {**detail, "id": call_id}


def own(details: Iterable[Json] | None, owner: str) -> list[Json]:
    """Those of `details` that came from `owner`."""
    return [detail for detail in details or () if detail.get("format") == owner]
