"""`/openapi.json`, built from the very types that decode the requests and encode the answers."""

from typing import Any, Final

import msgspec

from reynard import __version__
from reynard.core.chat import Completion
from reynard.core.forms import FORMS, CustomForm
from reynard.core.surfaces.messages import CountRequest, MessagesRequest, MessageView, TokenCount
from reynard.core.surfaces.responses.answer import Response
from reynard.core.surfaces.responses.request import ResponseForm
from reynard.http.account import AccountView, BillingUsage, Subscription
from reynard.http.base64_upload import Base64Form
from reynard.http.errors import ErrorEnvelope
from reynard.http.files import FileDeleted, FileDetails, FileList
from reynard.http.models import AnthropicModel, AnthropicModels, ModelView, ModelViews, OpenAIModel, OpenAIModels
from reynard.http.shapes import AnthropicError
from reynard.http.uploads import FileView, UrlForm
from reynard.http.usage import UsageReport
from reynard.http.views import TaskEvent, TaskList, TaskView
from reynard.http.webhooks import DeliveryDetails, DeliveryList, DeliveryView, SecretList

REF: Final = "#/components/schemas/{name}"
Json = dict[str, Any]

FAILURES: Final = {
    "400": "The body is not JSON, or no form.",
    "401": "The key is missing, unknown, revoked or expired.",
    "402": "The key's balance does not cover what the request may cost.",
    "403": "The key may not do this, or keeps as much as it may.",
    "404": "There is no such thing, or it is another key's.",
    "405": "The path does not take the method.",
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
SUBMIT_FAILURES: Final = ("400", "401", "402", "403", "408", "409", "413", "415", "422", "429", "502", "503", "504")
MINIMAL_CHAT: Final = {
    "model": "smollm2-135m",
    "messages": [{"role": "user", "content": "Name the capital of France."}],
}
MINIMAL_MESSAGE: Final = {"max_tokens": 100, **MINIMAL_CHAT}
EXAMPLES: Final[dict[str, Json]] = {
    "text": {"model": "smollm2-135m", "prompt": "Name the capital of France."},
    "vision": {"model": "gpt-5.5", "prompt": "What is this?", "image_urls": ["https://example.com/cat.png"]},
    "video": {"model": "gemini-2.5-pro", "prompt": "What happens?", "video_urls": ["https://example.com/clip.mp4"]},
    "audio": {"model": "gemini-2.5-pro", "audio_url": "https://example.com/speech.mp3"},
    "custom": MINIMAL_CHAT,
}


def document() -> Json:
    """The whole description, as OpenAPI 3.1."""
    types = [
        *FORMS.values(),
        ResponseForm,
        Response,
        TaskView,
        TaskList,
        Completion,
        ModelView,
        ModelViews,
        OpenAIModel,
        OpenAIModels,
        FileView,
        FileDetails,
        FileList,
        FileDeleted,
        Base64Form,
        UrlForm,
        TaskEvent,
        DeliveryView,
        DeliveryDetails,
        DeliveryList,
        SecretList,
        AnthropicModel,
        AnthropicModels,
        MessagesRequest,
        MessageView,
        CountRequest,
        TokenCount,
        AccountView,
        Subscription,
        BillingUsage,
        UsageReport,
        AnthropicError,
        ErrorEnvelope,
    ]
    _, schemas = msgspec.json.schema_components(types, ref_template=REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Reynard",
            "version": __version__,
            "description": "Every LLM behind one endpoint: durable tasks, resumable streams, plain completions.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"key": []}, {"x-api-key": []}],
        "paths": _paths(),
        "webhooks": {"taskEnded": {"post": _task_ended()}},
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer sk-…`"},
                "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same key."},
            },
        },
    }


def _paths() -> dict[str, Json]:
    return {
        "/v1/llm/generations": {"post": _submit()},
        "/v1/llm/generations/{task_id}/stream": {"get": _stream()},
        "/v1/tasks": {"get": _list()},
        "/v1/tasks/{task_id}": {"get": _query()},
        "/v1/tasks/{task_id}/cancel": {
            "post": _operation("cancelTask", "Cancel a task", _json(TaskView), ("401", "404", "409"), [_task_id()])
        },
        "/v1/configs/llm_generations_models": {
            "get": _operation("listGenerationModels", "Models and what they take", _json(ModelViews), ("401",))
        },
        "/v1/models": {"get": _models()},
        "/v1/models/{model}": {
            "get": _operation(
                "getModel",
                "One model, in OpenAI's shape or Anthropic's",
                _json(OpenAIModel, AnthropicModel),
                ("401", "404"),
                [_parameter("model", "path", {"type": "string"}, "The model's id."), _version()],
            )
        },
        "/v1/chat/completions": {"post": _chat()},
        "/v1/files/upload/stream": {"post": _upload("uploadFile", "Upload a file as a form", _form())},
        "/v1/files/upload/base64": {"post": _upload("uploadBase64", "Upload a file in base64", _json(Base64Form))},
        "/v1/files/upload/url": {"post": _upload("uploadFromUrl", "Have a file fetched", _json(UrlForm))},
        "/v1/files": {"get": _list_files()},
        "/v1/files/{file_id}": {
            "get": _operation("getFile", "What is known of a file", _json(FileDetails), ("401", "404"), [_file_id()]),
            "delete": _operation(
                "deleteFile", "Delete a file", _json(FileDeleted), ("401", "404", "503"), [_file_id()]
            ),
        },
        "/files/{token}/{name}": {"get": _read_file()},
        "/v1/webhooks/deliveries": {"get": _list_deliveries()},
        "/v1/webhooks/deliveries/{delivery_id}": {
            "get": _operation(
                "getDelivery",
                "A delivery of a webhook, and what was tried",
                _json(DeliveryDetails),
                ("401", "404"),
                [_delivery_id()],
            )
        },
        "/v1/webhooks/deliveries/{delivery_id}/redeliver": {
            "post": _operation(
                "redeliver", "Deliver once more", _json(DeliveryView), ("401", "404", "503"), [_delivery_id()]
            )
        },
        "/v1/webhooks/secret": {
            "get": _operation("getWebhookSecret", "What your webhooks are signed with", _json(SecretList), ("401",))
        },
        "/v1/webhooks/secret/rotate": {
            "post": _operation(
                "rotateWebhookSecret",
                "A new secret; the one before signs as well for a day",
                _json(SecretList),
                ("401", "503"),
            )
        },
        "/v1/responses": {"post": _respond()},
        "/v1/responses/{response_id}": {"get": _response()},
        "/v1/responses/{response_id}/cancel": {
            "post": _operation(
                "cancelResponse", "Cancel a response", _json(Response), ("401", "404", "409"), [_response_id()]
            )
        },
        "/v1/responses/{response_id}/input_items": {"get": _input_items()},
        "/v1/messages": {"post": _message()},
        "/v1/messages/count_tokens": {"post": _count()},
        "/v1/account/credits": {
            "get": _operation("getCredits", "The credits of this key", _json(AccountView), ("401", "503"))
        },
        "/v1/usage": {"get": _usage()},
        "/dashboard/billing/subscription": {"get": _subscription("getSubscription")},
        "/dashboard/billing/usage": {"get": _billing_usage("getBillingUsage")},
        "/v1/dashboard/billing/subscription": {"get": _subscription("getSubscriptionV1")},
        "/v1/dashboard/billing/usage": {"get": _billing_usage("getBillingUsageV1")},
        "/healthz": {"get": _open("healthz", "Whether the process lives")},
        "/metrics": {"get": _metrics()},
        "/readyz": {"get": _open("readyz", "Whether it can work") | {"responses": _answers(_object(), ("503",))}},
    }


def _submit() -> Json:
    body = {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [_ref(form) for form in FORMS.values()]},
                "examples": {form: {"value": example} for form, example in EXAMPLES.items()},
            }
        },
    }
    answer = {
        "application/json": {"schema": {"anyOf": [_ref(TaskView), _ref(Completion)]}},
        "text/event-stream": {},
    }
    return _operation(
        "createGeneration",
        "Generate: five request forms, four ways of answering",
        answer,
        SUBMIT_FAILURES,
        [_idempotency()],
    ) | {"requestBody": body}


def _chat() -> Json:
    answer = _json(Completion) | {"text/event-stream": {}}
    body = {"required": True, "content": {"application/json": {"schema": _ref(CustomForm), "example": MINIMAL_CHAT}}}
    return _operation("createChatCompletion", "OpenAI Chat Completions", answer, SUBMIT_FAILURES, [_idempotency()]) | {
        "requestBody": body
    }


def _respond() -> Json:
    example = {"model": "smollm2-135m", "input": "Name the capital of France."}
    body = {
        "required": True,
        "content": {"application/json": {"schema": _ref(ResponseForm), "example": example}},
    }
    answer = _json(Response) | {"text/event-stream": {}}
    return _operation(
        "createResponse",
        "OpenAI Responses; `background` makes it a durable task",
        answer,
        SUBMIT_FAILURES,
        [_idempotency()],
    ) | {"requestBody": body}


def _response() -> Json:
    parameters = [
        _response_id(),
        _parameter("stream", "query", {"type": "boolean"}, "The events of a response in the background."),
        _parameter(
            "starting_after",
            "query",
            {"type": "integer", "minimum": 0, "maximum": 2**53},
            "With `stream`: the `sequence_number` of the last event received.",
        ),
    ]
    answer = _json(Response) | {"text/event-stream": {}}
    failures = ("401", "404", "410", "416", "422", "503")
    return _operation("getResponse", "A response as it is now, or its events", answer, failures, parameters)


def _input_items() -> Json:
    operation = _operation(
        "listInputItems", "Always 404: the input of a response is not kept", {}, ("401", "404"), [_response_id()]
    )
    del operation["responses"]["200"]
    return operation


def _response_id() -> Json:
    return _parameter("response_id", "path", {"type": "string"}, "The response's id: `resp_` and the task's.")


def _message() -> Json:
    answer = _json(MessageView) | {"text/event-stream": {}}
    summary = "Anthropic Messages, in front of any model"
    return _anthropic("createMessage", summary, answer, SUBMIT_FAILURES) | {
        "parameters": [_idempotency()],
        "requestBody": _asked(MessagesRequest),
    }


def _count() -> Json:
    failures = ("400", "401", "403", "408", "413", "415", "422")
    return _anthropic("countTokens", "Roughly how many tokens a message is", _json(TokenCount), failures) | {
        "requestBody": _asked(CountRequest)
    }


def _asked(kind: type) -> Json:
    content = {"application/json": {"schema": _ref(kind), "example": MINIMAL_MESSAGE}}
    return {"required": True, "content": content}


def _anthropic(name: str, summary: str, content: Json, failures: tuple[str, ...]) -> Json:
    """An operation whose errors are in Anthropic's shape."""
    operation = _operation(name, summary, content, failures)
    for status in failures:
        operation["responses"][status]["content"] = _json(AnthropicError)
    return operation


def _models() -> Json:
    parameters = [
        _version(),
        _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 1000}, "In Anthropic's shape: most."),
        _parameter("after_id", "query", {"type": "string"}, "In Anthropic's shape: those after this one."),
        _parameter("before_id", "query", {"type": "string"}, "In Anthropic's shape: those before this one."),
    ]
    answer = _json(OpenAIModels, AnthropicModels)
    return _operation("listModels", "Models, in OpenAI's shape or Anthropic's", answer, ("401", "422"), parameters)


def _version() -> Json:
    return _parameter("anthropic-version", "header", {"type": "string"}, "Its presence asks for Anthropic's shape.")


def _stream() -> Json:
    offset = _parameter(
        "offset", "query", {"type": "integer", "minimum": 0, "maximum": 2**53}, "The first chunk wanted."
    )
    last = _parameter(
        "Last-Event-ID", "header", {"type": "string", "pattern": "^[0-9]{1,16}$"}, "The last chunk received."
    )
    answer: Json = {"text/event-stream": {}}
    failures = ("401", "404", "410", "416", "422", "503")
    return _operation(
        "readStream", "Read a task's stream, from any chunk on", answer, failures, [_task_id(), offset, last]
    )


def _query() -> Json:
    wait = _parameter("wait", "query", {"type": "number", "minimum": 0, "maximum": 60}, "Seconds to wait for the end.")
    fresh = _parameter("sync_upstream", "query", {"type": "boolean"}, "Taken; the state is always the freshest.")
    more = _parameter(
        "include",
        "query",
        {"type": "string"},
        "`attempts`: the upstream calls; `partial`: what a broken task produced.",
    )
    parameters = [_task_id(), wait, more, fresh]
    return _operation("getTask", "Query a task", _json(TaskView), ("401", "404", "422"), parameters)


def _list() -> Json:
    statuses = ["pending", "processing", "completed", "failed", "cancelled"]
    parameters = [
        _parameter("status", "query", {"type": "string", "enum": statuses}, "Only tasks in this status."),
        _parameter("model", "query", {"type": "string"}, "Only tasks of this model."),
        _parameter("created_after", "query", {"type": "number", "minimum": 0, "maximum": 2**53}, "Unix seconds."),
        _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, "Tasks a page."),
        _parameter("after", "query", {"type": "string"}, "The id of the last task of the page before."),
    ]
    return _operation("listTasks", "List your tasks, newest first", _json(TaskList), ("401", "422"), parameters)


def _upload(name: str, summary: str, content: Json) -> Json:
    failures = ("400", "401", "403", "408", "413", "415", "422", "503")
    return _operation(name, summary, _json(FileView), failures) | {
        "requestBody": {"required": True, "content": content}
    }


def _form() -> Json:
    fields: Json = {
        "file": {"type": "string", "contentMediaType": "application/octet-stream", "description": "The bytes."},
        "file_name": {"type": "string", "maxLength": 1024},
        "auto_cleanup": {"type": "boolean", "default": True, "description": "Over the quota, the oldest files go."},
    }
    schema = {"type": "object", "properties": fields, "required": ["file"], "additionalProperties": False}
    return {"multipart/form-data": {"schema": schema}}


def _list_deliveries() -> Json:
    states = ["pending", "delivered", "failed"]
    parameters = [
        _parameter("task_id", "query", {"type": "string"}, "Only that of this task."),
        _parameter("state", "query", {"type": "string", "enum": states}, "Only deliveries in this state."),
        _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, "How many."),
        _parameter("after", "query", {"type": "string"}, "The id of the last delivery of the page before."),
    ]
    summary = "List the deliveries of your webhooks, newest first"
    return _operation("listDeliveries", summary, _json(DeliveryList), ("401", "422"), parameters)


def _task_ended() -> Json:
    """What is posted to a `callback_url` (Standard Webhooks 1.0)."""
    names = {
        "webhook-id": "The same for every try of a delivery.",
        "webhook-timestamp": "When it was sent, in Unix seconds.",
        "webhook-signature": "`v1,` and a signature in base64; two of them, with a space between, after a rotation.",
    }
    return {
        "operationId": "taskEnded",
        "summary": "A task with a `callback_url` has ended",
        "security": [],
        "parameters": [
            {**_parameter(name, "header", {"type": "string"}, said), "required": True} for name, said in names.items()
        ],
        "requestBody": {"required": True, "content": _json(TaskEvent)},
        "responses": {"2XX": {"description": "Taken. With anything else it is sent again; 410 ends it."}},
    }


def _list_files() -> Json:
    parameters = [
        _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, "Files a page."),
        _parameter("after", "query", {"type": "string"}, "The id of the last file of the page before."),
    ]
    return _operation("listFiles", "List your files, newest first", _json(FileList), ("401", "422"), parameters)


def _usage() -> Json:
    day = {"type": "string", "format": "date"}
    parameters = [
        _parameter("from", "query", day, "The first day, in UTC; 30 days back if it is not given."),
        _parameter("to", "query", day, "The last day; today if it is not given. A year at most."),
        _parameter(
            "group_by", "query", {"type": "string", "default": "day"}, "Any of `day`, `model`, `key`, by commas."
        ),
        _parameter("key", "query", {"type": "string"}, "With an admin key: only this one."),
        _parameter("format", "query", {"type": "string", "enum": ["json", "csv"]}, "Or `Accept: text/csv`."),
        _parameter(
            "limit", "query", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1000}, "Rows a page."
        ),
        _parameter("page", "query", {"type": "integer", "minimum": 1, "maximum": 1_000_000, "default": 1}, "Which."),
    ]
    answer: Json = _json(UsageReport) | {"text/csv": {}}
    failures = ("401", "403", "422", "503")
    return _operation("getUsage", "What was used, by day, model and key", answer, failures, parameters)


def _subscription(name: str) -> Json:
    summary = "The credits of this key, as OpenAI's dashboard had them"
    return _operation(name, summary, _json(Subscription), ("401", "503"))


def _billing_usage(name: str) -> Json:
    day = {"type": "string", "format": "date"}
    parameters = [
        _parameter("start_date", "query", day, "The first day of `daily_costs`; a hundred days are told at most."),
        _parameter("end_date", "query", day, "The day after the last one."),
    ]
    summary = "What this key used, as OpenAI's dashboard had it"
    return _operation(name, summary, _json(BillingUsage), ("401", "422", "503"), parameters)


def _read_file() -> Json:
    """Its answers are bytes, but for the errors."""
    whole: Json = {"*/*": {}}
    parameters = [
        _parameter("token", "path", {"type": "string"}, "The unguessable part of the address."),
        _parameter("name", "path", {"type": "string"}, "The file's name."),
        _parameter("Range", "header", {"type": "string"}, "Bytes wanted (RFC 9110 14.2)."),
    ]
    operation = _operation("readFile", "The bytes of a file", whole, ("404", "416", "503"), parameters)
    operation["responses"]["206"] = {"description": "The bytes asked for.", "content": whole}
    operation["responses"]["304"] = {"description": "The client has them already."}
    return operation | {"security": []}


def _operation(
    name: str, summary: str, content: Json, failures: tuple[str, ...], parameters: list[Json] | None = None
) -> Json:
    operation: Json = {"operationId": name, "summary": summary, "responses": _answers(content, failures)}
    if parameters:
        operation["parameters"] = parameters
    return operation


def _open(name: str, summary: str) -> Json:
    return {"operationId": name, "summary": summary, "security": [], "responses": _answers(_object(), ())}


def _metrics() -> Json:
    content: Json = {"text/plain": {"schema": {"type": "string"}}}
    summary = "Figures for Prometheus, as far as `server.metrics` lets you"
    return _operation("metrics", summary, content, ("401", "403", "404")) | {"security": []}


def _answers(content: Json, failures: tuple[str, ...]) -> Json:
    answers: Json = {"200": {"description": "Done.", "content": content}}
    for status in failures:
        answers[status] = {"description": FAILURES[status], "content": _json(ErrorEnvelope)}
    return answers


def _task_id() -> Json:
    return _parameter("task_id", "path", {"type": "string"}, "The task's id.")


def _delivery_id() -> Json:
    return _parameter("delivery_id", "path", {"type": "string"}, "The delivery's id, which is the `webhook-id`.")


def _idempotency() -> Json:
    schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}
    return _parameter("Idempotency-Key", "header", schema, "The same key and body within 24 hours is the same request.")


def _file_id() -> Json:
    return _parameter("file_id", "path", {"type": "string"}, "The file's id.")


def _parameter(name: str, place: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": place, "required": place == "path", "schema": schema, "description": description}


def _object() -> Json:
    return {"application/json": {"schema": {"type": "object"}}}


def _json(*kinds: type) -> Json:
    schemas = [_ref(kind) for kind in kinds]
    return {"application/json": {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}}


def _ref(kind: type) -> Json:
    return {"$ref": REF.format(name=kind.__name__)}
