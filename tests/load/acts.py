"""What clients of the soak do, one by one. Each looks at its own answer: a soak that answers nonsense is none."""

import asyncio
import base64
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
from tests.processes import events, text_of
from tests.receiver import Receiver

GENERATIONS = "/v1/llm/generations"
MODELS = ("gpt-5.5", "claude-sonnet-4-6", "gemini-2.5-pro")
"""One of each dialect."""
SLOW_MODEL = "gpt-5.4"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40


@dataclass(frozen=True)
class Surroundings:
    """Servers of the operator's own network."""

    image_url: str
    receiver: Receiver


@dataclass
class User:
    """Somebody with a client and a key."""

    client: httpx2.AsyncClient
    around: "Surroundings"
    chance: random.Random
    number: int
    asked: int = field(default=0)

    def request(self, **fields: Any) -> dict[str, Any]:
        """One that was never made before, to a model of any dialect."""
        self.asked += 1
        prompt = f"user {self.number} asks for the {self.asked}th time"
        return {"model": self.chance.choice(MODELS), "prompt": prompt, "max_tokens": 64, **fields}

    async def post(self, path: str, body: Mapping[str, Any], **headers: str) -> httpx2.Response:
        response = await self.client.post(path, json=body, headers=headers)
        assert response.status_code == 200, response.text
        return response

    async def submitted(self, **fields: Any) -> dict[str, Any]:
        """A task."""
        task: dict[str, Any] = (await self.post(GENERATIONS, self.request(**fields))).json()
        return task

    async def ended(self, task_id: str, status: str = "completed") -> dict[str, Any]:
        """The task at its end."""
        task: dict[str, Any] = (await self.client.get(f"/v1/tasks/{task_id}", params={"wait": 60})).json()
        assert task["status"] == status, task
        return task

    async def text(self, task_id: str) -> str:
        """What it came to."""
        return spoken((await self.ended(task_id))["results"][0])

    async def streamed(self, path: str, offset: int = 0) -> list[dict[str, Any]]:
        """The chunks from an offset on, to the end."""
        told = events((await self.client.get(path, params={"offset": offset})).text)
        assert told[-1][0] == "done", told[-1]
        assert [int(number) for name, number, _ in told if name == "chunk"] == list(
            range(offset, offset + len(told) - 1)
        )
        return [json.loads(data) for name, _, data in told if name == "chunk"]


def spoken(completion: dict[str, Any]) -> str:
    text: str = completion["choices"][0]["message"]["content"]
    assert text
    return text


def said(lines: str) -> str:
    """The text of a bare OpenAI stream."""
    data = [line[6:] for line in lines.splitlines() if line.startswith("data: ")]
    assert data.pop() == "[DONE]", lines[-500:]
    return text_of([json.loads(line) for line in data])


async def waits_for_a_task(user: User) -> None:
    assert await user.text((await user.submitted())["id"])


async def follows_a_stream(user: User) -> None:
    task = await user.submitted(stream=True)
    assert text_of(await user.streamed(task["stream"]["url"])) == await user.text(task["id"])


async def loses_the_line_and_goes_on(user: User) -> None:
    task = await user.submitted(stream=True)
    async with user.client.stream("GET", task["stream"]["url"]) as response:
        async for _ in response.aiter_bytes():
            break
    whole = await user.streamed(task["stream"]["url"])
    assert await user.streamed(task["stream"]["url"], 5) == whole[5:]


async def calls_in_place(user: User) -> None:
    assert spoken((await user.post(GENERATIONS, user.request(sync=True))).json())


async def calls_in_place_with_a_stream(user: User) -> None:
    assert said((await user.post(GENERATIONS, user.request(sync=True, stream=True))).text)


async def speaks_openai_chat(user: User) -> None:
    asked = user.request()
    body = {"model": asked["model"], "max_tokens": 64, "messages": [{"role": "user", "content": asked["prompt"]}]}
    whole = spoken((await user.post("/v1/chat/completions", body)).json())
    assert said((await user.post("/v1/chat/completions", {**body, "stream": True})).text) == whole


async def speaks_responses(user: User) -> None:
    asked = user.request()
    body = {"model": asked["model"], "input": asked["prompt"], "background": True, "stream": True}
    told = events((await user.post("/v1/responses", body)).text)
    assert told[-1][0] == "response.completed", told[-1]


