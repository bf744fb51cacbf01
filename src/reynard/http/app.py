"""The ASGI application."""

import re
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final

from reynard.engine.engine import Engine
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
from reynard.http.answers import Responder
from reynard.http.asgi import ASGIApp, ClientGone, Receive, Scope, Send
from reynard.http.bodies import Room
from reynard.http.request import UNROUTED, Request, Services
from reynard.http.request_ids import new_request_id
from reynard.http.routes import Route, Routes
from reynard.http.sharing import Shared
from reynard.ports.clock import Clock
from reynard.ports.telemetry import UNOBSERVED, Audience, Observer

PING_S: Final = 15.0
GONE: Final = 499
"""What is said, to nobody, of a client that went away before it was answered."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"})

SANE: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
"""What an id of a client's own may be."""

ROUTES: Final[Sequence[Route]] = (
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
    clock: Clock,
    *,
    max_body_bytes: int,
    cors_origins: Sequence[str],
    observer: Observer = UNOBSERVED,
    figures: Callable[[], bytes] = bytes,
    audience: Audience = "open",
) -> ASGIApp:
    """The application over `engine`. `figures`: the page that `audience` may read at `/metrics`."""
    services = Services(
        engine=engine,
        clock=clock,
        max_body_bytes=max_body_bytes,
        room=Room(max_body_bytes),
        ping_s=PING_S,
        observer=observer,
        figures=figures,
        audience=audience,
    )
    return App(services, Routes(ROUTES), Shared(cors_origins))


class App:
    """ASGI. All that every request has is in one frame: its id, who may read the answer, errors, the observer."""

    def __init__(self, services: Services, routes: Routes, shared: Shared) -> None:
        self._services = services
        self._routes = routes
        self._shared = shared

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Whatever is raised inside is answered here."""
        began = perf_counter()
        request = Request(scope, receive, self._services)
        request.id = _id_of(request)
        try:
            answer = self._shared.preflight(request) or await self._routed(request)
            await answer(request, send)
        except ClientGone:
            pass  # there is nobody to be told
        except Exception as error:  # noqa: BLE001 a fault of this program is answered, too
            await self._failed(request, error, send)
        finally:
            status = request.status or GONE
            self._services.observer.answered(request.route, _method(request), status, perf_counter() - began)

    async def _routed(self, request: Request) -> Responder:
        self._shared.share(request)
        route = self._routes.find(request)
        if route is None:
            return shapes.shaped(request, errors.no_such_path())
        if request.method not in route.methods:
            return shapes.shaped(request, errors.no_such_method(route.methods))
        return await route.endpoint(request)

    async def _failed(self, request: Request, error: Exception, send: Send) -> None:
        if request.status:
            errors.of_defect(request, error)  # too late for an answer: the server cuts it short
        else:
            await shapes.shaped(request, errors.of_failure(request, error))(request, send)


def _id_of(request: Request) -> bytes:
    """The client's own if it is sane, else a new one."""
    own = request.raw_header(b"x-request-id")
    return own if own is not None and SANE.fullmatch(own) else new_request_id()


def _method(request: Request) -> str:
    return request.method if request.method in METHODS else UNROUTED
