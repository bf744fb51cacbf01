"""Thoughts both ways: `reasoning_content` and `reasoning_details` as blocks `thinking` and `redacted_thinking`.

Anthropic's own come as they are. What another provider sealed or signed (Gemini's signatures) is kept in the data of a
`redacted_thinking` block, which a client sends back unread. A thought that nobody signed has an empty signature.
"""

import base64
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from reynard.core.errors import InvalidParam
from reynard.core.generation import too_deep
from reynard.core.messages import Json
from reynard.core.reasoning import ANTHROPIC, sealed, thought
from reynard.core.surfaces.messages.wire import RedactedThinking, Thinking

MARK: Final = "reynard:"
"""In front of what this gateway packed; base64, as Anthropic's own data is, has no colon."""

_detail = msgspec.json.Decoder(dict[str, Any])


def packed(detail: Json) -> str:
    """The data of a block that carries another provider's detail."""
    return MARK + base64.urlsafe_b64encode(msgspec.json.encode(detail)).decode("ascii")


def is_signed(detail: Json) -> bool:
    """Whether a detail holds what `reasoning_content` does not: a signature, or sealed data."""
    return any(isinstance(detail.get(key), str) and detail[key] for key in ("signature", "data"))


def is_own_thought(detail: Json) -> bool:
    """Whether it is a thought of Claude's, in plain text."""
    return detail.get("format") == ANTHROPIC and detail.get("type") == "reasoning.text"


def redacted(detail: Json) -> str:
    """The data of a `redacted_thinking` block: Anthropic's own as it is, another's packed."""
    data = detail.get("data")
    if detail == {"type": "reasoning.encrypted", "data": data, "format": ANTHROPIC} and not str(data).startswith(MARK):
        return str(data)
    return packed(detail)


def text_of(detail: Json) -> str:
    """What a detail says in words."""
    text = detail.get("text")
    return text if isinstance(text, str) else ""


def blocks(content: str | None, details: Iterable[Json] | None) -> list[Thinking | RedactedThinking]:
    """The blocks of a whole answer."""
    signed: list[Thinking | RedactedThinking] = []
    seals: list[Thinking | RedactedThinking] = []
    text = ""
    for detail in details or ():
        if is_own_thought(detail):
            text += text_of(detail)
            if is_signed(detail):
                signed.append(Thinking(thinking=text, signature=str(detail["signature"])))
                text = ""
        elif is_signed(detail):
            (signed if detail.get("format") == ANTHROPIC else seals).append(RedactedThinking(data=redacted(detail)))
    thoughts = [block for block in signed if isinstance(block, Thinking)]
    if not thoughts:
        return [*([Thinking(thinking=content)] if content else ()), *signed, *seals]
    if content and not any(block.thinking for block in thoughts):  # signatures alone: the words are beside them
        first = signed.index(thoughts[0])
        signed[first] = Thinking(thinking=content, signature=thoughts[0].signature)
    elif text:
        signed.append(Thinking(thinking=text))
    return [*signed, *seals]


def detail_of(block: Thinking | RedactedThinking, place: str) -> Json | None:
    """What the provider wants back of a block, or None. Raises `InvalidParam` for data that was changed on the way."""
    match block:
        case Thinking(thinking=text, signature=signature):
            return thought(text, signature, ANTHROPIC) if signature else None
        case RedactedThinking(data=data) if data.startswith(MARK):
            return _unpacked(data[len(MARK) :], f"{place}.data")
        case RedactedThinking(data=data):
            return sealed(data, ANTHROPIC)


def _unpacked(text: str, place: str) -> Json:
    try:
        found = _detail.decode(base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True))
    except (msgspec.DecodeError, RecursionError, ValueError):  # the last: no ASCII, no base64, no UTF-8
        raise _changed(place) from None
    if too_deep(found):
        raise _changed(place)
    return found


def _changed(place: str) -> InvalidParam:
    return InvalidParam(f"`{place}` is not as this gateway gave it. Send it back unchanged.", param=place)
