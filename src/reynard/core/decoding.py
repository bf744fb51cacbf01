"""Bytes from outside to typed values; what is wrong with them is said with the field and what it takes."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from reynard.core.errors import InvalidParam, MalformedBody

T = TypeVar("T")

LONGEST_EXPLAINED = 1_000_000
"""Bytes; a broken body beyond it is not read a second time to find the field."""

LONGEST_NAME = 100
"""Characters of a client's own field name that an error repeats."""

_anything = msgspec.json.Decoder(msgspec.Raw)
_WHERE = re.compile(r" - at `(?:key in )?\$?\.?(.*?)`$")
_FIELD = re.compile(r"(?:unknown|required) field `([^`]*)`")


def decode(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """The value in `body`. Raises `MalformedBody` if it is not JSON, `InvalidParam` if a field is wrong."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _broken(body) or invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(body, error) from None


def decode_at(decoder: "msgspec.json.Decoder[T]", part: msgspec.Raw, path: str) -> T:
    """As `decode`, for a part of a body that is read by itself; an error names the field from `path` on."""
    try:
        return decoder.decode(part)
    except msgspec.ValidationError as error:
        text = str(error)
        found = _WHERE.search(text)
        inner = found.group(1) if found else ""
        place = f"{path}{'' if not inner or inner.startswith('[') else '.'}{inner}"
        raise invalid(msgspec.ValidationError(f"{text[: found.start()] if found else text} - at `$.{place}`")) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(bytes(part), error) from None


def _broken(body: bytes) -> MalformedBody | None:
    """A decoder stops at the first wrong type, before it has seen that the rest is no JSON."""
    try:
        _anything.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return malformed(body, error)
    return None


def invalid(error: msgspec.ValidationError) -> InvalidParam:
    """msgspec's own words, turned into a sentence that names the field and what it takes."""
    text = str(error)
    found = _WHERE.search(text)
    path = found.group(1) if found else ""
    reason = text[: found.start()] if found else text
    field = _FIELD.search(reason)
    if field is None:
        where = path or "the body"
        return InvalidParam(f"`{where}`: {_plain(reason)}.", param=path or None)
    name = field.group(1)[:LONGEST_NAME]
    param = f"{path}.{name}" if path else name
    if "required" in reason:
        return InvalidParam(f"`{param}` is required and missing.", param=param)
    return InvalidParam(f"`{param}` is not a field that is taken here. Remove it, or check its spelling.", param=param)


def _plain(reason: str) -> str:
    """`Expected `int`, got `str`` → `expected int, got str`."""
    reason = reason.replace("`", "")
    return reason[:1].lower() + reason[1:]


def malformed(body: bytes, error: Exception) -> MalformedBody:
    """Why `body` is not JSON, with the field where a lenient second look finds it."""
    if isinstance(error, RecursionError):
        return MalformedBody("The body nests too deeply to be read.")
    if not body.strip():
        return MalformedBody("The body is empty; a JSON object is needed.")
    if len(body) <= LONGEST_EXPLAINED:
        for path, fault in _faults(body):
            where = f"`{path}`" if path else "it"
            return MalformedBody(f"The body is not valid JSON: {where} has {fault}.", param=path or None)
    if isinstance(error, UnicodeDecodeError):
        return MalformedBody(f"The body is not valid JSON: not UTF-8 at byte {error.start}.")
    detail = str(error).removeprefix("JSON is malformed: ")
    return MalformedBody(f"The body is not valid JSON: {detail}.")


def _faults(body: bytes) -> Iterator[tuple[str, str]]:
    """What Python's lenient reader takes and JSON does not: NaN, infinities, lone surrogates."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return
    yield from _walk(value, "")


def _walk(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if _has_surrogate(key):
                yield path, "a name with a lone surrogate, which is not a Unicode character"
            else:
                yield from _walk(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, f"{path}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, "a number that JSON does not have (NaN or an infinity)"
    elif isinstance(value, str) and _has_surrogate(value):
        yield path, "a lone surrogate, which is not a Unicode character"


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
