"""The ASGI application."""

import re
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reynard.core.errors import ReynardError
from reynard.engine.engine import Engine
from reynard.engine.jobs import Jobs
from reynard.http import (
    account,
    described,
    errors,
    files,
    generations,
    health,
    messages,
    metrics,
    models,
    responses,
    shapes,
    tasks,
    uploads,
    usage,
    webhooks,
)
from reynard.http.bodies import Room
from reynard.http.presence import ClientGone
from reynard.http.requests import new_request_id
from reynard.http.sharing import Shared
from reynard.ports.clock import Clock
from reynard.ports.telemetry import UNOBSERVED, Audience, Observer

PING_S: Final = 15.0
GONE: Final = 499
"""What is said, to nobody, of a client that went away before it was answered."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"})

ROUTES: Final[Sequence[BaseRoute]] = (
    Route("/v1/llm/generations", generations.create_generation, methods=["POST"]),
    Route("/v1/tasks/{task_id}", tasks.get_task, methods=["GET"]),
    Route("/v1/llm/generations/{task_id}/stream", generations.read_stream, methods=["GET"]),
    Route("/v1/chat/completions", generations.create_chat_completion, methods=["POST"]),
    Route("/v1/responses", responses.create_response, methods=["POST"]),
    Route("/v1/responses/{response_id}", responses.get_response, methods=["GET"]),
    Route("/v1/responses/{response_id}/cancel", responses.cancel_response, methods=["POST"]),
    Route("/v1/responses/{response_id}/input_items", responses.list_input_items, methods=["GET"]),
    Route("/v1/messages", messages.create_message, methods=["POST"]),
    Route("/v1/messages/count_tokens", messages.count_tokens, methods=["POST"]),
    Route("/v1/tasks", tasks.list_tasks, methods=["GET"]),
    Route("/v1/tasks/{task_id}/cancel", tasks.cancel_task, methods=["POST"]),
    Route("/v1/configs/llm_generations_models", models.generation_models, methods=["GET"]),
    Route("/v1/models", models.openai_models, methods=["GET"]),
    Route("/v1/models/{model:path}", models.openai_model, methods=["GET"]),
    Route("/v1/files/upload/stream", uploads.upload_stream, methods=["POST"]),
    Route("/v1/files/upload/base64", uploads.upload_base64, methods=["POST"]),
    Route("/v1/files/upload/url", uploads.upload_url, methods=["POST"]),
    Route("/v1/files", files.list_files, methods=["GET"]),
    Route("/v1/files/{file_id}", files.one_file, methods=["GET", "DELETE"]),
    Route("/files/{token}/{name}", files.read_file, methods=["GET"]),
    Route("/v1/account/credits", account.read_credits, methods=["GET"]),
    Route("/v1/usage", usage.read_usage, methods=["GET"]),
    Route("/dashboard/billing/subscription", account.read_subscription, methods=["GET"]),
    Route("/dashboard/billing/usage", account.read_billing_usage, methods=["GET"]),
    Route("/v1/dashboard/billing/subscription", account.read_subscription, methods=["GET"]),
    Route("/v1/dashboard/billing/usage", account.read_billing_usage, methods=["GET"]),
    Route("/v1/webhooks/deliveries", webhooks.list_deliveries, methods=["GET"]),
    Route("/v1/webhooks/deliveries/{delivery_id}", webhooks.get_delivery, methods=["GET"]),
    Route("/v1/webhooks/deliveries/{delivery_id}/redeliver", webhooks.redeliver, methods=["POST"]),
    Route("/v1/webhooks/secret", webhooks.get_secret, methods=["GET"]),
    Route("/v1/webhooks/secret/rotate", webhooks.rotate_secret, methods=["POST"]),
    Route("/healthz", health.healthz, methods=["GET"]),
    Route("/readyz", health.readyz, methods=["GET"]),
    Route("/metrics", metrics.metrics, methods=["GET"]),
    Route("/openapi.json", described.openapi_json, methods=["GET"]),
    Route("/docs", described.docs, methods=["GET"]),
    Route("/llms.txt", described.llms_txt, methods=["GET"]),
)


def build(
    engine: Engine,
    jobs: Jobs,
    clock: Clock,
    *,
    max_body_bytes: int,
    cors_origins: Sequence[str],
    observer: Observer = UNOBSERVED,
    figures: Callable[[], bytes] = bytes,
    audience: Audience = "open",
) -> ASGIApp:
    """The application over `engine`. `figures`: the page that `audience` may read at `/metrics`."""
    app = Starlette(
        routes=ROUTES,
        exception_handlers={
            ReynardError: shapes.in_shape(errors.on_reynard_error),
            HTTPException: shapes.in_shape(errors.on_http_exception),
            ClientGone: _nobody,
            ClientDisconnect: _nobody,
            Exception: shapes.in_shape(errors.on_defect),
        },
    )
    app.router.redirect_slashes = False
    app.state.engine = engine
    app.state.jobs = jobs
    app.state.clock = clock
    app.state.max_body_bytes = max_body_bytes
    app.state.room = Room(max_body_bytes)
    app.state.ping_s = PING_S
    app.state.observer = observer
    app.state.figures = figures
    app.state.audience = audience
    shared = Shared(app, cors_origins)
    return Edge(shared, observer)  # outside of everything, so that a 500 has its headers too


async def _nobody(request: Request, error: Exception) -> Response:
    """For a client that is gone: what is sent goes nowhere."""
    return Response(status_code=GONE)


class Edge:
    """`x-request-id` on every answer: the client's own if it is sane, else a new one. The observer is told of each.

    A defect is answered and logged further in, and then raised once more by Starlette: it ends here.
    """

    SANE: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self._app = app
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        header = (b"x-request-id", self._of(scope))
        scope.setdefault("state", {})["request_id"] = header[1].decode("ascii")
        began, status = perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], header]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            if not status:
                status = 500  # uvicorn's
                raise
        finally:
            self._observer.answered(_route(scope), _method(scope), status or GONE, perf_counter() - began)

    def _of(self, scope: Scope) -> bytes:
        for name, value in scope["headers"]:
            if name == b"x-request-id" and self.SANE.fullmatch(value):
                return bytes(value)
        return new_request_id()


def _route(scope: Scope) -> str:
    """The template of the path: a path itself may hold anything."""
    route = scope.get("route")
    return route.path if isinstance(route, Route) else "other"


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in METHODS else "other"
