"""Which addresses are passed on to a provider, and which the gateway reads itself."""

from contextlib import AbstractAsyncContextManager

import pytest

from reynard.core.channels import Channel
from reynard.core.generation import Generation
from reynard.core.media import Intake, MediaSource
from reynard.core.media import sources as sources_of
from reynard.core.messages import FileLinkBlock, ImageBlock, ImageLink, Link, UserMessage
from reynard.engine.media import Gatherer, MediaLimits
from reynard.ports.media import Opened
from reynard.testing.clock import FakeClock


class _Nobody:
    """Fetches nothing, and owns what says so."""

    def open(self, url: str, limit: int) -> AbstractAsyncContextManager[Opened]:
        raise AssertionError

    def owns(self, url: str) -> bool:
        return "own" in url


GATHERER = Gatherer(_Nobody(), _Nobody(), FakeClock(), MediaLimits())
PUBLIC = Channel(name="c", dialect="anthropic", base_url="https://api.example.org", models=())
PDFS = Intake(fetches=frozenset({"image", "file"}), formats={"file": ("pdf",)}, inline_bytes=1)


def source(url: str, kind: str) -> MediaSource:
    block = FileLinkBlock(file_url=Link(url=url)) if kind == "file" else ImageBlock(image_url=ImageLink(url=url))
    return sources_of(Generation(model="m", messages=(UserMessage(content=(block,)),)))[0]


@pytest.mark.parametrize(
    ("kind", "url", "is_passed_on"),
    [
        ("file", "https://example.org/a.pdf", True),
        ("file", "https://example.org/a.PDF?x=1", True),
        ("file", "https://example.org/a.txt", False),
        ("file", "https://example.org/a", False),
        ("file", "https://own.example.org/a.pdf", False),
        ("file", "http://example.org/a.pdf", False),
        ("image", "https://example.org/a", True),
        ("image", "https://example.org/a.pdf", True),
    ],
)
def test_a_format_that_the_provider_does_not_read_is_read_here(kind: str, url: str, is_passed_on: bool) -> None:
    assert GATHERER.is_passed_on(source(url, kind), PDFS, PUBLIC) is is_passed_on


def test_without_formats_every_one_is_passed_on() -> None:
    intake = Intake(fetches=frozenset({"file"}), inline_bytes=1)
    assert GATHERER.is_passed_on(source("https://example.org/a.txt", "file"), intake, PUBLIC)
    assert not GATHERER.is_passed_on(source("https://example.org/a.png", "image"), intake, PUBLIC)
