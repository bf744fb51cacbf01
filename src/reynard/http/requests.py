"""What the routes read of a request: the caller, the body, a number in the query."""

from typing import Any

from reynard.core import idempotency
from reynard.core.errors import BodyStalled, BodyTooLarge, InvalidParam, MalformedBody, UnsupportedEncoding
from reynard.core.idempotency import Repeat
from reynard.core.keys import Key
from reynard.engine.calls import Ticket
from reynard.http.answers import JSON
from reynard.http.bodies import Incoming
from reynard.http.request import Request


async def caller_of(request: Request) -> Key:
    """The key that calls: a bearer token, else what Anthropic's clients send. Raises `AuthenticationFailed`."""
    scheme, _, secret = request.header(b"authorization", "").partition(" ")
    said = secret.strip() if scheme.lower() == "bearer" else request.header(b"x-api-key")
    caller = await request.services.engine.access.authenticate(said)
    request.caller_id = caller.id
    return caller


def repeat_of(request: Request, body: bytes) -> Repeat | None:
    """The `Idempotency-Key`, with what it stands for. Raises `InvalidParam`."""
    name = request.header(b"idempotency-key")
    return None if name is None else idempotency.repeat_of(name, request.path, body)


def headers_of(ticket: Ticket) -> dict[str, str]:
    """What a caller is told of its request in headers: its task, its limits, who serves it."""
    headers = {"x-task-id": ticket.task.id}
    if ticket.allowance is not None:
        headers.update(ticket.allowance.headers())
    if ticket.served_by:
        headers["x-served-by"] = ticket.served_by
    if ticket.is_repetition:
        headers["idempotent-replayed"] = "true"
    return headers


class Told:
    """The headers of a call's answer, whose ticket comes while it runs."""

    def __init__(self) -> None:
        self.ticket: Ticket | None = None

    def __call__(self, ticket: Ticket) -> None:
        """See `calls.Announce`."""
        self.ticket = ticket

    def headers(self) -> dict[str, str]:
        """None, as long as there is no task."""
        return {} if self.ticket is None else headers_of(self.ticket)


async def json_body(request: Request, most: int | None = None) -> bytes:
    """The body, of a bounded size: `most`, or as the settings have it.

    Raises `MalformedBody`, `BodyTooLarge`, `UnsupportedEncoding`, `BodyStalled`, `Overloaded`.
    """
    check_json(request)
    check_plain(request)
    limit = request.services.max_body_bytes if most is None else most
    announced = announced_bytes(request)
    if announced is not None and announced > limit:
        raise _too_large(limit)
    incoming = Incoming(request.receive, BodyStalled)
    part, more = await incoming.next()
    if len(part) > limit:
        raise _too_large(limit)
    return await _whole(request, incoming, part, limit, announced or 0) if more else part


def check_json(request: Request) -> None:
    """Raises `MalformedBody` for a body that says it is something else."""
    said = request.header(b"content-type", JSON)
    if said == JSON:
        return
    kind = said.partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise MalformedBody("The body must be JSON: send `Content-Type: application/json`.")


def check_plain(request: Request) -> None:
    """Raises `UnsupportedEncoding` for a compressed body."""
    if request.header(b"content-encoding", "identity") != "identity":
        raise UnsupportedEncoding("The body must not be compressed: leave `Content-Encoding` out.")


def announced_bytes(request: Request) -> int | None:
    """The length of the body, if the client says it."""
    announced = request.header(b"content-length", "")
    return int(announced) if announced.isdigit() and len(announced) <= 18 else None


async def _whole(request: Request, incoming: Incoming, begun: bytes, limit: int, announced: int) -> bytes:
    """A body that comes in more than one message, as only large ones do."""
    parts, size, more = [begun], len(begun), True
    with request.services.room.held(request.caller_id, announced) as held:
        held.grow(size)
        while more:
            part, more = await incoming.next()
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            held.grow(size)
            parts.append(part)
        return b"".join(parts)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body has more than {limit} bytes. Send large media as a URL.")


def number(request: Request, name: str, default: Any, *, least: float, most: float, whole: bool = False) -> Any:
    """A number of the query string. Raises `InvalidParam`."""
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = None
    if value is None or not least <= value <= most:
        kind = "a whole number" if whole else "a number"
        raise InvalidParam(f"`{name}` must be {kind} from {_plain(least)} to {_plain(most)}.", param=name)
    return value


def _plain(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)
