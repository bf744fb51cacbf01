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
    changes = [_changes(message, quirks) for message in said]
    if not any(changes):
        return said
    return tuple(
        replace(message, **change) if change else message for message, change in zip(said, changes, strict=True)
    )


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
