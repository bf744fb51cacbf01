"""What this key may use, in the documented shape and in OpenAI's."""

from typing import Literal

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from reynard.core.catalogue import Capability
from reynard.core.errors import NotFound
from reynard.http.requests import caller_of, services

JSON = "application/json"
CREATED = 1_767_225_600  # OpenAI's shape wants a time; a model of the catalogue has none, so: 2026-01-01


class ModelView(Struct, kw_only=True):
    """A model and what it takes, in the documented order."""

    id: str
    object: Literal["model"] = "model"
    capabilities: list[Capability]


class ModelViews(Struct, kw_only=True):
    """`data: []` when there is none."""

    object: Literal["list"] = "list"
    data: list[ModelView]


class OpenAIModel(Struct):
    """A model as OpenAI's SDKs read it."""

    id: str
    object: Literal["model"] = "model"
    created: int = CREATED
    owned_by: str = "reynard"


class OpenAIModels(Struct, kw_only=True):
    """`GET /v1/models`."""

    object: Literal["list"] = "list"
    data: list[OpenAIModel]


async def generation_models(request: Request) -> Response:
    """`GET /v1/configs/llm_generations_models`."""
    caller = await caller_of(request)
    usable = services(request).engine.routes.usable(caller)
    views = ModelViews(data=[ModelView(id=model.id, capabilities=model.ordered_capabilities) for model in usable])
    return Response(msgspec.json.encode(views), media_type=JSON)


async def openai_models(request: Request) -> Response:
    """`GET /v1/models`."""
    caller = await caller_of(request)
    usable = services(request).engine.routes.usable(caller)
    return Response(
        msgspec.json.encode(OpenAIModels(data=[OpenAIModel(model.id) for model in usable])), media_type=JSON
    )


async def openai_model(request: Request) -> Response:
    """`GET /v1/models/{model}`."""
    caller = await caller_of(request)
    wanted = request.path_params["model"]
    if all(model.id != wanted for model in services(request).engine.routes.usable(caller)):
        raise NotFound(f"There is no model `{wanted[:256]}` for this key.", param="model")
    return Response(msgspec.json.encode(OpenAIModel(wanted)), media_type=JSON)
