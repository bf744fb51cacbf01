"""The circuit, walked through every state that a few calls can lead to, and at random beyond."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reynard.core.circuit import PROBE_WAIT_S, Circuit, CircuitRule

RULE = CircuitRule(failures=3, share=0.5, calls=4, open_s=5, longest_open_s=15)
EVENTS = ("success", "failure", "late failure", "late success", "nothing", "wait")


def after(circuit: Circuit, event: str, now: float, rule: CircuitRule = RULE) -> tuple[Circuit, float]:
    """One call, or a wait of a second. A late event belongs to a call of the era before."""
    match event:
        case "wait":
            return circuit, now + 1
        case "late failure":
            return circuit.failed(circuit.era - 1, now, rule), now
        case "late success":
            return circuit.succeeded(circuit.era - 1, rule), now
    if circuit.wait_s(now) > 0:
        return circuit, now
    entered = circuit.entered()
    match event:
        case "success":
            return entered.succeeded(entered.era, rule), now
        case "failure":
            return entered.failed(entered.era, now, rule), now
        case _:
            return entered.let_go(entered.era), now


def driven(*events: str, rule: CircuitRule = RULE, now: float = 0.0) -> tuple[Circuit, float]:
    circuit = Circuit()
    for event in events:
        circuit, now = after(circuit, event, now, rule)
    return circuit, now


@pytest.mark.parametrize("length", range(1, 8))
def test_whatever_happens_the_state_is_one_of_four_and_keeps_its_promises(length: int) -> None:
    for events in product(EVENTS[:2] + EVENTS[4:], repeat=length):
        circuit, now = driven(*events)
        state = circuit.state(now)
        assert state in ("closed", "open", "half-open")  # each call here ends before the next
        assert (circuit.wait_s(now) > 0) is (state == "open")
        assert circuit.wait_s(now) <= RULE.longest_open_s
        if state == "closed":
            assert circuit.in_a_row < RULE.failures
            assert circuit.seen < RULE.calls or circuit.recent.bit_count() <= RULE.share * RULE.calls
            assert circuit.in_a_row <= circuit.seen <= RULE.calls


@given(st.lists(st.sampled_from(EVENTS), max_size=200))
def test_at_random_too(events: list[str]) -> None:
    circuit, now = driven(*events)
    assert 0 <= circuit.wait_s(now) <= RULE.longest_open_s
    assert circuit.recent < 1 << RULE.calls


@given(st.lists(st.sampled_from(EVENTS), max_size=50))
def test_what_an_earlier_era_says_changes_nothing(events: list[str]) -> None:
    told = driven(*events)
    quiet = driven(*(event for event in events if not event.startswith("late")))
    assert told == quiet


@given(st.lists(st.sampled_from(["success", "nothing", "wait"]), max_size=100))
def test_without_failures_it_never_opens(events: list[str]) -> None:
    circuit, now = driven(*events)
    assert circuit.state(now) == "closed"


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    assert driven("failure", "failure")[0].state(0) == "closed"
    circuit, _ = driven("failure", "failure", "failure")
    assert (circuit.state(0), circuit.wait_s(0)) == ("open", 5)


def test_a_success_between_ends_the_row() -> None:
    rule = CircuitRule(failures=3, share=1.0, calls=100)
    assert driven(*["failure", "failure", "success"] * 20, rule=rule)[0].state(0) == "closed"


def test_it_opens_when_most_of_the_last_calls_failed() -> None:
    rule = CircuitRule(failures=100, share=0.5, calls=20)
    half = ["failure", "success"] * 10
    assert driven(*half, rule=rule)[0].state(0) == "closed"
    assert driven(*half[:-1], "failure", rule=rule)[0].state(0) == "open"
    assert driven(*["failure"] * 19, rule=rule)[0].state(0) == "closed", "too few calls to tell"


def test_one_probe_at_a_time() -> None:
    circuit, _ = driven("failure", "failure", "failure")
    assert circuit.state(4.9) == "open"
    assert (circuit.state(5), circuit.wait_s(5)) == ("half-open", 0)
    probing = circuit.entered()
    assert (probing.state(5), probing.wait_s(5)) == ("probing", PROBE_WAIT_S)


def test_a_probe_that_succeeds_closes_it() -> None:
    circuit, now = driven("failure", "failure", "failure", *["wait"] * 5, "success")
    assert (circuit.state(now), circuit.in_a_row, circuit.seen) == ("closed", 0, 0)


def test_a_probe_that_fails_opens_it_for_twice_as_long_up_to_a_bound() -> None:
    circuit, _ = driven("failure", "failure", "failure")
    now, waits = 0.0, []
    for _ in range(4):
        waits.append(circuit.wait_s(now))
        now += circuit.wait_s(now)
        probing = circuit.entered()
        circuit = probing.failed(probing.era, now, RULE)
    assert waits == [5, 10, 15, 15]


def test_a_probe_that_tells_nothing_lets_the_next_one_through() -> None:
    circuit, now = driven("failure", "failure", "failure", *["wait"] * 5, "nothing")
    assert circuit.state(now) == "half-open"


def test_a_call_of_before_is_no_probe() -> None:
    circuit, now = driven("failure", "failure", "failure", *["wait"] * 5)
    probing = circuit.entered()
    assert probing.let_go(probing.era - 1) is probing
    assert probing.failed(probing.era - 1, now, RULE) is probing
    assert probing.succeeded(probing.era - 1, RULE) is probing


def test_one_that_flaps_stays_open_longer_each_time() -> None:
    flap = ["failure", "failure", "failure", *["wait"] * 5, "success", "failure", "failure", "failure"]
    circuit, now = driven(*flap)
    assert circuit.wait_s(now) == 10


def test_after_enough_good_calls_that_is_forgotten() -> None:
    events = ["failure", "failure", "failure", *["wait"] * 5, *["success"] * 5, "failure", "failure", "failure"]
    circuit, now = driven(*events)
    assert circuit.wait_s(now) == 5


def test_a_healthy_one_makes_no_new_value_for_each_call() -> None:
    circuit, _ = driven(*["success"] * 4)
    assert circuit.entered() is circuit
    assert circuit.succeeded(circuit.era, RULE) is circuit


def test_a_probe_that_begins_to_be_answered_closes_it_and_counts_anew() -> None:
    circuit, now = driven("failure", "failure", "failure", *["wait"] * 5)
    probing = circuit.entered()
    begun = probing.answered(probing.era)
    assert (begun.state(now), begun.era, begun.openings) == ("closed", probing.era + 1, 1)
    assert begun.answered(begun.era) is begun
    assert probing.answered(probing.era - 1) is probing
    assert begun.failed(begun.era, now, RULE).in_a_row == 1
