"""Byte ranges and conditions of a download (RFC 9110 sections 13 and 14)."""

import re
from typing import Final

from reynard.core.errors import RangeNotSatisfiable

MOST_DIGITS: Final = 18  # what has more is past the end of any file
_RANGE = re.compile(r"([0-9]*)-([0-9]*)")


def wanted(header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and the one past the last, of a file of `size` bytes; None for the whole.

    What is no range is passed over, so is a unit other than bytes, and of several ranges none is served alone: the
    whole file is, as RFC 9110 14.2 has it. Raises `RangeNotSatisfiable` for a range that lies past the end.
    """
    if header is None:
        return None
    unit, equals, ranges = header.partition("=")
    if not equals or unit.strip().lower() != "bytes" or "," in ranges:
        return None
    found = _RANGE.fullmatch(ranges.strip())
    if found is None or not (found[1] or found[2]):
        return None
    start, end = _bounds(found[1], found[2], size)
    if found[1] and found[2] and end <= start:
        return None  # it ends before it begins, and is invalid by RFC 9110 14.1.1
    if start >= min(end, size):
        raise _unsatisfiable(size)
    return start, min(end, size)


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:
        return max(size - _number(last), 0), size
    return _number(first), _number(last) + 1 if last else size


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= MOST_DIGITS else 10**MOST_DIGITS


def matches(header: str | None, etag: str) -> bool:
    """`If-None-Match`: whether the client has this very version (weak comparison, RFC 9110 13.1.2)."""
    if header is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or etag in tags


def is_current(header: str | None, etag: str) -> bool:
    """`If-Range`: whether a range continues what the client has (strong comparison, RFC 9110 13.1.5)."""
    return header is None or header.strip() == etag


def _unsatisfiable(size: int) -> RangeNotSatisfiable:
    return RangeNotSatisfiable(f"The file has {size} bytes; the header `Range` asks for none of them.", size=size)
