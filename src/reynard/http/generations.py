"""`POST /v1/llm/generations` and its stream; `POST /v1/chat/completions`, the same engine in OpenAI's own shape."""

import asyncio
from collections.abc import Callable

from reynard.core import forms
from reynard.core.errors import InvalidParam, Overloaded, ReynardError, StoreUnavailable
from reynard.core.forms import Submission
from reynard.core.idempotency import Repeat
from reynard.core.keys import Key
from reynard.engine.engine import Engine
from reynard.http import sse, views
from reynard.http.answers import Answer, Responder
from reynard.http.asgi import ClientGone, Send
from reynard.http.errors import response_of
from reynard.http.presence import WhilePresent
from reynard.http.request import Request
from reynard.http.requests import Told, caller_of, headers_of, json_body, number, repeat_of
from reynard.ports.chunks import Batch

MOST_OFFSET = 2**53
RETRY_S = 1.0


async def create_generation(request: Request) -> Responder:
    """All five forms (spec section 1), answered as a task, a stream or a completion (section 2)."""
    caller = await caller_of(request)
    body = await json_body(request)
    submission, repeat = forms.parse(body), repeat_of(request, body)
    if submission.sync:
        return await _answer(request, submission, caller, repeat)
    ticket = await request.services.engine.submit(submission, caller, repeat)
    return Answer(views.submitted(ticket.task), headers=headers_of(ticket))


async def create_chat_completion(request: Request) -> Responder:
    """OpenAI's own path: always awaited in place."""
    caller = await caller_of(request)
    body = await json_body(request)
    return await _answer(request, forms.parse_chat(body), caller, repeat_of(request, body))


async def read_stream(request: Request) -> Responder:
    """`GET /v1/llm/generations/{id}/stream`: from `offset`, or after `Last-Event-ID` (spec section 2.5)."""
    engine = request.services.engine
    caller = await caller_of(request)
    task = await engine.stream(request.path_params["task_id"], caller)
    offset = _offset(request)
    first = await engine.read(task.id, offset, 0.0)  # an offset out of range is still a plain error
    return Subscription(engine, task.id, offset, sse.events(offset, first), len(first.chunks), first.end is not None)


async def _answer(request: Request, submission: Submission, caller: Key, repeat: Repeat | None) -> Responder:
    if submission.generation.stream:
        return SyncStream(submission, caller, repeat)
    told = Told()
    try:
        with WhilePresent(request):
            body = await request.services.engine.calls.complete(submission, caller, told, repeat)
    except ReynardError as error:
        response = response_of(error)
        response.headers.update(told.headers())
        return response
    return Answer(body, headers=told.headers())


def _offset(request: Request) -> int:
    last = request.header(b"last-event-id")
    if "offset" not in request.query_params and last is not None:
        if not last.isascii() or not last.isdigit() or len(last) > 16:
            raise InvalidParam("`Last-Event-ID` must be the id of a chunk.", param="Last-Event-ID")
        return int(last) + 1
    offset: int = number(request, "offset", 0, least=0, most=MOST_OFFSET, whole=True)
    return offset


class SyncStream:
    """The bare OpenAI stream (spec section 2.3). Before the first chunk a failure is a plain error with its status.

    `sink` writes it; that of another API has events of its own.
    """

    def __init__(
        self,
        submission: Submission,
        caller: Key,
        repeat: Repeat | None,
        sink: Callable[[Request, Send], sse.ResponseSink] = sse.ResponseSink,
    ) -> None:
        self._sink = sink
        self._submission = submission
        self._caller = caller
        self._repeat = repeat

    async def __call__(self, request: Request, send: Send) -> None:
        """Writes as the chunks come."""
        sink = self._sink(request, send)
        engine = request.services.engine
        try:
            with WhilePresent(request):
                await engine.calls.relay(self._submission, self._caller, sink, sink.announce, self._repeat)
                await sink.end()
        except ClientGone:
            return
        except ReynardError as error:
            if sink.started:
                await sink.end(error)
            else:
                await sink.refusal(error)(request, send)


class Subscription:
    """One reader of a durable stream. When it goes, the task goes on.

    `events` writes a batch from an offset on, `failure` why it cannot be read on.
    """

    def __init__(
        self,
        engine: Engine,
        task_id: str,
        offset: int,
        first: bytes,
        count: int,
        ended: bool,
        events: Callable[[int, Batch], bytes] = sse.events,
        failure: Callable[[ReynardError], bytes] = sse.failure,
    ) -> None:
        self._failure = failure
        self._events = events
        self._engine = engine
        self._task_id = task_id
        self._offset = offset + count
        self._first = first
        self._ended = ended

    async def __call__(self, request: Request, send: Send) -> None:
        """Writes what there is, then what comes, with a ping while nothing does."""
        await send(request.start(200, [*sse.HEADERS, (b"x-task-id", self._task_id.encode())]))
        try:
            with WhilePresent(request):
                await self._write(send, request.services.ping_s)
        except ClientGone:
            return

    async def _write(self, send: Send, ping_s: float) -> None:
        data, ended = self._first, self._ended
        while True:
            await send({"type": "http.response.body", "body": data, "more_body": not ended})
            if ended:
                return
            data, ended = await self._next(ping_s)

    async def _next(self, ping_s: float) -> tuple[bytes, bool]:
        """What is written next, and whether it is the last. While the store is away, the client is told to wait."""
        try:
            batch = await self._engine.read(self._task_id, self._offset, ping_s)
        except (StoreUnavailable, Overloaded):
            await asyncio.sleep(min(RETRY_S, ping_s))
            return sse.PING, False
        except ReynardError as error:
            return self._failure(error), True
        data = self._events(self._offset, batch) or sse.PING
        self._offset += len(batch.chunks)
        return data, batch.end is not None
