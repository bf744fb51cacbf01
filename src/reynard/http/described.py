"""The API described: for programs, for people, and for models."""

from functools import cache
from importlib.resources import files
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from reynard.http import openapi

POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


async def openapi_json(request: Request) -> Response:
    """OpenAPI 3.1."""
    return Response(_openapi(), media_type="application/json")


async def docs(request: Request) -> Response:
    """A page that shows `/openapi.json`, with nothing fetched from elsewhere."""
    headers = {"content-security-policy": POLICY, "x-content-type-options": "nosniff"}
    return Response(_page("docs.html"), headers=headers, media_type="text/html; charset=utf-8")


async def llms_txt(request: Request) -> Response:
    """The documentation index (https://llmstxt.org)."""
    return Response(_page("llms.txt"), media_type="text/plain; charset=utf-8")


@cache
def _openapi() -> bytes:
    return msgspec.json.encode(openapi.document())


@cache
def _page(name: str) -> bytes:
    return files(__package__).joinpath("pages", name).read_bytes()
