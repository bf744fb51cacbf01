"""What this key may use, in the documented shape, in OpenAI's, and in Anthropic's."""

from typing import Literal

import msgspec
from msgspec import Struct

from reynard.core.catalogue import Capability, Model
from reynard.core.errors import InvalidParam, NotFound
from reynard.http.answers import Answer
from reynard.http.request import Request
from reynard.http.requests import caller_of, number
from reynard.http.shapes import speaks_anthropic

MOST_LISTED = 1_000
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


class AnthropicModel(Struct, kw_only=True):
    """A model as Anthropic's SDKs read it."""

    type: Literal["model"] = "model"
    id: str
    display_name: str
    created_at: str = "2026-01-01T00:00:00Z"  # as `CREATED`
    lifecycle: Literal["active"] = "active"


class AnthropicModels(Struct, kw_only=True):
    """A page of `GET /v1/models`, for a client that sends `anthropic-version`."""

    data: list[AnthropicModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


async def generation_models(request: Request) -> Answer:
    """`GET /v1/configs/llm_generations_models`."""
    caller = await caller_of(request)
    usable = request.services.engine.routes.usable(caller)
    views = ModelViews(data=[ModelView(id=model.id, capabilities=model.ordered_capabilities) for model in usable])
    return Answer(msgspec.json.encode(views))


async def openai_models(request: Request) -> Answer:
    """`GET /v1/models`."""
    caller = await caller_of(request)
    usable = request.services.engine.routes.usable(caller)
    if speaks_anthropic(request):
        return Answer(msgspec.json.encode(_page(request, usable)))
    return Answer(msgspec.json.encode(OpenAIModels(data=[OpenAIModel(model.id) for model in usable])))


async def openai_model(request: Request) -> Answer:
    """`GET /v1/models/{model}`."""
    caller = await caller_of(request)
    wanted = request.path_params["model"]
    if all(model.id != wanted for model in request.services.engine.routes.usable(caller)):
        raise NotFound(f"There is no model `{wanted[:256]}` for this key.", param="model")
    view = _anthropic(wanted) if speaks_anthropic(request) else OpenAIModel(wanted)
    return Answer(msgspec.json.encode(view))


def _anthropic(model_id: str) -> AnthropicModel:
    return AnthropicModel(id=model_id, display_name=model_id)


def _page(request: Request, usable: list[Model]) -> AnthropicModels:
    """`limit` models: those after `after_id`, else those right before `before_id`, else the first."""
    limit: int = number(request, "limit", MOST_LISTED, least=1, most=MOST_LISTED, whole=True)
    ids = [model.id for model in usable]
    after, before = request.query_params.get("after_id"), request.query_params.get("before_id")
    if after is not None:
        rest = ids[_place(ids, after, "after_id") + 1 :]
        found = rest[:limit]
    elif before is not None:
        rest = ids[: _place(ids, before, "before_id")]
        found = rest[-limit:]
    else:
        rest, found = ids, ids[:limit]
    return AnthropicModels(
        data=[_anthropic(model_id) for model_id in found],
        has_more=len(found) < len(rest),
        first_id=found[0] if found else None,
        last_id=found[-1] if found else None,
    )


def _place(ids: list[str], model_id: str, param: str) -> int:
    if model_id not in ids:
        raise InvalidParam(f"`{param}` must be the id of a model that this key may use.", param=param)
    return ids.index(model_id)
