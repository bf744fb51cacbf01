"""What the golden exchanges of the relatives are made with: the shipped rows, through the real settings."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from reynard import config
from reynard.bootstrap.wiring import codec_of
from reynard.core import forms
from reynard.core.channels import Channel
from reynard.core.chat import encode
from reynard.core.generation import Generation
from reynard.engine.media import Gatherer, MediaLimits
from reynard.engine.routes import Route
from reynard.ports.transport import WireRequest
from reynard.providers.auth import auth_of
from reynard.providers.openai import OpenAICodec
from reynard.testing.clock import FakeClock

FOLDER = Path(__file__).parent / "golden" / "relatives"
PNG = b"\x89PNG\r\n\x1a\n"
BASE = {"id": "chatcmpl-1", "created": 1, "model": "m"}
MODEL = '[[models]]\nid = "m"\ncapabilities = ["text", "vision", "video", "audio", "file"]\n'
CODEC = OpenAICodec()


def compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class Web:
    """Every address leads to the same picture."""

    type = "image/png"
    size: int | None = None

    def owns(self, url: str) -> bool:
        return False

    @asynccontextmanager
    async def open(self, url: str, limit: int) -> AsyncIterator["Web"]:
        yield self

    async def parts(self) -> AsyncGenerator[bytes, None]:
        yield PNG


def settings_of(relative: dict[str, Any], folder: Path) -> tuple[config.Settings, config.ChannelSettings]:
    """An operator's file of one row that names the provider, and the channel that it makes."""
    row = [f'provider = "{relative["provider"]}"', *relative.get("more", ())]
    text = f'{MODEL}[[channels]]\nname = "c"\nmodels = [{{ id = "m", upstream = "{relative["model"]}" }}]\n'
    file = folder / "reynard.toml"
    file.write_text(text + "\n".join(row) + "\n", "utf-8")
    settings = config.load(file, {relative["key"]: "sk-1"} if "key" in relative else {})
    return settings, next(channel for channel in settings.channels if channel.name == "c")


def channel_of(relative: dict[str, Any], folder: Path) -> Channel:
    settings, written = settings_of(relative, folder)
    return config.channel_of(written, settings.models)


def generation_of(asked: dict[str, Any]) -> Generation:
    return forms.parse(compact({"model": "m", **asked})).generation


def request_of(asked: dict[str, Any], channel: Channel, settings: config.Settings) -> WireRequest:
    generation = generation_of(asked)
    route = Route(channel, codec_of(channel.dialect), None)  # type: ignore[arg-type]
    gatherer = Gatherer(Web(), Web(), FakeClock(), MediaLimits())
    model = next(model for model in settings.models if model.id == "m")

    async def resolved() -> Any:
        return await gatherer.begin(generation, model, "key").resolve(route)

    return route.codec.encode(generation, channel, asyncio.run(resolved()))


def called(relative: dict[str, Any], asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The address, the headers and the body of the call that is made."""
    settings, written = settings_of(relative, folder)
    channel = config.channel_of(written, settings.models)
    environment = {relative["key"]: "sk-1"} if "key" in relative else {}
    auth = auth_of(channel, config.secrets_of(written, environment), FakeClock())
    request = request_of(asked, channel, settings)
    headers = {**request.headers, **asyncio.run(_headers(auth))}
    return {"to": channel.base_url + request.path, "headers": headers, "sent": request.body}


async def _headers(auth: Any) -> dict[str, str]:
    return dict(await auth.headers())


def refused(channel: Channel, samples: dict[str, Any]) -> list[str]:
    """Every parameter that the channel has no word for."""
    return [
        field
        for field in samples
        if codec_of(channel.dialect).unsupported(generation_of({**TEXT, field: samples[field]}), channel)
    ]


TEXT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}


def made(body: dict[str, Any]) -> dict[str, Any]:
    completion = CODEC.decode(compact(body))
    completion.id, completion.created, completion.model = "chatcmpl-1", 1, "m"
    answer: dict[str, Any] = json.loads(encode(completion))
    return {key: value for key, value in answer.items() if key not in (*BASE, "object")}


def streamed(lines: list[Any]) -> list[dict[str, Any]]:
    raw = "".join(line if isinstance(line, str) else f"data: {json.dumps(line)}\n\n" for line in lines)
    decoder = CODEC.stream_decoder()
    chunks = [*decoder.feed(raw.encode()), *decoder.close()]
    told = [json.loads(encode(chunk)) for chunk in chunks]
    return [{field: chunk[field] for field in ("choices", "usage") if field in chunk} for chunk in told]
