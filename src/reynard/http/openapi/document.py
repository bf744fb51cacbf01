"""`/openapi.json`, built from the very types that decode the requests and encode the answers."""

import msgspec

from reynard import __version__
from reynard.core.chat import Completion
from reynard.core.forms import FORMS
from reynard.core.surfaces.messages import CountRequest, MessagesRequest, MessageView, TokenCount
from reynard.core.surfaces.responses.answer import Response
from reynard.core.surfaces.responses.request import ResponseForm
from reynard.http.account import AccountView, BillingUsage, Subscription
from reynard.http.base64_upload import Base64Form
from reynard.http.errors import ErrorEnvelope
from reynard.http.files import FileDeleted, FileDetails, FileList
from reynard.http.models import AnthropicModel, AnthropicModels, ModelView, ModelViews, OpenAIModel, OpenAIModels
from reynard.http.openapi import account, files, generations, others, tasks, webhooks
from reynard.http.openapi.headers import HEADERS
from reynard.http.openapi.parts import EVERYWHERE, REF, Json, answers, anything, json, open_to_all, operation
from reynard.http.openapi.webhooks import task_ended
from reynard.http.shapes import AnthropicError
from reynard.http.uploads import FileView, UrlForm
from reynard.http.usage import UsageReport
from reynard.http.views import TaskEvent, TaskList, TaskView
from reynard.http.webhooks import DeliveryDetails, DeliveryList, DeliveryView, SecretList


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
            "description": (
                "Every LLM behind one endpoint: durable tasks, resumable streams, plain completions. "
                "Any path may answer 405 and 500 as well (`components.responses`)."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"key": []}, {"x-api-key": []}],
        "paths": _paths(),
        "webhooks": {"taskEnded": {"post": task_ended()}},
        "components": {
            "schemas": schemas,
            "headers": HEADERS,
            "responses": {
                name: {"description": said, "content": json(ErrorEnvelope)} for name, said in EVERYWHERE.items()
            },
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer sk-…`"},
                "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same key."},
            },
        },
    }


AREAS = (generations, tasks, files, webhooks, others, account)


def _paths() -> dict[str, Json]:
    own = {
        "/healthz": {"get": open_to_all("healthz", "Whether the process lives")},
        "/metrics": {"get": _metrics()},
        "/readyz": {"get": open_to_all("readyz", "Whether it can work") | {"responses": answers(anything(), ("503",))}},
    }
    return {path: item for area in AREAS for path, item in area.paths().items()} | own


def _metrics() -> Json:
    content: Json = {"text/plain": {"schema": {"type": "string"}}}
    summary = "Figures for Prometheus, as far as `server.metrics` lets you"
    return operation("metrics", summary, content, ("401", "403", "404")) | {"security": []}
