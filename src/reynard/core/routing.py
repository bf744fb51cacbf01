"""In which order the channels of a model are asked."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from reynard.core.channels import Channel

Uniform = Callable[[], float]
"""A number in [0, 1), at random."""


def order(channels: Sequence[Channel], uniform: Uniform) -> list[Channel]:
    """Lower priority first; among equals a draw without replacement, each as likely as its weight."""
    if len(channels) < 2:
        return list(channels)
    ranked = sorted(channels, key=_priority)
    return [channel for _, group in groupby(ranked, key=_priority) for channel in _drawn(group, uniform)]


def _priority(channel: Channel) -> int:
    return channel.priority


def _drawn(group: Iterable[Channel], uniform: Uniform) -> list[Channel]:
    """Weighted sampling by exponential keys (Efraimidis and Spirakis, 2006): u^(1/w), largest first."""
    return sorted(group, key=lambda channel: uniform() ** (1.0 / channel.weight), reverse=True)
