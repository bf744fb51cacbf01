"""What every part of the description is made of."""

from typing import Any, Final

from reynard.http.errors import ErrorEnvelope

REF: Final = "#/components/schemas/{name}"
Json = dict[str, Any]

FAILURES: Final = {
    "400": "The body is not JSON, or no form.",
    "401": "The key is missing, unknown, revoked or expired.",
    "402": "The key's balance does not cover what the request may cost.",
    "403": "The key may not do this, or keeps as much as it may.",
    "404": "There is no such thing, or it is another key's.",
    "408": "The body came too slowly.",
    "409": "The state of the task does not allow it, or the `Idempotency-Key` stands for another request.",
    "410": "The stream is no longer kept.",
    "413": "The body is too large.",
    "415": "The body is compressed.",
    "416": "The offset, or the range, is past the end.",
    "422": "A field is wrong, or the model does not take what was sent.",
    "429": "The key is at one of its limits. `Retry-After` and `x-ratelimit-*` say when to come back.",
    "502": "sync only: every provider failed.",
    "503": "The gateway, or every provider, has no capacity now. `Retry-After` says when.",
    "504": "sync only: the provider did not answer in time.",
}
EVERYWHERE: Final = {
    "MethodNotAllowed": "405: the path does not take the method.",
    "ServerError": "500: a fault of the gateway. It has been logged; tell the operator the `x-request-id`.",
}
"""What any path may answer; it is described once."""
SUBMIT_FAILURES: Final = ("400", "401", "402", "403", "408", "409", "413", "415", "422", "429", "502", "503", "504")
MINIMAL_CHAT: Final = {
    "model": "smollm2-135m",
    "messages": [{"role": "user", "content": "Name the capital of France."}],
}


def operation(
    name: str, summary: str, content: Json, failures: tuple[str, ...], parameters: list[Json] | None = None
) -> Json:
    """One call of the API, with the failures that it may have."""
    operation: Json = {"operationId": name, "summary": summary, "responses": answers(content, failures)}
    if parameters:
        operation["parameters"] = parameters
    return operation


def open_to_all(name: str, summary: str) -> Json:
    """A call that needs no key."""
    return {"operationId": name, "summary": summary, "security": [], "responses": answers(anything(), ())}


def answers(content: Json, failures: tuple[str, ...]) -> Json:
    """What it may be answered."""
    answers: Json = {"200": {"description": "Done.", "content": content}}
    for status in failures:
        answers[status] = {"description": FAILURES[status], "content": json(ErrorEnvelope)}
    return answers


def task_id() -> Json:
    """A task, in the path."""
    return parameter("task_id", "path", {"type": "string"}, "The task's id.")


def idempotency() -> Json:
    """What makes a call safe to repeat."""
    schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}
    return parameter("Idempotency-Key", "header", schema, "The same key and body within 24 hours is the same request.")


def parameter(name: str, place: str, schema: Json, description: str) -> Json:
    """Of the path, the query or the headers; only those of the path are required."""
    return {"name": name, "in": place, "required": place == "path", "schema": schema, "description": description}


def anything() -> Json:
    """An object of any shape."""
    return {"application/json": {"schema": {"type": "object"}}}


def json(*kinds: type) -> Json:
    """A body of JSON: one of `kinds`."""
    schemas = [ref(kind) for kind in kinds]
    return {"application/json": {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}}


def ref(kind: type) -> Json:
    """The schema of a type."""
    return {"$ref": REF.format(name=kind.__name__)}
