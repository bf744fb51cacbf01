"""Whether a value is what its setting takes, and what was meant where it is not."""

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, get_args, get_origin

import msgspec
from msgspec import Struct

from reynard.config.source import KeyPath

_GIVEN: Final = re.compile(r" '.*'$", re.DOTALL)
"""The value itself, which msgspec quotes where it is none of a few: it may be a key in the wrong line."""


def faults(kind: Any, value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with `value` as a `kind`, all of it."""
    if isinstance(kind, type) and issubclass(kind, Struct) and isinstance(value, dict):
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        for key in value:
            if key not in fields:
                yield (*path, key), f"is not a setting here{meant(key, fields)}"
        for name, field in fields.items():
            if name in value:
                yield from faults(field.type, value[name], (*path, name))
            elif field.required:
                yield (*path, name), "is missing"
    elif get_origin(kind) is tuple and isinstance(value, list):
        for index, item in enumerate(value):
            yield from faults(get_args(kind)[0], item, (*path, index))
    else:
        problem = mismatch(kind, value)
        if problem is not None:
            yield path, problem


def mismatch(kind: Any, value: Any) -> str | None:
    """Why `value` is no `kind`; None if it is one."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        reason = _GIVEN.sub("", str(error)).replace("`", "")
        choices = [choice for choice in get_args(kind) if isinstance(choice, str)]
        return f"{reason[:1].lower()}{reason[1:]}" + (f"; it takes {', '.join(choices)}" if choices else "")
    return None


def meant(key: str, known: Iterable[str]) -> str:
    """What a word that is not known was probably meant to be; else all that there is."""
    close = difflib.get_close_matches(key, list(known), 1)
    return f"; did you mean `{close[0]}`?" if close else f"; there are: {', '.join(known)}"