async def speaks_messages(user: User) -> None:
    asked = user.request()
    body = {"model": asked["model"], "max_tokens": 64, "messages": [{"role": "user", "content": asked["prompt"]}]}
    assert (await user.post("/v1/messages", body)).json()["content"][0]["text"]
    told = events((await user.post("/v1/messages", {**body, "stream": True})).text)
    assert told[-1][0] == "message_stop", told[-1]


async def uploads_and_asks(user: User) -> None:
    data = PNG + user.chance.randbytes(5_000)
    if user.chance.random() < 0.5:
        response = await user.client.post("/v1/files/upload/stream", files={"file": ("a.png", data)})
    else:
        body = {"file_data": base64.b64encode(data).decode(), "file_name": "a.png"}
        response = await user.client.post("/v1/files/upload/base64", json=body)
    assert response.status_code == 200, response.text
    file = response.json()
    task = await user.submitted(image_urls=[file["url"]])
    assert (await user.client.get(file["url"])).content == data
    assert await user.text(task["id"])
    if user.chance.random() < 0.5:
        assert (await user.client.delete(f"/v1/files/{file['id']}")).status_code == 200


async def asks_about_an_address(user: User) -> None:
    assert spoken((await user.post(GENERATIONS, user.request(image_urls=[user.around.image_url], sync=True))).json())


async def repeats_itself(user: User) -> None:
    body, name = user.request(stream=True), f"{user.number}-{user.asked}"
    first, again = [await user.post(GENERATIONS, body, **{"idempotency-key": name}) for _ in range(2)]
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    await user.ended(first.json()["id"])


async def is_told_of_the_end(user: User) -> None:
    task = await user.submitted(callback_url=f"{user.around.receiver.url}/good")
    await user.ended(task["id"])
    while (await delivery(user, task))["state"] != "delivered":
        await asyncio.sleep(0.1)


async def is_told_later(user: User) -> None:
    """The first time the receiver fails. The soak does not wait for the second."""
    receiver, path = user.around.receiver, f"/{user.number}-{user.asked}"
    receiver.answers[path] = (500, {})
    task = await user.submitted(callback_url=receiver.url + path)
    await user.ended(task["id"])
    while not (await delivery(user, task))["tries"]:
        await asyncio.sleep(0.1)
    del receiver.answers[path]


async def delivery(user: User, task: dict[str, Any]) -> dict[str, Any]:
    response = await user.client.get(f"/v1/webhooks/deliveries/msg_{task['id']}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def cancels(user: User) -> None:
    task = await user.submitted(model=SLOW_MODEL, stream=True)
    assert (await user.post(f"/v1/tasks/{task['id']}/cancel", {})).json()["status"] == "cancelled"
    assert events((await user.client.get(task["stream"]["url"])).text)[-1][0] == "error"


async def leaves_a_call(user: User) -> None:
    body = user.request(model=SLOW_MODEL, sync=True, stream=True)
    async with user.client.stream("POST", GENERATIONS, json=body) as response:
        task_id = response.headers["x-task-id"]
        async for _ in response.aiter_bytes():
            break
    await user.ended(task_id, "cancelled")


async def is_late(user: User) -> None:
    task = await user.submitted(model=SLOW_MODEL, timeout_s=0.3)
    assert (await user.ended(task["id"], "failed"))["error"]["code"] == "generation_timeout"


async def is_wrong(user: User) -> None:
    response = await user.client.post(GENERATIONS, json=user.request(colour="red"))
    assert response.status_code == 422, response.text
    response = await user.client.get("/v1/tasks", headers={"authorization": "Bearer sk-none"})
    assert response.status_code == 401, response.text


async def looks_around(user: User) -> None:
    for path in ("/v1/tasks?limit=20", "/v1/models", "/v1/files", "/openapi.json", "/readyz"):
        assert (await user.client.get(path)).status_code == 200, path


Act = Callable[[User], Awaitable[None]]
ACTS: tuple[Act, ...] = (
    waits_for_a_task,
    follows_a_stream,
    loses_the_line_and_goes_on,
    calls_in_place,
    calls_in_place_with_a_stream,
    speaks_openai_chat,
    speaks_responses,
    speaks_messages,
    uploads_and_asks,
    asks_about_an_address,
    repeats_itself,
    is_told_of_the_end,
    is_told_later,
    cancels,
    leaves_a_call,
    is_late,
    is_wrong,
    looks_around,
)
