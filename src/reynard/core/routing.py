"""In which order the channels of a model are asked."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from reynard.core.channels import Channel

Uniform = Callable[[], float]
"""A number in [0, 1), at random."""


Fitness = Mapping[str, float]
"""By the channel's name, what its weight is worth just now: above 0, and 1 for a channel that does well."""

ALL_WELL: Final[Fitness] = {}


def order(channels: Sequence[Channel], uniform: Uniform, fitness: Fitness = ALL_WELL) -> list[Channel]:
    """Lower priority first; among equals a draw without replacement, each as likely as its weight times its fitness."""
    if len(channels) < 2:
        return list(channels)

    def place(channel: Channel) -> tuple[int, float]:
        """Weighted sampling by exponential keys (Efraimidis and Spirakis, 2006): u^(1/w), largest first."""
        worth: float = channel.weight * fitness.get(channel.name, 1.0)
        return channel.priority, -math.pow(uniform(), 1.0 / worth)

    return sorted(channels, key=place)
