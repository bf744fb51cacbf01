"""The life of a task, walked through exhaustively: every state that can be reached, over every event."""

from collections import deque
from functools import cache

import pytest
from msgspec import structs

from reynard.core.errors import TASK_ERROR_CODES, WORTH_A_RETRY, GenerationError
from reynard.core.task import (
    ENDS,
    Cancelled,
    Claimed,
    Completed,
    Event,
    Failed,
    IllegalTransition,
    Lost,
    Read,
    Released,
    RunPolicy,
    Status,
    Task,
    TaskError,
    progress,
    shown_status,
    transition,
)

CREATED = 1000.0
ERROR = TaskError("upstream_error", "The provider failed.")
EVENTS: list[Event] = [
    Claimed("one"),
    Claimed("two"),
    Read(),
    Completed(),
    Failed(ERROR),
    Cancelled(),
    Cancelled(left=True),
    Released(),
    Lost(),
]
LEGAL: dict[Status, set[type[Event]]] = {
    Status.PENDING: {Claimed, Failed, Cancelled},
    Status.PROCESSING: {Read, Completed, Failed, Cancelled, Released, Lost},
    Status.COMPLETED: set(),
    Status.FAILED: set(),
    Status.CANCELLED: set(),
}
MAX_CLAIMS = 3
POLICY = RunPolicy(max_claims=MAX_CLAIMS)
ORDER = {Status.PENDING: 0, Status.PROCESSING: 1, Status.COMPLETED: 2, Status.FAILED: 2, Status.CANCELLED: 2}

FLAGS = [(sync, stream) for sync in (False, True) for stream in (False, True)]


def start(sync: bool, stream: bool) -> Task:
    return Task(id="t", key_id="k", model="m", form="text", sync=sync, stream=stream, created=CREATED)


def is_legal(task: Task, event: Event) -> bool:
    if isinstance(event, Read):
        return task.status is Status.PROCESSING and task.stream and not task.read
    return type(event) in LEGAL[task.status]


def after(task: Task, event: Event) -> Task:
    """A second passes with every event, so each time in a task tells when it was set."""
    return transition(task, event, CREATED + task.version + 1, POLICY)


@cache
def walk() -> tuple[tuple[Task, ...], tuple[tuple[Task, Event, Task], ...]]:
    """Every reachable task and every step between them."""
    queue = deque(start(*flags) for flags in FLAGS)
    seen = set(queue)
    steps = []
    while queue:
        task = queue.popleft()
        for event in EVENTS:
            if is_legal(task, event):
                changed = after(task, event)
                steps.append((task, event, changed))
                if changed not in seen:
                    seen.add(changed)
                    queue.append(changed)
    return tuple(seen), tuple(steps)


def states() -> tuple[Task, ...]:
    return walk()[0]


def steps() -> tuple[tuple[Task, Event, Task], ...]:
    return walk()[1]


def test_the_walk_reaches_every_status_under_every_flag() -> None:
    reached = {(task.sync, task.stream, task.status) for task in states()}
    assert reached == {(*flags, status) for flags in FLAGS for status in Status}
    assert {task.attempt for task in states()} == set(range(MAX_CLAIMS + 1))
    assert {task.read for task in states()} == {True, False}
    assert {type(event) for _, event, _ in steps()} == {type(event) for event in EVENTS}


def test_what_a_state_does_not_have_is_refused() -> None:
    for task in states():
        for event in EVENTS:
            if not is_legal(task, event):
                with pytest.raises(IllegalTransition):
                    after(task, event)


def test_an_end_has_no_way_out() -> None:
    ends = [task for task in states() if task.status in ENDS]
    assert ends
    for task in ends:
        assert task.is_ended
        for event in EVENTS:
            with pytest.raises(IllegalTransition):
                after(task, event)


def test_version_grows_by_one() -> None:
    assert all(changed.version == task.version + 1 for task, _, changed in steps())


def test_owner_is_set_exactly_while_processing() -> None:
    assert all((task.owner is not None) == (task.status is Status.PROCESSING) for task in states())


def test_ended_is_set_exactly_in_an_end() -> None:
    assert all((task.ended is not None) == (task.status in ENDS) for task in states())


def test_error_is_set_exactly_when_failed() -> None:
    assert all((task.error is not None) == (task.status is Status.FAILED) for task in states())


def test_started_is_the_time_of_the_first_claim() -> None:
    for task, event, changed in steps():
        if isinstance(event, Claimed) and task.attempt == 0:
            assert changed.started == CREATED + changed.version
        else:
            assert changed.started == task.started
    assert all((task.started is None) == (task.attempt == 0) for task in states())


