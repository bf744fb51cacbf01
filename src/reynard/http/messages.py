"""`POST /v1/messages`: the same engine in Anthropic's own shape. `anthropic-beta` only switches on what is on here."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from reynard.core import tokens
from reynard.core.catalogue import Model
from reynard.core.chat import Chunk, Completion
from reynard.core.errors import NoAvailableModel, PermissionDenied, ReynardError, UnsupportedOptions
from reynard.core.forms import Submission
from reynard.core.generation import Generation
from reynard.core.idempotency import Repeat
from reynard.core.keys import Key
from reynard.core.surfaces import messages
from reynard.core.surfaces.messages import Asked, EventTranslator, TokenCount
from reynard.core.surfaces.messages.request import named
from reynard.core.surfaces.messages.stream import PING
from reynard.http import shapes, sse
from reynard.http.answers import Answer, Responder
from reynard.http.asgi import ClientGone, Send
from reynard.http.errors import body_of, kind_of, response_of
from reynard.http.presence import WhilePresent
from reynard.http.request import Request
from reynard.http.requests import Told, caller_of, json_body, repeat_of

LEFT_OUT: Final = "x-left-out"
"""Names the hints of a request that no channel of the model has a word for."""

Call = Callable[[Submission], Awaitable[bytes | None]]

_completions = msgspec.json.Decoder(Completion)
_chunks = msgspec.json.Decoder(Chunk)


async def create_message(request: Request) -> Responder:
    """A message, or the events of one."""
    caller = await caller_of(request)
    sent = await json_body(request)
    asked, repeat = messages.parse(sent), repeat_of(request, sent)
    if asked.generation.stream:
        return MessageStream(asked, caller, repeat)
    headers, told = shapes.own_headers(request), Told()

    async def call(submission: Submission) -> bytes:
        return await request.services.engine.calls.complete(submission, caller, told, repeat)

    try:
        with WhilePresent(request):
            body = await _without_hints(call, asked.generation, headers)
    except ReynardError as error:
        return _refusal(request, asked, error, {**headers, **told.headers()})
    message = messages.message(_completions.decode(body or b""))
    return Answer(message, headers={**headers, **told.headers()})


async def count_tokens(request: Request) -> Answer:
    """`POST /v1/messages/count_tokens`: an estimate, for a model that the key may use."""
    caller = await caller_of(request)
    asked = messages.parse_count(await json_body(request))
    model = _usable_model(request, asked.generation.model, caller)
    count = TokenCount(tokens.of_prompt(asked.generation, model.media_tokens))
    return Answer(msgspec.json.encode(count), headers=shapes.own_headers(request))


def _usable_model(request: Request, model_id: str, caller: Key) -> Model:
    """The model, checked as for a generation, but for what that asks of it."""
    routes = request.services.engine.routes
    model = routes.catalogue.find(model_id)
    if not caller.may_use(model_id):
        raise PermissionDenied(f"This key may not use the model `{model_id}`.", param="model")
    if model not in routes.usable(caller):
        raise NoAvailableModel(
            f"No channel is configured for the model `{model_id}`. The gateway's operator can add one.", param="model"
        )
    return model


async def _without_hints(call: Call, generation: Generation, headers: dict[str, str]) -> bytes | None:
    """`call`, without those hints that no channel has a word for: each is refused before anything is stored or sent."""
    left_out: list[str] = []
    while True:
        try:
            return await call(Submission("custom", generation, sync=True))
        except UnsupportedOptions as error:
            lighter = messages.lighter(generation, error.param)
            if lighter is None:
                raise
            generation = lighter
            left_out.append(named(error.param or ""))
            headers[LEFT_OUT] = ", ".join(left_out)


def _refusal(request: Request, asked: Asked, error: ReynardError, headers: dict[str, str]) -> Answer:
    response = response_of(messages.reworded(error, asked.places))
    response.headers.update(headers)
    return shapes.shaped(request, response)


class EventSink(sse.ResponseSink):
    """The events of a message, as the chunks come."""

    def __init__(self, request: Request, send: Send, eager: frozenset[str]) -> None:
        super().__init__(request, send)
        self._events = EventTranslator(eager)

    async def put(self, chunks: Sequence[bytes]) -> None:
        """See `Sink`."""
        events = b"".join([self._events.feed(_chunks.decode(chunk)) for chunk in chunks])
        await self.write(events or PING)  # where all of it waits, a proxy should not think that nothing comes

    async def end(self, error: ReynardError | None = None) -> None:
        """`message_stop`, or the error in its place."""
        await self.write(self._events.end() if error is None else self._error(error), more=False)

    def _error(self, error: ReynardError) -> bytes:
        said = shapes.error_of(kind_of(error)[0], body_of(error), self._request)
        return b"event: error\ndata: %b\n\n" % msgspec.json.encode(said)


class MessageStream:
    """A stream of events. Before the first of them a failure is a plain error with its status."""

    def __init__(self, asked: Asked, caller: Key, repeat: Repeat | None) -> None:
        self._repeat = repeat
        self._asked = asked
        self._caller = caller

    async def __call__(self, request: Request, send: Send) -> None:
        """Writes as the chunks come."""
        sink = EventSink(request, send, self._asked.eager)
        headers = shapes.own_headers(request)
        engine = request.services.engine

        async def call(submission: Submission) -> None:
            sink.add_headers(headers)
            await engine.calls.relay(submission, self._caller, sink, sink.announce, self._repeat)

        try:
            with WhilePresent(request):
                await _without_hints(call, self._asked.generation, headers)
                await sink.end()
        except ClientGone:
            return
        except ReynardError as error:
            if sink.started:
                await sink.end(messages.reworded(error, self._asked.places))
            else:
                await _refusal(request, self._asked, error, sink.headers)(request, send)
