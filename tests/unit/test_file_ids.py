"""Uploaded files that a request names by id."""

from typing import Any

import msgspec
import pytest

from reynard.core import file_ids
from reynard.core.errors import InvalidParam
from reynard.core.generation import Generation
from reynard.core.messages import FileLinkBlock, ImageBlock, ImageFile, ImageLink, UserMessage

TEXT = {"type": "text", "text": "Read it."}


def by_id(file_id: str, **more: Any) -> dict[str, Any]:
    return {"type": "file", "file": {"file_id": file_id, **more}}


def generation(*messages: Any) -> Generation:
    rows = [{"role": "user", "content": content} for content in messages]
    return msgspec.convert({"model": "m", "messages": rows}, Generation)


def test_ids_are_found_with_their_place() -> None:
    asked = generation("Hello", [TEXT, by_id("file-1")], [by_id("file-2"), by_id("file-1")])
    assert file_ids.named(asked) == {
        "file-1": "messages[1].content[1].file.file_id",
        "file-2": "messages[2].content[0].file.file_id",
    }


def test_a_request_without_ids_names_none() -> None:
    assert file_ids.named(generation("Hello", [TEXT, {"type": "file", "file": {"file_data": "aGk="}}])) == {}


def test_the_address_takes_the_place_of_the_id_and_nothing_else_changes() -> None:
    cached = {**by_id("file-1"), "cache_control": {"type": "ephemeral"}}
    asked = generation("Hello", [TEXT, cached])
    found = file_ids.addressed(asked, {"file-1": "http://x/files/t/a.pdf"})
    assert found.messages[0] == asked.messages[0]
    content = found.messages[1].content
    assert isinstance(content, tuple)
    text, block = content
    assert msgspec.to_builtins(text) == TEXT
    assert isinstance(block, FileLinkBlock)
    assert (block.file_url.url, block.cache_control) == ("http://x/files/t/a.pdf", {"type": "ephemeral"})


def test_an_image_by_id_is_an_image_by_address() -> None:
    image = ImageBlock(image_url=ImageFile(url="file-1", detail="low"), cache_control={"type": "ephemeral"})
    asked = Generation(model="m", messages=(UserMessage(content=(image,)),))
    assert file_ids.named(asked) == {"file-1": "messages[0].content[0].image_url.file_id"}
    found = file_ids.addressed(asked, {"file-1": "http://x/files/t/a.png"})
    assert found.messages[0].content == (
        ImageBlock(
            image_url=ImageLink(url="http://x/files/t/a.png", detail="low"), cache_control={"type": "ephemeral"}
        ),
    )


def test_no_body_names_an_image_by_id() -> None:
    assert file_ids.named(generation([{"type": "image_url", "image_url": {"url": "file-1"}}])) == {}


@pytest.mark.parametrize(
    ("block", "param"),
    [
        (by_id("file-1", file_data="aGk="), "messages[0].content[0].file"),
        (by_id("file-1", filename="a.pdf"), "messages[0].content[0].file.filename"),
    ],
)
def test_what_does_not_go_with_an_id_is_refused(block: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidParam) as caught:
        file_ids.named(generation([block]))
    assert caught.value.param == param


def test_the_number_of_ids_is_bounded() -> None:
    with pytest.raises(InvalidParam, match="100"):
        file_ids.named(generation([by_id(f"file-{number}") for number in range(101)]))
