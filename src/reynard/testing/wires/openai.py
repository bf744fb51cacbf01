"""OpenAI Chat Completions: https://platform.openai.com/docs/api-reference/chat, and Azure's paths of it:
https://learn.microsoft.com/azure/ai-foundry/openai/reference.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

import msgspec

from reynard.core import playback
from reynard.core.errors import InvalidParam
from reynard.core.forms import CustomForm
from reynard.core.generation import Generation
from reynard.core.media import as_said, sources
from reynard.core.messages import Json
from reynard.core.playback import Spoken
from reynard.core.simulation import Failure, Script
from reynard.testing.wires.exchange import (
    Asked,
    Received,
    Refused,
    Request,
    Route,
    StoredFile,
    identity,
    named,
    require,
)
from reynard.testing.wires.magic import contradicts, decoded

NAME: Final = "openai"
PATH: Final = "/v1/chat/completions"
AZURE_PATH: Final = "/openai/v1/chat/completions"
DEPLOYMENT: Final = re.compile(r"/openai/deployments/(?P<model>[^/]+)/chat/completions")
IMAGES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp")


class OpenAIChat(CustomForm, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """OpenAI Chat as it comes over the wire, with the words for reasoning that relatives of the dialect have."""

    thinking: Json | None = None
    chat_template_kwargs: Json | None = None


class DeploymentChat(OpenAIChat, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The same to an Azure deployment: the path names the model."""

    model: str = ""


_chats = msgspec.json.Decoder(OpenAIChat)
_deployment_chats = msgspec.json.Decoder(DeploymentChat)


def route(request: Request) -> Route | None:
    """OpenAI's one path, and Azure's two."""
    if request.path == PATH:
        return Route(NAME)
    if request.path == AZURE_PATH:
        return Route(NAME, "azure")
    found = DEPLOYMENT.fullmatch(request.path)
    return found and Route(NAME, "azure", model=unquote(found["model"]))


def key(request: Request, route: Route) -> str | None:
    """A bearer token; Azure's own header there."""
    if route.platform == "azure":
        return request.header(b"api-key")
    return (request.header(b"authorization") or "").removeprefix("Bearer ")


def denied(route: Route, given: str | None) -> Refused:
    """401."""
    return Refused("the key is wrong", 401)


def read(request: Request, route: Route, files: Mapping[str, StoredFile]) -> Asked:
    """See `Wire`."""
    if route.model is not None:
        require("api-version" in request.query, "Resource not found: the query has no api-version", 404)
    received = (_chats if route.model is None else _deployment_chats).decode(request.body)
    model, behaviour = named(route.model or received.model)
    return Asked(
        model=model,
        behaviour=behaviour,
        stream=received.stream,
        generation=received,
        id=identity(request),
        media=_media(received),
    )


def spoken(asked: Asked, played: Script, fail: Failure) -> Spoken:
    """See `Wire`."""
    return playback.openai(played, fail, model=asked.model, stream=asked.stream)


def error(status: int, reason: str, code: str | None = None) -> bytes:
    """`{"error": {"message", "type"}}`."""
    return msgspec.json.encode({"error": {"message": reason, "type": "invalid_request_error"}})


def _media(generation: Generation) -> tuple[Received, ...]:
    """What came beside the text. Images are of the four types that OpenAI reads, and not of another by their bytes."""
    found = []
    try:
        said = sources(generation)
    except InvalidParam as wrong:
        raise Refused(wrong.message) from None
    for source in said:
        media = as_said(source)
        if media.data is None:
            found.append(Received(source.kind, media.type, None, media.url))
            continue
        data = decoded(media.data, source.param)
        if source.kind == "image":
            declared = source.said[5:].partition(";")[0]
            require(declared in IMAGES, f"{source.param}: unsupported image type {declared}")
            require(not contradicts(data, declared), f"{source.param}: the image is not {declared}")
        found.append(Received(source.kind, media.type, data))
    return tuple(found)
