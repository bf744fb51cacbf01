"""What a generation costs: an estimate before it runs, which is reserved, and the cost of what it used.

Integers alone, in micro-credits (a credit is 1,000,000 of them): a price is turned into micro-credits for a million
tokens first, and the sum is rounded up at the end. By how much a settlement can exceed its reservation:
docs/decisions/0014.
"""

from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from reynard.core import tokens
from reynard.core.catalogue import Model, Price
from reynard.core.chat import Completion, Usage
from reynard.core.generation import Generation
from reynard.core.ledger import MICRO
from reynard.core.reasoning import wish

MOST_TOKENS: Final = 100_000_000
"""Tokens of a prompt or of an answer that are charged, at the most: many times what any model reads or writes. Whoever
says more is wrong, client or provider."""


class Estimate(Struct, frozen=True):
    """Tokens that a generation is taken to use."""

    input_tokens: int
    output_tokens: int

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.input_tokens + self.output_tokens


def estimate(generation: Generation, model: Model) -> Estimate:
    """What `generation` is taken to use: its prompt as `core.tokens` counts, and as much output as it may produce; what
    the model is expected to, where nothing limits it. Never raises."""
    prompt = tokens.of_prompt(generation, model.media_tokens)
    return Estimate(bounded(prompt), bounded(_longest(generation, model) * (generation.n or 1)))


def reservation(estimate: Estimate, price: Price) -> int:
    """Micro-credits to hold for an estimate, rounded up: the whole prompt at the dearer of its two prices."""
    dearer = max(price.input, _cached(price))
    return _rounded_up(estimate.input_tokens * _micro(dearer) + estimate.output_tokens * _micro(price.output))


def cost(usage: Usage, price: Price) -> int:
    """Micro-credits for what was used, rounded up. Tokens from a cache have their own price, where the model has one;
    counts that cannot be ones are taken for the nearest that can."""
    prompt, completion = bounded(usage.prompt_tokens), bounded(usage.completion_tokens)
    cached = min(_from_cache(usage), prompt)
    fresh = (prompt - cached) * _micro(price.input)
    return _rounded_up(fresh + cached * _micro(_cached(price)) + completion * _micro(price.output))


def counted(generation: Generation, model: Model, completion: Completion) -> Usage:
    """What a generation used, counted here, for a provider that did not say. Never raises."""
    prompt = bounded(tokens.of_prompt(generation, model.media_tokens))
    answer = bounded(tokens.of_answer(completion, model.media_tokens))
    return Usage(prompt_tokens=prompt, completion_tokens=answer, total_tokens=prompt + answer, estimated=True)


def used(told: Usage | None, generation: Generation, model: Model, completion: Completion) -> Usage:
    """What is charged for a whole answer: what the provider told of it. A side that it told nothing of (no prompt is
    empty, and no answer that says something) is counted here. Never raises."""
    if told is None:
        return counted(generation, model, completion)
    if told.prompt_tokens > 0 and told.completion_tokens > 0:
        return _with(told, bounded(told.prompt_tokens), bounded(told.completion_tokens), estimated=told.estimated)
    own = counted(generation, model, completion)
    return _least(told, own if told.completion_tokens <= 0 else replace(own, completion_tokens=0))


def used_so_far(told: Usage | None, generation: Generation, model: Model, completion: Completion) -> Usage:
    """As `used`, of an answer that broke off: what was told may be of an earlier piece of it, so the answer is at least
    what is counted here."""
    own = counted(generation, model, completion)
    return own if told is None else _least(told, own)


def _least(told: Usage, own: Usage) -> Usage:
    """What was told; in place of a prompt of nothing, and of an answer of less than that, what was counted here."""
    prompt, answer = bounded(told.prompt_tokens), bounded(told.completion_tokens)
    chosen = prompt or own.prompt_tokens, max(answer, own.completion_tokens)
    return _with(told, *chosen, estimated=told.estimated or chosen != (prompt, answer))


def _with(told: Usage, prompt: int, answer: int, *, estimated: bool) -> Usage:
    if (prompt, answer) == (told.prompt_tokens, told.completion_tokens):
        return told
    return replace(
        told, prompt_tokens=prompt, completion_tokens=answer, total_tokens=prompt + answer, estimated=estimated
    )


def _longest(generation: Generation, model: Model) -> int:
    """Tokens of the longest answer, with its thoughts: a budget of them that would leave nothing of the limit is put on
    top of it by the codecs."""
    rule = model.max_tokens
    limit = generation.output_limit or rule.default or rule.expected
    wanted = wish(generation)
    thoughts = (wanted.budget or rule.thoughts) if wanted.thinks else 0
    return limit if limit > thoughts else limit + thoughts


def _from_cache(usage: Usage) -> int:
    told: Any = (usage.prompt_tokens_details or {}).get("cached_tokens")
    return bounded(told) if type(told) is int else 0


def _cached(price: Price) -> float:
    return price.input if price.cached_input is None else price.cached_input


def bounded(count: float) -> int:
    """A count as it is charged: the nearest that can be one."""
    if type(count) is int and 0 <= count <= MOST_TOKENS:  # as nearly all are
        return count
    return int(max(0, min(count, MOST_TOKENS)))


def _micro(price: float) -> int:
    """Micro-credits for a million tokens."""
    return round(price * MICRO)


def _rounded_up(product: int) -> int:
    return -(-product // MICRO)
