"""JSON schemas as Anthropic takes them for structured output and strict tools.

It does what Anthropic's SDK does before it sends (`anthropic.transform_schema`): objects are closed where nothing else
was said, `oneOf` is `anyOf`, a `$ref` stands alone, and keywords that are not enforced (`minimum`, `maxLength`, …) go
into the description, where the model reads them. `$schema` is left out. What is no schema is left as it is, for
Anthropic to judge: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations.
"""

from typing import Any, Final

import msgspec

from reynard.core.messages import Json

KEPT: Final = frozenset({"type", "enum", "const", "title", "required", "additionalProperties"})
MAPS: Final = frozenset({"properties", "$defs", "definitions"})
LISTS: Final = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)


def enforced(schema: Json) -> Json:
    """`schema` in the keywords that Anthropic enforces, and the others in words."""
    if "$ref" in schema:
        schema = {name: value for name, value in schema.items() if name == "$ref" or name in MAPS}
    kept: Json = {}
    hints: list[str] = []
    for name, value in schema.items():
        if name in MAPS and isinstance(value, dict):
            kept[name] = {key: _inner(inner) for key, inner in value.items()}
        elif name in LISTS and isinstance(value, list) and LISTS[name] not in kept:
            kept[LISTS[name]] = [_inner(inner) for inner in value]
        elif name == "items":
            kept[name] = _inner(value)
        elif name in KEPT or name in ("$ref", "description") or _is_enforced(name, value):
            kept[name] = value
        elif name != "$schema":
            hints.append(f"{name}: {msgspec.json.encode(value).decode()}")
    if kept.get("type") == "object":
        kept.setdefault("additionalProperties", False)
    if hints:
        said = kept.get("description")
        kept["description"] = (f"{said}\n\n" if isinstance(said, str) else "") + "{" + ", ".join(hints) + "}"
    return kept


def _inner(schema: Any) -> Any:
    return enforced(schema) if isinstance(schema, dict) else schema


def _is_enforced(name: str, value: Any) -> bool:
    return (name == "format" and value in FORMATS) or (name == "minItems" and value in (0, 1))
