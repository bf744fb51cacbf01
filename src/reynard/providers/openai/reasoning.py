"""Whether and how much to think, in each relative's word for it; what the words are, `core.channels.Quirks` says."""

from typing import Any, Final

from reynard.core.channels import Quirks
from reynard.core.generation import Generation
from reynard.core.messages import Json
from reynard.core.reasoning import effort_of

SAID: Final = ("reasoning", "reasoning_effort", "reasoning_budget")
BUDGETLESS: Final = ("template", "switch")


def wordless(quirks: Quirks) -> tuple[str, ...]:
    """What a request may say of reasoning, and the channel has no word for."""
    if quirks.reasoning == "none":
        return SAID
    return ("reasoning_budget",) if quirks.reasoning in BUDGETLESS and not quirks.budget else ()


def say(body: dict[str, Any], generation: Generation, quirks: Quirks) -> None:
    """`reasoning` and `reasoning_budget`, in the channel's word; an effort that was said stands."""
    budget, effort = generation.reasoning_budget, generation.reasoning_effort
    wanted = generation.reasoning if generation.reasoning is not None else budget and budget > 0
    if budget and wanted and quirks.budget:
        body[quirks.budget] = budget
    match quirks.reasoning:
        case "object":
            _say_in_an_object(body, generation)
        case "thinking" | "switch" if effort == "none":
            body.pop("reasoning_effort")
            body.update(_switched(quirks, on=False))
        case _ if generation.reasoning is None and budget is None:
            return
        case "effort":
            guess = effort_of(budget) if budget else quirks.effort
            body.setdefault("reasoning_effort", guess if wanted else "none")
        case "thinking" if budget and wanted and effort is None:
            body.update(_switched(quirks, on=True), reasoning_effort=effort_of(budget))
        case _:
            body.update(_switched(quirks, on=bool(wanted)))


def _switched(quirks: Quirks, *, on: bool) -> Json:
    """Thinking on or off, where that is a word of its own."""
    match quirks.reasoning:
        case "thinking":
            return {"thinking": {"type": "enabled" if on else "disabled"}}
        case "template":
            return {"chat_template_kwargs": {"enable_thinking": on}}
        case _:
            return {"reasoning": {"enabled": on}}


def _say_in_an_object(body: dict[str, Any], generation: Generation) -> None:
    """OpenRouter takes one of `effort`, `max_tokens` and `enabled`
    (https://openrouter.ai/docs/use-cases/reasoning-tokens)."""
    effort = body.pop("reasoning_effort", None)
    if effort is not None:
        body["reasoning"] = {"effort": effort}
    elif generation.reasoning is not False and generation.reasoning_budget:
        body["reasoning"] = {"max_tokens": generation.reasoning_budget}
    elif generation.reasoning is not None or generation.reasoning_budget is not None:
        body["reasoning"] = {"enabled": bool(generation.reasoning)}
