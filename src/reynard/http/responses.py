"""`/v1/responses`: the same engine for clients of OpenAI's Responses API.

A response is a task by another name. In the background it is a durable one: `starting_after` is an offset in events.
There is no `DELETE`: a task is what was reserved and spent, and stays.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from reynard.core.catalogue import with_defaults
from reynard.core.errors import (
    InvalidParam,
    NotFound,
    OffsetOutOfRange,
    RequestError,
    ReynardError,
    TaskAlreadyFinished,
    TaskNotFound,
)
from reynard.core.forms import Submission
from reynard.core.idempotency import Repeat
from reynard.core.keys import Key
from reynard.core.surfaces.responses import answer, stream
from reynard.core.surfaces.responses import request as requests
from reynard.core.surfaces.responses.answer import Frame
from reynard.core.surfaces.responses.request import Asked
from reynard.core.surfaces.responses.stream import Event, Translator
from reynard.core.task import Status, Task, shown_status
from reynard.engine.calls import Ticket
from reynard.engine.engine import Found
from reynard.engine.repeats import CallCancelled
from reynard.http import sse
from reynard.http.answers import Answer, Responder
from reynard.http.asgi import Send
from reynard.http.errors import response_of
from reynard.http.generations import MOST_OFFSET, Subscription, SyncStream
from reynard.http.presence import WhilePresent
from reynard.http.request import Request
from reynard.http.requests import Told, caller_of, headers_of, json_body, number, repeat_of
from reynard.ports.chunks import Batch, StreamEnd

SHOWN: dict[Status, answer.Status] = {
    Status.PENDING: "queued",
    Status.PROCESSING: "in_progress",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
}
"""A task's status in OpenAI's words; whether a completed one is `incomplete`, its result tells."""


async def create_response(request: Request) -> Responder:
    """`POST /v1/responses`: awaited in place, or in the background."""
    caller = await caller_of(request)
    sent = await json_body(request)
    asked, repeat = requests.parse(sent), repeat_of(request, sent)
    engine = request.services.engine
    model = engine.routes.catalogue.find(asked.generation.model)
    generation = with_defaults(
        asked.generation, model, "text"
    )  # the limit is optional in this API, as in a prompt form
    submission = Submission("custom", generation, sync=not asked.background)
    if not asked.background:
        return await _answer(request, submission, caller, asked, repeat)
    try:
        ticket = await engine.submit(submission, caller, repeat)
    except RequestError as error:
        raise requests.in_words(error, asked.places) from None
    if asked.streams:
        return await _subscribe(request, ticket.task, None)
    return _submitted(ticket)


async def get_response(request: Request) -> Responder:
    """`GET /v1/responses/{id}`: as it is now, or its events (`stream=true`) after one of them."""
    caller = await caller_of(request)
    engine = request.services.engine
    task_id = _task_id(request)
    after: int | None = number(request, "starting_after", None, least=0, most=MOST_OFFSET, whole=True)
    if not _flag(request, "stream"):
        if after is not None:
            raise InvalidParam("`starting_after` needs `stream=true`.", param="starting_after")
        with _as_response(request):
            found = await engine.find(task_id, caller)
        return _shown(found)
    with _as_response(request):
        task = await engine.stream(task_id, caller)
    return await _subscribe(request, task, after)


async def cancel_response(request: Request) -> Answer:
    """`POST /v1/responses/{id}/cancel`: cuts the upstream call. What is cancelled already is answered as it is."""
    caller = await caller_of(request)
    engine = request.services.engine
    task_id = _task_id(request)
    try:
        with _as_response(request):
            task = await engine.cancel(task_id, caller)
    except TaskAlreadyFinished:
        task, _ = await engine.find(task_id, caller)
        if task.status is not Status.CANCELLED:
            raise
    return _shown((task, None))


async def list_input_items(request: Request) -> Answer:
    """`GET /v1/responses/{id}/input_items`: refused, for what was sent is not kept."""
    caller = await caller_of(request)
    with _as_response(request):
        await request.services.engine.find(_task_id(request), caller)
    raise NotFound("The input of a response is not kept: the client that sent it has it.", param="input_items")


class EventSink(sse.ResponseSink):
    """Events in place of chunks, on the caller's own connection."""

    def __init__(self, request: Request, send: Send, asked: Asked) -> None:
        super().__init__(request, send)
        self._asked = asked
        self._translator: Translator | None = None

    async def put(self, chunks: Sequence[bytes]) -> None:
        """See `Sink`."""
        translator, events = self._begun(chunks[0])
        for chunk in chunks:
            events += translator.feed(chunk)
        await self.write(_lines(events))

    def refusal(self, error: ReynardError) -> Answer:
        """See `ResponseSink`."""
        return super().refusal(requests.in_words(error, self._asked.places))

    async def end(self, error: ReynardError | None = None) -> None:
        """The last event says how it ended."""
        if self._translator is None:
            raise AssertionError("a stream that ends well has chunks, and a failure before them is no event")
        await self.write(_lines(_ending(self._translator, error)), more=False)

    def _begun(self, chunk: bytes) -> tuple[Translator, list[Event]]:
        if self._translator is not None:
            return self._translator, []
        frame = stream.frame_of(chunk, self.headers["x-task-id"], self._asked.known)
        self._translator = Translator(frame)
        return self._translator, self._translator.open()


