"""The headers that the calls which generate are answered with."""

from typing import Final

from reynard.http.openapi.parts import Json

LIMITS: Final = {
    f"x-ratelimit-{figure}-{what}": f"Of the key's limit of {what} a minute: {said}. Only where it has one."
    for what in ("requests", "tokens")
    for figure, said in (("limit", "the whole"), ("remaining", "what is left"), ("reset", "when it is whole again"))
}
TOLD: Final = {
    "x-task-id": "The task behind the call.",
    "x-served-by": "The channel and the model that answered.",
    "idempotent-replayed": "`true`: the answer of an earlier call with this `Idempotency-Key`.",
}
RETRY_AFTER: Final = {"retry-after": "Whole seconds; the same request may well succeed then."}
HEADERS: Final[dict[str, Json]] = {
    name: {"schema": {"type": "string"}, "description": said} for name, said in (LIMITS | TOLD | RETRY_AFTER).items()
}
"""`components.headers`. None is on every answer."""


def with_headers(described: Json) -> Json:
    """An operation, with the headers of its answers."""
    for status, answer in described["responses"].items():
        names = _of(status)
        if names:
            answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    return described


def _of(status: str) -> list[str]:
    match status:
        case "200":
            return [*TOLD, *LIMITS]
        case "429":
            return [*RETRY_AFTER, *LIMITS]
        case "503":
            return [*RETRY_AFTER]
        case _:
            return []
