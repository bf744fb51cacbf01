"""Counts of tokens as providers tell them, which are not trusted to be numbers."""

from typing import Any

from reynard.core.pricing import MOST_TOKENS


def count(told: Any) -> int | None:
    """A number of tokens; None for what can be none: text, a truth, below zero, more than any model reads or writes."""
    if type(told) not in (int, float) or not 0 <= told <= MOST_TOKENS:
        return None
    return int(told)


def mapping(told: Any) -> dict[str, Any]:
    """An object of counts; empty for what is none."""
    return told if isinstance(told, dict) else {}
