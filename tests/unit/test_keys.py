import hashlib
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from reynard.core import keys
from reynard.core.keys import BASE62, BODY_LENGTH, LENGTH, Key

below = random.Random(7).randrange
MADE = keys.make(below)
KEY = Key(id="key-1", digest=keys.digest(MADE), name="n", hint=keys.hint(MADE), created=1.0)


def test_a_key_is_sk_and_48_letters_and_digits() -> None:
    assert re.fullmatch(r"sk-[0-9A-Za-z]{48}", MADE)
    assert keys.is_well_formed(MADE)


@given(st.integers(0, 62**BODY_LENGTH - 1))
def test_whatever_is_drawn_makes_a_well_formed_key(number: int) -> None:
    assert keys.is_well_formed(keys.make(lambda _: number))


def test_the_body_of_a_key_is_drawn_from_all_its_characters() -> None:
    bounds: list[int] = []
    keys.make(lambda bound: bounds.append(bound) or 0)  # type: ignore[func-returns-value]
    assert bounds == [62**42]
    assert sorted(BASE62) == sorted(set(BASE62))


def test_different_draws_make_different_keys() -> None:
    assert len({keys.make(below) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("at", range(3, LENGTH))
def test_one_wrong_character_is_noticed(at: int) -> None:
    for other in {"0", "Z", "a"} - {MADE[at]}:
        assert not keys.is_well_formed(MADE[:at] + other + MADE[at + 1 :])


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "sk-",
        MADE[:-1],
        MADE + "0",
        MADE[3:],
        MADE.upper(),
        "pk-" + MADE[3:],
        " " + MADE,
        MADE + "\n",
        "sk-" + "0" * 48,
        "sk-" + "é" * 48,
        "sk-" + "\udcff" * 48,
    ],
)
def test_garbage_is_not_well_formed(garbage: str) -> None:
    assert not keys.is_well_formed(garbage)


@given(st.text(max_size=60) | st.text(min_size=LENGTH, max_size=LENGTH))
def test_any_text_is_judged_without_an_error(text: str) -> None:
    assert keys.is_well_formed(text) in (True, False)


def test_what_is_stored_is_a_sha256_and_not_the_key() -> None:
    assert keys.digest(MADE) == hashlib.sha256(MADE.encode()).digest()
    assert keys.digest(MADE) != keys.digest(keys.make(below))


def test_a_digest_is_made_of_any_header() -> None:
    assert len(keys.digest("é\udcff")) == 32


def test_a_hint_shows_four_characters_at_most() -> None:
    assert keys.hint(MADE) == f"sk-{MADE[3:5]}…{MADE[-2:]}"


def test_the_id_of_a_key_says_nothing_of_it() -> None:
    made = keys.key_id(lambda bound: bound - 1)
    assert re.fullmatch(r"key-[a-z0-9]{12}", made)
    assert made != keys.key_id(lambda _: 0)


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, True),
        ({"expires": 100.5}, True),
        ({"expires": 100.0}, False),
        ({"expires": 99.0}, False),
        ({"revoked": 100.0}, False),
        ({"revoked": 1.0, "expires": 200.0}, False),
    ],
)
def test_a_key_is_good_until_it_expires_or_is_revoked(changes: dict[str, float], good: bool) -> None:
    assert structs.replace(KEY, **changes).is_good(100.0) is good


@pytest.mark.parametrize(
    ("models", "may"),
    [(None, True), (("m",), True), (("a", "m"), True), (("a",), False), (("mm",), False), ((), False)],
)
def test_a_bound_key_may_use_its_models_alone(models: tuple[str, ...] | None, may: bool) -> None:
    assert structs.replace(KEY, models=models).may_use("m") is may