async def _answer(
    request: Request, submission: Submission, caller: Key, asked: Asked, repeat: Repeat | None
) -> Responder:
    if asked.streams:
        return SyncStream(submission, caller, repeat, lambda request, send: EventSink(request, send, asked))
    told = Told()
    try:
        with WhilePresent(request):
            completion = await request.services.engine.calls.complete(submission, caller, told, repeat)
    except ReynardError as error:
        failed = response_of(requests.in_words(error, asked.places))
        failed.headers.update(told.headers())
        return failed
    headers = told.headers()
    frame = stream.frame_of(completion, headers["x-task-id"], asked.known)
    body = msgspec.json.encode(Translator(frame).whole(completion))
    return Answer(body, headers=headers)


async def _subscribe(request: Request, task: Task, after: int | None) -> Responder:
    """The events of a durable task behind number `after`, translated from its first chunk on."""
    engine = request.services.engine
    replay = _Replay(Translator(_frame(task)), after)
    begun, count, ended = replay.opening(), 0, False
    while True:
        batch = await engine.read(task.id, count, 0.0)
        begun += replay.events(count, batch)
        count, ended = count + len(batch.chunks), batch.end is not None
        if replay.has_reached or ended or not batch.chunks:
            break
        await asyncio.sleep(0)  # a long log is translated a batch at a time; others have their turn in between
    replay.check()
    return Subscription(engine, task.id, count, begun, 0, ended, replay.events, replay.failure)


class _Replay:
    """A stream from its first chunk on, of which the events behind number `after` are written."""

    def __init__(self, translator: Translator, after: int | None) -> None:
        self._translator = translator
        self._after = -1 if after is None else after

    @property
    def has_reached(self) -> bool:
        """Whether there is an event numbered `after`."""
        return self._translator.number > self._after

    def check(self) -> None:
        """Raises `OffsetOutOfRange` where there is none."""
        if not self.has_reached:
            raise OffsetOutOfRange(
                f"`starting_after` is past the end: the stream has {self._translator.number} events.",
                param="starting_after",
            )

    def opening(self) -> bytes:
        """What comes before any chunk."""
        return _lines(self._translator.open(), self._after)

    def events(self, _: int, batch: Batch) -> bytes:
        """The events of the next batch."""
        found = [event for chunk in batch.chunks for event in self._translator.feed(chunk)]
        return _lines([*found, *self._end(batch)], self._after)

    def failure(self, error: ReynardError) -> bytes:
        """The end of a subscription that cannot go on."""
        return _lines(self._translator.fail(answer.failure(error.code, error.message)), self._after)

    def _end(self, batch: Batch) -> list[Event]:
        """A failure is told whatever was read: the log may have been lost with the process that had it."""
        end = batch.end
        if end is None:
            return []
        if end.cancelled or end.error is not None:
            self._translator.skip_to(self._after + 1)
        return _end_of(end, self._translator)


def _lines(events: Sequence[Event], after: int = -1) -> bytes:
    return b"".join([event.line() for event in events if event.number > after])


def _end_of(end: StreamEnd, translator: Translator) -> list[Event]:
    if end.cancelled:
        return translator.cancel()
    if end.error is not None:
        return translator.fail(answer.failure(end.error.code, end.error.message))
    return translator.end()


def _ending(translator: Translator, error: ReynardError | None) -> list[Event]:
    match error:
        case None:
            return translator.end()
        case CallCancelled():
            return translator.cancel()
        case _:
            return translator.fail(answer.failure(error.code, error.message))


def _shown(found: Found) -> Answer:
    """A task as a Response object."""
    task, result = found
    frame = _frame(task)
    if task.status is Status.COMPLETED:
        if result is None:
            raise NotFound("The output of the response is no longer kept.")
        shown = Translator(frame).whole(result)
        if shown.status == "completed":
            shown = msgspec.structs.replace(shown, completed_at=int(task.ended or task.created))
    else:
        error = None if task.error is None else answer.failure(task.error.code, task.error.message)
        shown = frame.show(SHOWN[shown_status(task)], error=error)
    return Answer(msgspec.json.encode(shown), headers={"x-task-id": task.id})


def _submitted(ticket: Ticket) -> Answer:
    """A response in the background as it begins; the same for one that is repeated later (`views.submitted`)."""
    shown = _frame(ticket.task).show("queued")
    return Answer(msgspec.json.encode(shown), headers=headers_of(ticket))


def _frame(task: Task) -> Frame:
    return Frame(task_id=task.id, created=int(task.created), model=task.model, background=not task.sync)


def _task_id(request: Request) -> str:
    """The task behind the response of the path. Raises `TaskNotFound`."""
    response_id: str = request.path_params["response_id"]
    found = answer.task_of(response_id)
    if found is None:
        raise _not_there(request)
    return found


@contextmanager
def _as_response(request: Request) -> Iterator[None]:
    """Speaks of a task that is gone as the client did."""
    try:
        yield
    except TaskNotFound:
        raise _not_there(request) from None


def _not_there(request: Request) -> TaskNotFound:
    response_id: str = request.path_params["response_id"]
    return TaskNotFound(f"There is no response `{response_id[:80]}`.", param="response_id")


def _flag(request: Request, name: str) -> bool:
    """A yes or no of the query string. Raises `InvalidParam`."""
    text = request.query_params.get(name, "false")
    if text not in ("true", "false"):
        raise InvalidParam(f"`{name}` must be true or false.", param=name)
    return text == "true"
