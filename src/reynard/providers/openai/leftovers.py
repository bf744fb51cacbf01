"""What clients leave in the turns they send back, and a server may not know: an answer does not depend on it."""

from typing import Any

from msgspec.structs import replace

from reynard.core.channels import Quirks
from reynard.core.messages import AssistantMessage, FunctionMessage, Message


def without_leftovers(said: tuple[Message, ...], quirks: Quirks) -> tuple[Message, ...]:
    """`said`, without what is of no use to the channel; the very same tuple, if there is nothing of it.

    `index` of a call and empty `annotations` go to nobody: OpenAI's SDK leaves them in what it put together from a
    stream. A `name` goes to the servers that know it on such a turn, `annotations` and `audio` to those that take an
    earlier answer back as it was.
    """
    if not any(map(_may_have_some, said)):
        return said
    return tuple(_without(message, quirks) for message in said)


def _may_have_some(message: Message) -> bool:
    """Nothing is copied, and hardly anything read, where there is nothing to change."""
    if message.name is not None:
        return True
    if not isinstance(message, AssistantMessage):
        return False
    if message.annotations is not None or message.audio is not None:
        return True
    return message.tool_calls is not None and any(call.index is not None for call in message.tool_calls)


def _without(message: Message, quirks: Quirks) -> Message:
    changes = _changes(message, quirks) if _may_have_some(message) else None
    return replace(message, **changes) if changes else message


def _changes(message: Message, quirks: Quirks) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if message.name is not None and not isinstance(message, FunctionMessage) and _role(message) not in quirks.names:
        changes["name"] = None
    if isinstance(message, AssistantMessage):
        changes.update(_changes_of_an_answer(message, quirks))
    return changes


def _changes_of_an_answer(message: AssistantMessage, quirks: Quirks) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if any(call.index is not None for call in message.tool_calls or ()):
        changes["tool_calls"] = tuple(replace(call, index=None) for call in message.tool_calls or ())
    if message.annotations is not None and not (message.annotations and quirks.takes_extras):
        changes["annotations"] = None
    if message.audio is not None and not quirks.takes_extras:
        changes["audio"] = None
        transcript = message.audio.get("transcript")
        if not message.content and isinstance(transcript, str) and transcript:
            changes["content"] = transcript
    return changes


def _role(message: Message) -> str:
    return str(message.__struct_config__.tag)
