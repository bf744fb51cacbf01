"""Generations, and OpenAI Chat Completions."""

from typing import Final

from reynard.core.chat import Completion
from reynard.core.forms import FORMS, CustomForm
from reynard.http.openapi.headers import with_headers
from reynard.http.openapi.parts import (
    MINIMAL_CHAT,
    SUBMIT_FAILURES,
    Json,
    idempotency,
    json,
    operation,
    parameter,
    ref,
    task_id,
)
from reynard.http.views import TaskView

EXAMPLES: Final[dict[str, Json]] = {
    "text": {"model": "smollm2-135m", "prompt": "Name the capital of France."},
    "vision": {"model": "gpt-5.5", "prompt": "What is this?", "image_urls": ["https://example.com/cat.png"]},
    "video": {"model": "gemini-2.5-pro", "prompt": "What happens?", "video_urls": ["https://example.com/clip.mp4"]},
    "audio": {"model": "gemini-2.5-pro", "audio_url": "https://example.com/speech.mp3"},
    "custom": MINIMAL_CHAT,
}


def paths() -> dict[str, Json]:
    """Path → method → operation."""
    return {
        "/v1/llm/generations": {"post": _submit()},
        "/v1/llm/generations/{task_id}/stream": {"get": _stream()},
        "/v1/chat/completions": {"post": _chat()},
    }


def _submit() -> Json:
    body = {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [ref(form) for form in FORMS.values()]},
                "examples": {form: {"value": example} for form, example in EXAMPLES.items()},
            }
        },
    }
    answer = {
        "application/json": {"schema": {"anyOf": [ref(TaskView), ref(Completion)]}},
        "text/event-stream": {},
    }
    summary = "Generate: five request forms, four ways of answering"
    described = operation("createGeneration", summary, answer, SUBMIT_FAILURES, [idempotency()])
    return with_headers(described) | {"requestBody": body}


def _chat() -> Json:
    answer = json(Completion) | {"text/event-stream": {}}
    body = {"required": True, "content": {"application/json": {"schema": ref(CustomForm), "example": MINIMAL_CHAT}}}
    described = operation("createChatCompletion", "OpenAI Chat Completions", answer, SUBMIT_FAILURES, [idempotency()])
    return with_headers(described) | {"requestBody": body}


def _stream() -> Json:
    offset = parameter(
        "offset", "query", {"type": "integer", "minimum": 0, "maximum": 2**53}, "The first chunk wanted."
    )
    last = parameter(
        "Last-Event-ID", "header", {"type": "string", "pattern": "^[0-9]{1,16}$"}, "The last chunk received."
    )
    answer: Json = {"text/event-stream": {}}
    failures = ("401", "404", "410", "416", "422", "503")
    return operation(
        "readStream", "Read a task's stream, from any chunk on", answer, failures, [task_id(), offset, last]
    )
