"""RFC 9110, sections 13.1 and 14."""

import pytest

from reynard.core import ranges
from reynard.core.errors import RangeNotSatisfiable


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=0-9", (0, 10)),
        ("bytes=9-9", (9, 10)),
        ("bytes=3-", (3, 10)),
        ("bytes=0-", (0, 10)),
        ("bytes=5-99999", (5, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-10", (0, 10)),
        ("bytes=-99", (0, 10)),
        ("Bytes = 1-2", (1, 3)),
        ("bytes=0-1,3-4", None),
        ("bytes=0-1,", None),
        ("lines=0-1", None),
        ("bytes", None),
        ("", None),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes=a-b", None),
        ("bytes=0x1-2", None),
        ("bytes=1", None),
        ("bytes=--1", None),
        ("bytes=1-2-3", None),
        ("bytes=+1-2", None),
        ("bytes=1 - 2", None),
        ("bytes=²-3", None),
        ("bytes=1-" + "9" * 5_000, (1, 10)),
        ("bytes=-" + "9" * 5_000, (0, 10)),
        ("bytes=" + "0" * 5_000 + "1-2", (1, 3)),
    ],
)
def test_a_range_is_what_it_says(header: str | None, found: tuple[int, int] | None) -> None:
    assert ranges.wanted(header, 10) == found


@pytest.mark.parametrize(
    "header",
    [
        "bytes=10-",
        "bytes=10-20",
        "bytes=-0",
        "bytes=" + "9" * 5_000 + "-",
    ],
)
def test_what_leads_nowhere_is_refused_with_the_size(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        ranges.wanted(header, 10)
    assert caught.value.size == 10


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        (None, False),
        ("*", True),
        ('"a"', True),
        ('W/"a"', True),
        ('"b", W/"a"', True),
        ('"b"', False),
        ("a", False),
    ],
)
def test_if_none_match(header: str | None, matches: bool) -> None:
    assert ranges.matches(header, '"a"') is matches


@pytest.mark.parametrize(
    ("header", "current"),
    [
        (None, True),
        ('"a"', True),
        ('W/"a"', False),
        ('"b"', False),
        ("Sat, 21 Nov 2026 06:38:58 GMT", False),
    ],
)
def test_if_range_compares_strongly(header: str | None, current: bool) -> None:
    assert ranges.is_current(header, '"a"') is current
