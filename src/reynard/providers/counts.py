"""Counts of tokens as providers tell them, which are not trusted to be numbers."""

from typing import Any

from reynard.core.pricing import bounded


def count(told: Any) -> int | None:
    """A number of tokens, at most as many as are charged; None for what is none: text, a truth, below zero."""
    if type(told) not in (int, float) or not told >= 0:
        return None
    return bounded(told)


def mapping(told: Any) -> dict[str, Any]:
    """An object of counts; empty for what is none."""
    return told if isinstance(told, dict) else {}
