import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reynard.core.channels import Carried, Channel
from reynard.core.routing import order

CHANCE = random.Random(7)


def channel(name: str, priority: int = 0, weight: int = 1) -> Channel:
    return Channel(name=name, dialect="simulated", models=(Carried("m", "u"),), priority=priority, weight=weight)


def names(channels: list[Channel]) -> list[str]:
    return [channel.name for channel in channels]


@pytest.mark.parametrize("channels", [[], [channel("a")]])
def test_one_channel_or_none_needs_no_draw(channels: list[Channel]) -> None:
    def never() -> float:
        raise AssertionError("nothing is to be drawn")

    assert order(channels, never) == channels


def test_a_lower_priority_goes_first() -> None:
    channels = [channel("c", 2, 100), channel("a", -1), channel("b", 0, 50)]
    for _ in range(100):
        assert names(order(channels, CHANCE.random)) == ["a", "b", "c"]


def test_a_lower_priority_goes_first_of_two() -> None:
    assert names(order([channel("b", 1), channel("a", 0)], CHANCE.random)) == ["a", "b"]


def test_among_equals_the_draw_decides() -> None:
    channels = [channel("a"), channel("b"), channel("c")]
    draws = iter([0.2, 0.9, 0.5])
    assert names(order(channels, lambda: next(draws))) == ["b", "c", "a"]


def test_each_of_equals_goes_first_as_often_as_its_weight() -> None:
    channels = [channel("a", weight=1), channel("b", weight=3), channel("c", weight=6)]
    firsts = Counter(order(channels, CHANCE.random)[0].name for _ in range(20_000))
    shares = {name: count / 20_000 for name, count in firsts.items()}
    assert shares == pytest.approx({"a": 0.1, "b": 0.3, "c": 0.6}, abs=0.02)


def test_the_second_place_goes_by_weight_among_the_rest() -> None:
    channels = [channel("a", weight=1), channel("b", weight=3), channel("c", weight=6)]
    orders = [names(order(channels, CHANCE.random)) for _ in range(40_000)]
    after_c = [second for first, second, _ in orders if first == "c"]
    assert after_c.count("b") / len(after_c) == pytest.approx(0.75, abs=0.02)


ranks = st.lists(st.tuples(st.integers(-2, 2), st.integers(1, 9)), max_size=8)


@given(ranks, st.randoms(use_true_random=False))
def test_every_channel_is_asked_once_and_no_later_rank_before_an_earlier(
    ranked: list[tuple[int, int]], chance: random.Random
) -> None:
    channels = [channel(str(index), *rank) for index, rank in enumerate(ranked)]
    ordered = order(channels, chance.random)
    assert sorted(names(ordered)) == sorted(names(channels))
    assert [one.priority for one in ordered] == sorted(one.priority for one in channels)


@pytest.mark.parametrize("draw", [0.0, 1.0 - 2**-53])
def test_the_edges_of_a_draw_are_taken(draw: float) -> None:
    assert len(order([channel("a", weight=10**9), channel("b")], lambda: draw)) == 2


def test_a_channel_knows_the_name_upstream_of_what_it_carries() -> None:
    assert (channel("a").carried("m").upstream, channel("a").carried("n").upstream) == ("u", "n")
