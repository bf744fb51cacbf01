"""Google's JSON takes every field in two spellings, `mimeType` and `mime_type`, and base64 in two alphabets; its own
SDK uses all of them.

https://protobuf.dev/programming-guides/json
"""

from typing import Any, Final, TypeVar

import msgspec

from reynard.testing.wires.exchange import Refused
from reynard.testing.wires.magic import decoded

T = TypeVar("T")

OPAQUE: Final = frozenset(
    {
        *("args", "response", "parametersJsonSchema", "responseJsonSchema", "example", "default", "labels"),
        *("googleSearch", "googleSearchRetrieval", "googleMaps", "codeExecution", "urlContext", "retrievalConfig"),
        *("speechConfig", "imageConfig"),
    }
)
"""Fields whose JSON is the client's own, or not looked into here."""
MAPS: Final = frozenset({"properties"})
"""Fields whose keys are the client's own."""


def decode(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """The value in `body`, whichever spelling it uses. Raises `Refused` or `msgspec.DecodeError`."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        value: T = msgspec.convert(respelled(msgspec.json.decode(body)), decoder.type)
        return value


def standard(text: str) -> str:
    """Base64 in the standard alphabet and padded: Google takes the other alphabet as well, and does without padding."""
    text = text.translate(_STANDARD).rstrip("=")
    return text + "=" * (-len(text) % 4)


def bytes_of(text: str, where: str) -> bytes:
    """The bytes of base64 in any of Google's spellings. Raises `Refused`."""
    return decoded(standard(text), where)


_STANDARD: Final = str.maketrans("-_", "+/")


def respelled(value: Any) -> Any:
    """`value` with Google's field names in camel case."""
    if isinstance(value, list):
        return [respelled(item) for item in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for name, item in value.items():
        camel = camelled(name)
        if camel in found:
            raise Refused(f"Invalid JSON payload received. Field {name} is set twice.")
        if camel in MAPS and isinstance(item, dict):
            found[camel] = {key: respelled(inner) for key, inner in item.items()}
        else:
            found[camel] = item if camel in OPAQUE else respelled(item)
    return found


def camelled(name: str) -> str:
    """`mime_type` → `mimeType`; a name in camel case stays."""
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)
