"""Every way of asking for an answer, and what a caller is told in each, in one shape."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2

from tests.processes import events, text_of

PROMPT = "Say something."


@dataclass
class Told:
    """What a caller was told. `code`: of the error, wherever it stands; `done`: it was told that this is the end."""

    status: int
    headers: httpx2.Headers
    raw: str
    text: str = ""
    code: str | None = None
    message: str = ""
    done: bool = False
    task: dict[str, Any] = field(default_factory=dict)


Ask = Callable[[httpx2.Client, str], Told]


def _failed(told: Told, error: dict[str, Any], code: str = "code") -> Told:
    return replace(told, code=error[code], message=error["message"])


def _body(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 100, **fields}


def _post(client: httpx2.Client, path: str, sent: dict[str, Any]) -> Told:
    """Anything but a 200 is told here, for all of them in one shape."""
    response = client.post(path, json=sent)
    told = Told(response.status_code, response.headers, response.text)
    return told if response.status_code == 200 else _failed(told, response.json()["error"])


def _chat(path: str, **fields: Any) -> Ask:
    def ask(client: httpx2.Client, model: str) -> Told:
        told = _post(client, path, _body(model, **fields))
        if told.code is not None:
            return told
        return replace(told, text=json.loads(told.raw)["choices"][0]["message"]["content"], done=True)

    return ask


def _chat_stream(path: str, **fields: Any) -> Ask:
    def ask(client: httpx2.Client, model: str) -> Told:
        told = _post(client, path, _body(model, stream=True, **fields))
        if told.code is not None:
            return told
        *lines, last = [data for _, _, data in events(told.raw)]
        if last == "[DONE]":
            return replace(told, text=text_of([json.loads(line) for line in lines]), done=True)
        told = _failed(told, json.loads(last)["error"])
        return replace(told, text=text_of([json.loads(line) for line in lines]))

    return ask


def _message(client: httpx2.Client, model: str) -> Told:
    told = _post(client, "/v1/messages", _body(model))
    if told.code is not None:
        return told
    return replace(told, text="".join(block["text"] for block in json.loads(told.raw)["content"]), done=True)


def _message_stream(client: httpx2.Client, model: str) -> Told:
    told = _post(client, "/v1/messages", _body(model, stream=True))
    if told.code is not None:
        return told
    found = [json.loads(data) for _, _, data in events(told.raw)]
    deltas = [event["delta"] for event in found if event["type"] == "content_block_delta"]
    told = replace(told, text="".join(delta["text"] for delta in deltas))
    last = found[-1]
    return replace(told, done=True) if last["type"] == "message_stop" else _failed(told, last["error"])


def _response_text(shown: dict[str, Any]) -> str:
    return "".join(part["text"] for item in shown["output"] for part in item["content"])


def _response(client: httpx2.Client, model: str) -> Told:
    told = _post(client, "/v1/responses", {"model": model, "input": PROMPT, "max_output_tokens": 100})
    if told.code is not None:
        return told
    shown = json.loads(told.raw)
    return replace(told, text=_response_text(shown), done=shown["status"] == "completed")


def _response_stream(client: httpx2.Client, model: str) -> Told:
    sent = {"model": model, "input": PROMPT, "max_output_tokens": 100, "stream": True}
    told = _post(client, "/v1/responses", sent)
    if told.code is not None:
        return told
    found = [json.loads(data) for _, _, data in events(told.raw)]
    told = replace(told, text="".join(e["delta"] for e in found if e["type"] == "response.output_text.delta"))
    last = found[-1]
    if last["type"] != "response.failed":
        return replace(told, done=last["type"] == "response.completed")
    return _failed(told, last["response"]["error"], "type")


def _later(client: httpx2.Client, told: Told) -> Told:
    """As the task's end has it."""
    task = client.get(f"/v1/tasks/{json.loads(told.raw)['id']}", params={"wait": 60}).json()
    if task["status"] == "completed":
        return replace(told, text=task["results"][0]["choices"][0]["message"]["content"], done=True)
    return _failed(told, task["error"])


def _task(client: httpx2.Client, model: str) -> Told:
    return _later(client, _post(client, "/v1/llm/generations", _body(model)))


def _followed(client: httpx2.Client, told: Told) -> Told:
    raw = client.get(json.loads(told.raw)["stream"]["url"]).text
    *chunks, (name, _, data) = events(raw)
    assert [number for _, number, _ in chunks] == [str(number) for number in range(len(chunks))]
    told = replace(told, raw=told.raw + raw, text=text_of([json.loads(chunk) for _, _, chunk in chunks]))
    return replace(told, done=True) if name == "done" else _failed(told, json.loads(data))


def _unread_stream(client: httpx2.Client, model: str) -> Told:
    """Nobody reads before the end."""
    submitted = _post(client, "/v1/llm/generations", _body(model, stream=True))
    ended = _later(client, submitted)
    told = _followed(client, submitted)
    assert (told.done, told.code, told.text if told.done else "") == (ended.done, ended.code, ended.text)
    return told


def _read_stream(client: httpx2.Client, model: str) -> Told:
    """Read from the first chunk on, while it comes; and the same once more, when it has ended."""
    submitted = _post(client, "/v1/llm/generations", _body(model, stream=True))
    told = _followed(client, submitted)
    assert _followed(client, submitted).raw == told.raw
    return told


@dataclass(frozen=True)
class Way:
    """How it is asked. `hands_out`: what comes of a stream is handed out as it comes. `paced`: that needs a provider
    that takes its time, for the reader comes a moment later. `late`: how it ends is not the status of the answer."""

    ask: Ask
    stream: bool = False
    hands_out: bool = False
    paced: bool = False
    late: bool = False


WAYS = {
    "sync": Way(_chat("/v1/llm/generations", sync=True)),
    "sync stream": Way(_chat_stream("/v1/llm/generations", sync=True), stream=True, hands_out=True),
    "async": Way(_task, late=True),
    "async stream, unread": Way(_unread_stream, stream=True, late=True),
    "async stream, read": Way(_read_stream, stream=True, hands_out=True, paced=True, late=True),
    "chat completion": Way(_chat("/v1/chat/completions")),
    "chat completion stream": Way(_chat_stream("/v1/chat/completions"), stream=True, hands_out=True),
    "message": Way(_message),
    "message stream": Way(_message_stream, stream=True, hands_out=True),
    "response": Way(_response),
    "response stream": Way(_response_stream, stream=True, hands_out=True),
}
