"""Byte ranges and conditions of a download (RFC 9110 sections 13 and 14)."""

import re
from typing import Final

from reynard.core.errors import RangeNotSatisfiable

MOST_DIGITS: Final = 18
_RANGE = re.compile(rf"(\d{{0,{MOST_DIGITS}}})-(\d{{0,{MOST_DIGITS}}})")


def wanted(header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and the one past the last, of a file of `size` bytes; None for the whole.

    A unit other than bytes is passed over, and of several ranges none is served alone: the whole file is, as RFC 9110
    14.2 allows. Raises `RangeNotSatisfiable` for what is no range, or lies past the end.
    """
    if header is None:
        return None
    unit, equals, ranges = header.partition("=")
    if not equals or unit.strip().lower() != "bytes" or "," in ranges:
        return None
    found = _RANGE.fullmatch(ranges.strip())
    if found is None or not (found[1] or found[2]):
        raise _unsatisfiable(size)
    start, end = _bounds(found[1], found[2], size)
    if start >= min(end, size):
        raise _unsatisfiable(size)
    return start, min(end, size)


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:
        return max(size - int(last), 0), size
    return int(first), int(last) + 1 if last else size


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
