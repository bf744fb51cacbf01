"""Whether and how much to think, in each relative's word for it; what the words are, `core.channels.Quirks` says."""

from typing import Any, Final

from reynard.core.channels import Quirks
from reynard.core.generation import Generation
from reynard.core.messages import Json
from reynard.core.reasoning import Wish, effort_of, wish

SAID: Final = ("reasoning", "reasoning_effort", "reasoning_budget")
BUDGETLESS: Final = ("template", "switch")


def wordless(quirks: Quirks) -> tuple[str, ...]:
    """What a request may say of reasoning, and the channel has no word for."""
    if quirks.reasoning == "none":
        return SAID
    return ("reasoning_budget",) if quirks.reasoning in BUDGETLESS and not quirks.budget else ()


def say(body: dict[str, Any], generation: Generation, quirks: Quirks) -> None:
    """What `core.reasoning.wish` makes of the request, in the channel's word; an effort is in `body` already."""
    wanted = wish(generation)
    if wanted.budget and quirks.budget:
        body[quirks.budget] = wanted.budget
    match quirks.reasoning:
        case "object":
            _say_in_an_object(body, wanted)
        case "thinking" | "switch" if wanted.effort == "none":
            body.pop("reasoning_effort")
            body.update(_switched(quirks, on=False))
        case _ if generation.reasoning is None and generation.reasoning_budget is None:
            return
        case "effort":
            guess = effort_of(wanted.budget) if wanted.budget else quirks.effort
            body.setdefault("reasoning_effort", guess if wanted.thinks else "none")
        case "thinking" if wanted.budget:
            body.update(_switched(quirks, on=True), reasoning_effort=effort_of(wanted.budget))
        case _:
            body.update(_switched(quirks, on=bool(wanted.thinks)))


def _switched(quirks: Quirks, *, on: bool) -> Json:
    """Thinking on or off, where that is a word of its own."""
    match quirks.reasoning:
        case "thinking":
            return {"thinking": {"type": "enabled" if on else "disabled"}}
        case "template":
            return {"chat_template_kwargs": {"enable_thinking": on}}
        case _:
            return {"reasoning": {"enabled": on}}


def _say_in_an_object(body: dict[str, Any], wanted: Wish) -> None:
    """OpenRouter takes one of `effort`, `max_tokens` and `enabled`
    (https://openrouter.ai/docs/use-cases/reasoning-tokens)."""
    effort = body.pop("reasoning_effort", None)
    if effort is not None:
        body["reasoning"] = {"effort": effort}
    elif wanted.budget:
        body["reasoning"] = {"max_tokens": wanted.budget}
    elif wanted.thinks is not None:
        body["reasoning"] = {"enabled": wanted.thinks}
