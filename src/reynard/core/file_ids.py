"""Uploaded files that a request names by their ids: found in it, and put in their places by address."""

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from reynard.core.errors import InvalidParam
from reynard.core.generation import Generation
from reynard.core.messages import Block, FileBlock, FileLinkBlock, ImageBlock, ImageFile, ImageLink, Link, Message

MOST_IDS: Final = 100


def named(generation: Generation) -> dict[str, str]:
    """The ids of files in the request, each with the path of the (first) field that has it. Raises `InvalidParam`."""
    found: dict[str, str] = {}
    for index, message in enumerate(generation.messages):
        content = message.content
        if content is None or isinstance(content, str):
            continue
        for position, block in enumerate(content):
            match block:
                case FileBlock(file=file) if file.file_id is not None:
                    param = f"messages[{index}].content[{position}].file"
                    _check_alone(block, param)
                    _note(found, file.file_id, param)
                case ImageBlock(image_url=ImageFile(url=file_id)):
                    _note(found, file_id, f"messages[{index}].content[{position}].image_url")
    return found


def _check_alone(block: FileBlock, param: str) -> None:
    if block.file.file_data is not None:
        raise InvalidParam(f"`{param}` takes either `file_data` or `file_id`.", param=param)
    if block.file.filename is not None:
        raise InvalidParam(
            f"`{param}.filename` goes with `file_data`; an uploaded file has its name.", param=f"{param}.filename"
        )


def _note(found: dict[str, str], file_id: str, param: str) -> None:
    found.setdefault(file_id, f"{param}.file_id")
    if len(found) > MOST_IDS:
        raise InvalidParam(f"A request may name at most {MOST_IDS} files.", param=param)


def addressed(generation: Generation, urls: Mapping[str, str]) -> Generation:
    """`generation` with the address of every file in place of its id."""
    return replace(generation, messages=tuple(_message(message, urls) for message in generation.messages))


def _message(message: Message, urls: Mapping[str, str]) -> Message:
    content = message.content
    if content is None or isinstance(content, str):
        return message
    return replace(message, content=tuple(_block(block, urls) for block in content))  # type: ignore[arg-type]


def _block(block: Block, urls: Mapping[str, str]) -> Block:
    match block:
        case FileBlock(file=file) if file.file_id is not None:
            return FileLinkBlock(file_url=Link(url=urls[file.file_id]), cache_control=block.cache_control)
        case ImageBlock(image_url=ImageFile() as image):
            link = ImageLink(url=urls[image.url], detail=image.detail)
            return ImageBlock(image_url=link, cache_control=block.cache_control)
        case _:
            return block
