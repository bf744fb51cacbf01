"""OpenAI's Responses and Anthropic's Messages."""

from typing import Final

from reynard.core.surfaces.messages import CountRequest, MessagesRequest, MessageView, TokenCount
from reynard.core.surfaces.responses.answer import Response
from reynard.core.surfaces.responses.request import ResponseForm
from reynard.http.openapi.headers import with_headers
from reynard.http.openapi.parts import MINIMAL_CHAT, SUBMIT_FAILURES, Json, idempotency, json, operation, parameter, ref
from reynard.http.shapes import AnthropicError

MINIMAL_MESSAGE: Final = {"max_tokens": 100, **MINIMAL_CHAT}


def paths() -> dict[str, Json]:
    """Path → method → operation."""
    return {
        "/v1/responses": {"post": _respond()},
        "/v1/responses/{response_id}": {"get": _response()},
        "/v1/responses/{response_id}/cancel": {
            "post": operation(
                "cancelResponse", "Cancel a response", json(Response), ("401", "404", "409"), [_response_id()]
            )
        },
        "/v1/responses/{response_id}/input_items": {"get": _input_items()},
        "/v1/messages": {"post": _message()},
        "/v1/messages/count_tokens": {"post": _count()},
    }


def _respond() -> Json:
    example = {"model": "smollm2-135m", "input": "Name the capital of France."}
    body = {
        "required": True,
        "content": {"application/json": {"schema": ref(ResponseForm), "example": example}},
    }
    answer = json(Response) | {"text/event-stream": {}}
    summary = "OpenAI Responses; `background` makes it a durable task"
    described = operation("createResponse", summary, answer, SUBMIT_FAILURES, [idempotency()])
    return with_headers(described) | {"requestBody": body}


def _response() -> Json:
    parameters = [
        _response_id(),
        parameter("stream", "query", {"type": "boolean"}, "The events of a response in the background."),
        parameter(
            "starting_after",
            "query",
            {"type": "integer", "minimum": 0, "maximum": 2**53},
            "With `stream`: the `sequence_number` of the last event received.",
        ),
    ]
    answer = json(Response) | {"text/event-stream": {}}
    failures = ("401", "404", "410", "416", "422", "503")
    return operation("getResponse", "A response as it is now, or its events", answer, failures, parameters)


def _input_items() -> Json:
    described = operation(
        "listInputItems", "Always 404: the input of a response is not kept", {}, ("401", "404"), [_response_id()]
    )
    del described["responses"]["200"]
    return described


def _response_id() -> Json:
    return parameter("response_id", "path", {"type": "string"}, "The response's id: `resp_` and the task's.")


def _message() -> Json:
    answer = json(MessageView) | {"text/event-stream": {}}
    summary = "Anthropic Messages, in front of any model"
    return with_headers(_anthropic("createMessage", summary, answer, SUBMIT_FAILURES)) | {
        "parameters": [idempotency()],
        "requestBody": _asked(MessagesRequest),
    }


def _count() -> Json:
    failures = ("400", "401", "403", "408", "413", "415", "422")
    return _anthropic("countTokens", "Roughly how many tokens a message is", json(TokenCount), failures) | {
        "requestBody": _asked(CountRequest)
    }


def _asked(kind: type) -> Json:
    content = {"application/json": {"schema": ref(kind), "example": MINIMAL_MESSAGE}}
    return {"required": True, "content": content}


def _anthropic(name: str, summary: str, content: Json, failures: tuple[str, ...]) -> Json:
    """An operation whose errors are in Anthropic's shape."""
    described = operation(name, summary, content, failures)
    for status in failures:
        described["responses"][status]["content"] = json(AnthropicError)
    return described
