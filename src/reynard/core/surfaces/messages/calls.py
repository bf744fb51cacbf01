"""Tool calls both ways: their ids, and arguments as text and as an object."""

from typing import Any, Final

import msgspec

from reynard.core.generation import too_deep
from reynard.core.messages import Json

OURS: Final = "call_"
THEIRS: Final = "toolu_"
INVALID: Final = "invalid_arguments"
"""The key under which arguments that are no JSON object (of a sane depth) are shown, as the model wrote them."""

_object = msgspec.json.Decoder(dict[str, Any])


def exchanged(call_id: str) -> str:
    """An id of one side as the other side has it: `call_X` is `toolu_X`, and `toolu_X` is `call_X`.

    Its own inverse, so that no id is ever lost or met by another; ids of any other make stay as they are.
    """
    if call_id.startswith(OURS):
        return THEIRS + call_id[len(OURS) :]
    if call_id.startswith(THEIRS):
        return OURS + call_id[len(THEIRS) :]
    return call_id


def shown_id(call_id: str | None, answer_id: str, index: int) -> str:
    """The id to show; made from the answer's where the provider gave none."""
    return exchanged(call_id) if call_id else f"{THEIRS}{answer_id.removeprefix('chatcmpl-')}_{index}"


def input_of(arguments: str) -> Json:
    """Arguments as the object that a client calls its tool with."""
    if not arguments.strip():
        return {}
    try:
        found = _object.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return {INVALID: arguments}
    return {INVALID: arguments} if too_deep(found) else found


def shown_pieces(pieces: list[str]) -> list[str]:
    """The pieces of whole arguments as a stream tells them: those that a client reads to what `input_of` says."""
    whole = "".join(pieces)
    if not whole.strip():
        return []
    found = input_of(whole)
    return [msgspec.json.encode(found).decode()] if found == {INVALID: whole} else pieces


def arguments_of(said: Json) -> str:
    """The text of an object; what was no JSON is again as the model wrote it."""
    if list(said) == [INVALID] and isinstance(said[INVALID], str):
        return str(said[INVALID])
    return msgspec.json.encode(said).decode()
