"""The API described: for programs, for people, and for models."""

from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from reynard.http.answers import Answer
from reynard.http.request import Request

PAGES: Final = Path(__file__).with_name("pages")
POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


async def openapi_json(request: Request) -> Answer:
    """OpenAPI 3.1."""
    return Answer(_openapi())


async def docs(request: Request) -> Answer:
    """A page that shows `/openapi.json`, with nothing fetched from elsewhere."""
    headers = {"content-security-policy": POLICY, "x-content-type-options": "nosniff"}
    return Answer(_page("docs.html"), "text/html; charset=utf-8", headers=headers)


async def llms_txt(request: Request) -> Answer:
    """The documentation index (https://llmstxt.org)."""
    return Answer(_page("llms.txt"), "text/plain; charset=utf-8")


@cache
def _openapi() -> bytes:
    from reynard.http import openapi  # here: a sixth of a start's time, for what few ever ask

    return msgspec.json.encode(openapi.document())


@cache
def _page(name: str) -> bytes:
    return (PAGES / name).read_bytes()
