"""`/v1/tasks`: query, list, cancel (spec sections 2.4 and 2.6)."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from reynard.core.errors import InvalidParam
from reynard.core.task import Status
from reynard.http import views
from reynard.http.requests import caller_of, number, services
from reynard.ports.store import TaskFilter

JSON = "application/json"
MOST_WAIT_S = 60
MOST_LISTED = 100
INCLUDABLE = {"attempts", "partial"}


async def get_task(request: Request) -> Response:
    """`?wait=SECONDS` holds the answer until the task ends; `?include=attempts,partial` shows more of it;
    `?sync_upstream` is taken, and changes nothing: the state is always the freshest."""
    caller = await caller_of(request)
    wait_s: float = number(request, "wait", 0.0, least=0, most=MOST_WAIT_S)
    included = _included(request)
    engine = services(request).engine
    found = await engine.find(request.path_params["task_id"], caller, wait_s)
    shown = views.view(found, caller, services(request).clock.now())
    if "attempts" in included:
        views.with_attempts(shown, await engine.attempts(found[0]))
    if "partial" in included:
        views.with_partial(shown, found[1])
    return Response(msgspec.json.encode(shown), media_type=JSON)


def _included(request: Request) -> set[str]:
    included = set(filter(None, request.query_params.get("include", "").split(",")))
    if not included <= INCLUDABLE:
        raise InvalidParam(f"`include` takes {', '.join(sorted(INCLUDABLE))}.", param="include")
    return included


async def list_tasks(request: Request) -> Response:
    """The caller's own, newest first."""
    caller = await caller_of(request)
    query = request.query_params
    status = query.get("status")
    if status is not None and status not in set(Status):
        raise InvalidParam(f"`status` must be one of {', '.join(Status)}.", param="status")
    limit: int = number(request, "limit", 20, least=1, most=MOST_LISTED, whole=True)
    wanted = TaskFilter(
        key_id=caller.id,
        status=None if status is None else Status(status),
        model=query.get("model"),
        created_after=number(request, "created_after", None, least=0, most=2**53),
        after=query.get("after"),
        limit=limit,
    )
    found = await services(request).engine.tasks(wanted)
    now = services(request).clock.now()
    page = views.TaskList(data=[views.view(task, caller, now) for task in found.tasks], has_more=found.has_more)
    return Response(msgspec.json.encode(page), media_type=JSON)


async def cancel_task(request: Request) -> Response:
    """Cuts the upstream call of a running task."""
    caller = await caller_of(request)
    task = await services(request).engine.cancel(request.path_params["task_id"], caller)
    return Response(views.queried((task, None), caller, services(request).clock.now()), media_type=JSON)
