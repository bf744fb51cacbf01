"""Clients of a gateway that may die at any moment, and what each of them was told before it did."""

import contextlib
import dataclasses
import itertools
import threading
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import httpx2
from tests.crash.hooks import Hooks
from tests.processes import events
from tests.receiver import Receiver

SUBMIT: Final = "/v1/llm/generations"


class Chunk(NamedTuple):
    """One event of a stream, byte for byte."""

    event: str
    id: str
    data: str


@dataclasses.dataclass
class Told:
    """A request, and what its client knows of it. What stays empty was never answered."""

    number: int
    kind: str
    body: dict[str, Any]
    name: str | None = None  # its Idempotency-Key
    task_id: str | None = None
    completion: dict[str, Any] | None = None  # a whole answer to a sync call
    refused: str | None = None  # the code of a sync call that failed
    read: list[Chunk] = dataclasses.field(default_factory=list)  # from offset 0 on
    end: Chunk | None = None
    cancelled: bool = False
    final: dict[str, Any] | None = None  # the task at its end, as it was first seen

    @property
    def stream(self) -> str:
        return f"{SUBMIT}/{self.task_id}/stream"

    @property
    def is_sync(self) -> bool:
        return bool(self.body.get("sync"))

    @property
    def is_stream(self) -> bool:
        return bool(self.body.get("stream")) and not self.is_sync


Script = Callable[[httpx2.Client, Told], None]


def headers(told: Told) -> dict[str, str]:
    return {} if told.name is None else {"idempotency-key": told.name}


def submit(client: httpx2.Client, told: Told) -> None:
    """A durable task."""
    response = client.post(SUBMIT, json=told.body, headers=headers(told))
    assert response.status_code == 200, response.text
    task_id = response.json()["id"]
    assert told.task_id in (None, task_id), f"{told.name} made two tasks: {told.task_id}, {task_id}"
    told.task_id = task_id


def submit_and_read(client: httpx2.Client, told: Told) -> None:
    submit(client, told)
    read_on(client, told)


def submit_and_cancel(client: httpx2.Client, told: Told) -> None:
    """Cancels what is under way, after as much of it was read as there may be."""
    submit(client, told)
    if told.is_stream:
        read_on(client, told, until=3)
    response = client.post(f"/v1/tasks/{told.task_id}/cancel")
    assert response.status_code in (200, 409), response.text
    told.cancelled = response.status_code == 200


def call(client: httpx2.Client, told: Told) -> None:
    """The answer in place."""
    response = client.post(SUBMIT, json=told.body, headers=headers(told))
    if response.status_code == 200:
        completion = response.json()
        assert told.completion in (None, completion)
        told.completion, told.task_id = completion, response.headers["x-task-id"]
    elif response.json()["error"]["code"] != "idempotency_in_progress":
        told.refused = response.json()["error"]["code"]


def call_stream(client: httpx2.Client, told: Told) -> None:
    """The answer in place, chunk by chunk."""
    with client.stream("POST", SUBMIT, json=told.body, headers=headers(told)) as response:
        if response.status_code != 200:
            response.read()
            told.refused = response.json()["error"]["code"]
            return
        told.task_id = response.headers["x-task-id"]
        text = ""
        for part in response.iter_text():
            text += part
            told.read = whole_events(text)
        if told.read and told.read[-1].data.startswith(("[DONE]", '{"error"')):
            told.end = told.read.pop()


def call_stream_and_leave(client: httpx2.Client, told: Told) -> None:
    """Hangs up in the middle."""
    with client.stream("POST", SUBMIT, json=told.body, headers=headers(told)) as response:
        if response.status_code == 200:
            told.task_id = response.headers["x-task-id"]
            next(response.iter_raw(), None)


def read_on(client: httpx2.Client, told: Told, until: int | None = None) -> None:
    """Goes on with the stream from where it was left, to its end or up to so many chunks."""
    begun = len(told.read)
    with client.stream("GET", told.stream, params={"offset": begun}) as response:
        assert response.status_code == 200, response.read()
        text = ""
        for part in response.iter_text():
            text += part
            found = whole_events(text)
            told.read[begun:] = [chunk for chunk in found if chunk.event == "chunk"]
            told.end = next((chunk for chunk in found if chunk.event != "chunk"), None)
            if until is not None and len(told.read) >= until:
                return


def whole_events(text: str) -> list[Chunk]:
    """Those that came to their end."""
    end = text.rfind("\n\n")
    return [] if end < 0 else [Chunk(*event) for event in events(text[: end + 2])]


class Kind(NamedTuple):
    """One of the ways to ask: what is in the body, whether the request can be sent again, and what the client does."""

    fields: dict[str, Any]
    script: Script
    repeatable: bool = False


KINDS: dict[str, Kind] = {
    "async": Kind({}, submit),
    "async, repeatable": Kind({}, submit, repeatable=True),
    "async, cancelled": Kind({}, submit_and_cancel),
    "stream, unread": Kind({"stream": True}, submit),
    "stream, read": Kind({"stream": True}, submit_and_read),
    "stream, read, repeatable": Kind({"stream": True}, submit_and_read, repeatable=True),
    "stream, read, cancelled": Kind({"stream": True}, submit_and_cancel),
    "sync": Kind({"sync": True}, call),
    "sync, repeatable": Kind({"sync": True}, call, repeatable=True),
    "sync stream": Kind({"sync": True, "stream": True}, call_stream),
    "sync stream, left": Kind({"sync": True, "stream": True}, call_stream_and_leave),
}


class Crowd:
    """The clients of one key. What they were told outlives every gateway."""

    def __init__(self, key: str, receiver: Receiver) -> None:
        self.key = key
        self.hooks = Hooks(receiver)
        self.told: list[Told] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def client(self, url: str) -> httpx2.Client:
        return httpx2.Client(base_url=url, headers={"authorization": f"Bearer {self.key}"}, timeout=90)

    def ask(self, client: httpx2.Client, kind: str, model: str = "gpt-5.5") -> Told:
        """One request, until its client is done or the gateway is dead."""
        with self._lock:
            told = self._new(kind, model)
        with contextlib.suppress(httpx2.TransportError):  # it is dead: what was not told is not known
            KINDS[kind].script(client, told)
        return told

    def go_on(self, client: httpx2.Client, told: Told) -> bool:
        """What a kill cut off: sent again if it has an Idempotency-Key, else read on from where its reader was. False
        if the gateway is dead again."""
        try:
            if told.name is not None:
                KINDS[told.kind].script(client, told)
            elif told.is_stream:
                read_on(client, told)
        except httpx2.TransportError:
            return False
        return True

    def _new(self, kind: str, model: str) -> Told:
        number = next(self._numbers)
        body = {"model": model, "prompt": f"Number {number}.", "callback_url": f"{self.hooks.url}/{number}"}
        name = f"request-{number}" if KINDS[kind].repeatable else None
        told = Told(number, kind, {**body, **KINDS[kind].fields}, name)
        self.told.append(told)
        return told