def test_ended_is_the_time_of_the_last_event() -> None:
    assert all(changed.ended in (None, CREATED + changed.version) for _, _, changed in steps())


def test_a_claim_is_an_attempt_of_its_owner() -> None:
    for task, event, changed in steps():
        if isinstance(event, Claimed):
            assert (changed.status, changed.owner) == (Status.PROCESSING, event.owner)
        assert changed.attempt == task.attempt + isinstance(event, Claimed)


def test_what_was_read_stays_read() -> None:
    assert all(changed.read == (task.read or isinstance(event, Read)) for task, event, changed in steps())
    assert all(task.stream for task in states() if task.read)


def test_what_a_task_is_never_changes() -> None:
    for task, _, changed in steps():
        for field in ("id", "key_id", "model", "form", "sync", "stream", "created"):
            assert getattr(changed, field) == getattr(task, field)


@pytest.mark.parametrize(
    ("event", "status"), [(Completed(), "completed"), (Failed(ERROR), "failed"), (Cancelled(), "cancelled")]
)
def test_an_ending_event_ends_as_it_says(event: Event, status: str) -> None:
    ended = [changed for _, caused, changed in steps() if caused == event]
    assert ended
    assert {task.status for task in ended} == {Status(status)}
    assert {task.error for task in ended} == {ERROR if status == "failed" else None}


def test_a_task_without_its_worker_starts_over_only_where_nobody_can_tell() -> None:
    for task, event, changed in steps():
        if isinstance(event, Released | Lost):
            code = changed.error.code if changed.error else None
            if task.sync:
                assert code == "server_restarted"
            elif task.read:
                assert code == "stream_interrupted"
            elif task.attempt >= MAX_CLAIMS:
                assert code == "server_restarted"
            else:
                assert (changed.status, code) == (Status.PENDING, None)


def test_no_task_is_taken_up_more_often_than_the_policy_says() -> None:
    assert max(task.attempt for task in states()) == MAX_CLAIMS


def test_the_shown_status_never_goes_back() -> None:
    assert all(ORDER[shown_status(changed)] >= ORDER[shown_status(task)] for task, _, changed in steps())


def test_the_shown_status_is_pending_only_before_the_first_claim() -> None:
    for task in states():
        waits_again = task.status is Status.PENDING and task.attempt > 0
        assert shown_status(task) is (Status.PROCESSING if waits_again else task.status)


@pytest.mark.parametrize("wait", [0.0, 0.001, 1.0, 10.0, 3600.0, 1e9])
def test_progress_never_falls_along_a_step(wait: float) -> None:
    for task, _, changed in steps():
        now = CREATED + changed.version
        assert progress(task, now) <= progress(changed, now) <= progress(changed, now + wait)


def test_progress_is_one_hundred_exactly_at_completed() -> None:
    for task in states():
        for later in (0.0, 1.0, 1e12):
            shown = progress(task, CREATED + task.version + later)
            assert (shown == 100) == (task.status is Status.COMPLETED)
            assert 0 <= shown <= 100


def test_progress_begins_with_the_first_claim() -> None:
    waiting = start(sync=False, stream=False)
    assert progress(waiting, CREATED + 1e6) == 0
    assert progress(after(waiting, Claimed("one")), CREATED + 1) > 0


def test_progress_is_half_way_after_ten_seconds() -> None:
    claimed = after(start(sync=False, stream=False), Claimed("one"))
    assert progress(claimed, CREATED + 11) == 50


def test_a_clock_set_back_does_not_make_progress_negative() -> None:
    claimed = after(start(sync=False, stream=False), Claimed("one"))
    assert progress(claimed, CREATED - 1e6) == progress(claimed, CREATED + 1)


def test_progress_of_an_end_stands_still() -> None:
    for task in states():
        if task.is_ended:
            assert progress(task, CREATED + 20) == progress(task, CREATED + 1e9)


@pytest.mark.parametrize("code", TASK_ERROR_CODES)
def test_a_kept_error_says_whether_to_retry(code: str) -> None:
    error = TaskError.of(GenerationError(code, "It failed."))  # type: ignore[arg-type]
    assert (error.code, error.message, error.retryable) == (code, "It failed.", WORTH_A_RETRY[code])


def test_a_transition_leaves_its_task_alone() -> None:
    task = start(sync=False, stream=True)
    before = structs.asdict(task)
    after(task, Claimed("one"))
    assert structs.asdict(task) == before
