"""Tasks and models."""

from reynard.http.models import AnthropicModel, AnthropicModels, ModelViews, OpenAIModel, OpenAIModels
from reynard.http.openapi.parts import Json, json, operation, parameter, task_id
from reynard.http.views import TaskList, TaskView


def paths() -> dict[str, Json]:
    """Path → method → operation."""
    return {
        "/v1/tasks": {"get": _list()},
        "/v1/tasks/{task_id}": {"get": _query()},
        "/v1/tasks/{task_id}/cancel": {
            "post": operation("cancelTask", "Cancel a task", json(TaskView), ("401", "404", "409"), [task_id()])
        },
        "/v1/configs/llm_generations_models": {
            "get": operation("listGenerationModels", "Models and what they take", json(ModelViews), ("401",))
        },
        "/v1/models": {"get": _models()},
        "/v1/models/{model}": {
            "get": operation(
                "getModel",
                "One model, in OpenAI's shape or Anthropic's",
                json(OpenAIModel, AnthropicModel),
                ("401", "404"),
                [parameter("model", "path", {"type": "string"}, "The model's id."), _version()],
            )
        },
    }


def _query() -> Json:
    wait = parameter("wait", "query", {"type": "number", "minimum": 0, "maximum": 60}, "Seconds to wait for the end.")
    fresh = parameter("sync_upstream", "query", {"type": "boolean"}, "Taken; the state is always the freshest.")
    more = parameter(
        "include",
        "query",
        {"type": "string"},
        "`attempts`: the upstream calls; `partial`: what a broken task produced.",
    )
    parameters = [task_id(), wait, more, fresh]
    return operation("getTask", "Query a task", json(TaskView), ("401", "404", "422"), parameters)


def _list() -> Json:
    statuses = ["pending", "processing", "completed", "failed", "cancelled"]
    parameters = [
        parameter("status", "query", {"type": "string", "enum": statuses}, "Only tasks in this status."),
        parameter("model", "query", {"type": "string"}, "Only tasks of this model."),
        parameter("created_after", "query", {"type": "number", "minimum": 0, "maximum": 2**53}, "Unix seconds."),
        parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, "Tasks a page."),
        parameter("after", "query", {"type": "string"}, "The id of the last task of the page before."),
    ]
    return operation("listTasks", "List your tasks, newest first", json(TaskList), ("401", "422", "503"), parameters)


def _models() -> Json:
    parameters = [
        _version(),
        parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 1000}, "In Anthropic's shape: most."),
        parameter("after_id", "query", {"type": "string"}, "In Anthropic's shape: those after this one."),
        parameter("before_id", "query", {"type": "string"}, "In Anthropic's shape: those before this one."),
    ]
    answer = json(OpenAIModels, AnthropicModels)
    return operation("listModels", "Models, in OpenAI's shape or Anthropic's", answer, ("401", "422"), parameters)


def _version() -> Json:
    return parameter("anthropic-version", "header", {"type": "string"}, "Its presence asks for Anthropic's shape.")
