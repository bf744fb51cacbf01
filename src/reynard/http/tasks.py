"""`/v1/tasks`: query, list, cancel (spec sections 2.4 and 2.6)."""

import msgspec

from reynard.core.errors import InvalidParam
from reynard.core.task import Status
from reynard.http import views
from reynard.http.answers import Answer
from reynard.http.request import Request
from reynard.http.requests import caller_of, number
from reynard.ports.store import TaskFilter

MOST_WAIT_S = 60
MOST_LISTED = 100
INCLUDABLE = {"attempts", "partial"}


async def get_task(request: Request) -> Answer:
    """`?wait=SECONDS` holds the answer until the task ends; `?include=attempts,partial` shows more of it;
    `?sync_upstream` is taken, and changes nothing: the state is always the freshest."""
    caller = await caller_of(request)
    wait_s: float = number(request, "wait", 0.0, least=0, most=MOST_WAIT_S)
    included = _included(request)
    engine = request.services.engine
    found = await engine.find(request.path_params["task_id"], caller, wait_s)
    shown = views.view(found, caller, request.services.clock.now())
    if "attempts" in included:
        views.with_attempts(shown, await engine.attempts(found[0]))
    if "partial" in included:
        views.with_partial(shown, found[1])
    return Answer(msgspec.json.encode(shown))


def _included(request: Request) -> set[str]:
    included = set(filter(None, request.query_params.get("include", "").split(",")))
    if not included <= INCLUDABLE:
        raise InvalidParam(f"`include` takes {', '.join(sorted(INCLUDABLE))}.", param="include")
    return included


async def list_tasks(request: Request) -> Answer:
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
    found = await request.services.engine.tasks(wanted)
    now = request.services.clock.now()
    page = views.TaskList(data=[views.view(task, caller, now) for task in found.tasks], has_more=found.has_more)
    return Answer(msgspec.json.encode(page))


async def cancel_task(request: Request) -> Answer:
    """Cuts the upstream call of a running task."""
    caller = await caller_of(request)
    task = await request.services.engine.cancel(request.path_params["task_id"], caller)
    return Answer(views.queried((task, None), caller, request.services.clock.now()))
