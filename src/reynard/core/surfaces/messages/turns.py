"""The turns of a Messages request as messages of a chat, each content block with its place in the client's body."""

from collections.abc import Iterable, Iterator
from typing import Final

from reynard.core.errors import UnsupportedOptions
from reynard.core.messages import (
    AskedCall,
    AssistantMessage,
    Block,
    Content,
    FileBlock,
    FileBytes,
    FileLinkBlock,
    FunctionCall,
    FunctionToolCall,
    ImageBlock,
    ImageFile,
    ImageLink,
    Json,
    Link,
    Message,
    SystemMessage,
    TextBlock,
    ToolMessage,
    UserMessage,
)
from reynard.core.surfaces.messages import thoughts
from reynard.core.surfaces.messages.calls import arguments_of, exchanged
from reynard.core.surfaces.messages.wire import (
    AssistantTurn,
    Base64Source,
    Citations,
    ContentSource,
    Document,
    FileSource,
    Image,
    OnlyText,
    RedactedThinking,
    SearchResult,
    Shown,
    SystemTurn,
    Text,
    TextSource,
    Thinking,
    ToolResult,
    ToolUse,
    UrlSource,
    UserTurn,
)

FAILED: Final = "The tool call failed."
"""What stands in front of a result with `is_error`: a chat has no other place for it."""

Placed = tuple[Block, str]
Turn = tuple[Message, list[str]]
"""A message, and the places of its content blocks."""


def turn(said: UserTurn | AssistantTurn | SystemTurn, at: str) -> Iterator[Turn]:
    """The messages that a turn amounts to; several, if it has results of tools."""
    match said:
        case AssistantTurn(content=content):
            yield _assistant(content, f"{at}.content"), []
        case SystemTurn(content=content):
            yield system(content), []
        case UserTurn(content=content):
            yield from _user((Text(text=content),) if isinstance(content, str) else content, f"{at}.content")


def blocks_in(said: UserTurn | AssistantTurn | SystemTurn) -> int:
    """How many content blocks a turn has, those inside of others too."""
    if isinstance(said.content, str):
        return 0
    return sum(1 + _inside(block) for block in said.content)


def _inside(block: object) -> int:
    match block:
        case ToolResult(content=tuple(found)):
            return sum(1 + _inside(inner) for inner in found)
        case SearchResult(content=texts):
            return len(texts)
        case Document(source=ContentSource(content=tuple(found))):
            return len(found)
        case _:
            return 0


def system(content: str | tuple[OnlyText, ...]) -> Message:
    """Instructions."""
    if isinstance(content, str):
        return SystemMessage(content=content)
    return SystemMessage(content=_plain([_text(block) for block in content]))


def _user(content: "tuple[Shown | ToolResult, ...]", at: str) -> Iterator[Turn]:
    shown: list[Placed] = []
    for index, block in enumerate(content):
        place = f"{at}[{index}]"
        if isinstance(block, ToolResult):
            yield _result(block, place)
        else:
            shown += _blocks(block, place)
    if shown or not content:
        yield UserMessage(content=_plain([block for block, _ in shown])), [place for _, place in shown]


def _result(result: ToolResult, at: str) -> Turn:
    placed: list[Placed] = []
    if isinstance(result.content, str):
        placed = [(TextBlock(text=result.content), f"{at}.content")]
    else:
        for index, block in enumerate(result.content or ()):
            placed += _blocks(block, f"{at}.content[{index}]")
    if result.is_error:
        placed.insert(0, (TextBlock(text=FAILED), at))
    found = [block for block, _ in placed]
    if result.cache_control is not None and found:
        found[-1] = marked(found[-1], result.cache_control)
    message = ToolMessage(content=_plain(found), tool_call_id=exchanged(result.tool_use_id))
    return message, [place for _, place in placed]


def _assistant(content: "str | tuple[Text | Thinking | RedactedThinking | ToolUse, ...]", at: str) -> AssistantMessage:
    if isinstance(content, str):
        return AssistantMessage(content=content)
    texts: list[TextBlock] = []
    calls: list[AskedCall] = []
    words: list[str] = []
    details: list[Json] = []
    for index, block in enumerate(content):
        match block:
            case Text():
                texts.append(_text(block))
            case ToolUse():
                calls.append(_call(block))
            case _:
                words.append(block.thinking if isinstance(block, Thinking) else "")
                detail = thoughts.detail_of(block, f"{at}[{index}]")
                details += [detail] if detail is not None else []
    said = _plain(texts) if texts or not calls else None
    return AssistantMessage(
        content=said,  # type: ignore[arg-type]  # texts alone
        tool_calls=tuple(calls) or None,
        reasoning_content="".join(words) or None,
        reasoning_details=details or None,
    )


def _call(block: ToolUse) -> FunctionToolCall:
    function = FunctionCall(name=block.name, arguments=arguments_of(block.input))
    return FunctionToolCall(id=exchanged(block.id), function=function)


def _plain(blocks: Iterable[Block]) -> Content:
    """The simplest form of some blocks: one text with nothing on it is a string, and so is nothing at all."""
    match list(blocks):
        case []:
            return ""
        case [TextBlock(text=text, cache_control=None)]:
            return text
        case several:
            return tuple(several)


def _text(block: Text | OnlyText) -> TextBlock:
    return TextBlock(text=block.text, cache_control=block.cache_control)


def _blocks(block: Shown, at: str) -> Iterator[Placed]:
    match block:
        case Text():
            yield _text(block), at
        case Image(source=source):
            yield marked(_image(source), block.cache_control), f"{at}.source"
        case SearchResult(content=content):
            _check_citations(block.citations, at)
            texts = "\n".join([block.title, block.source, *[text.text for text in content]])
            yield TextBlock(text=texts, cache_control=block.cache_control), at
        case Document():
            _check_citations(block.citations, at)
            yield from _document(block, at)


def _document(block: Document, at: str) -> Iterator[Placed]:
    titled = isinstance(block.source, TextSource | ContentSource | FileSource)  # bytes have a name of their own
    head = "\n".join(line for line in (block.title if titled else None, block.context) if line)
    if head:
        yield TextBlock(text=head), at
    body = list(_body(block, f"{at}.source"))
    for inner, place in body[:-1]:
        yield inner, place
    for inner, place in body[-1:]:
        yield marked(inner, block.cache_control), place


def _body(block: Document, at: str) -> Iterator[Placed]:
    match block.source:
        case Base64Source() as source:
            yield FileBlock(file=FileBytes(file_data=_uri(source), filename=block.title)), at
        case UrlSource(url=url):
            yield FileLinkBlock(file_url=Link(url=url)), at
        case FileSource(file_id=file_id):
            yield FileBlock(file=FileBytes(file_id=file_id)), at
        case TextSource(data=text):
            yield TextBlock(text=text), at
        case ContentSource(content=content):
            for index, inner in enumerate((Text(text=content),) if isinstance(content, str) else content):
                yield from _blocks(inner, f"{at}.content[{index}]")


def _image(source: Base64Source | UrlSource | FileSource) -> Block:
    match source:
        case FileSource(file_id=file_id):
            return ImageBlock(image_url=ImageFile(url=file_id))
        case UrlSource(url=url):
            return ImageBlock(image_url=ImageLink(url=url))
        case Base64Source():
            return ImageBlock(image_url=ImageLink(url=_uri(source)))


def _uri(source: Base64Source) -> str:
    return f"data:{source.media_type};base64,{source.data}"


def marked(block: Block, cache_control: Json | None) -> Block:
    """`block`, with a mark up to where a prompt may be cached; what has no place for one stays as it is."""
    match block:
        case TextBlock(text=text) if cache_control is not None:
            return TextBlock(text=text, cache_control=cache_control)
        case ImageBlock(image_url=link) if cache_control is not None:
            return ImageBlock(image_url=link, cache_control=cache_control)
        case FileLinkBlock(file_url=link) if cache_control is not None:
            return FileLinkBlock(file_url=link, cache_control=cache_control)
        case FileBlock(file=file) if cache_control is not None:
            return FileBlock(file=file, cache_control=cache_control)
        case _:
            return block


def _check_citations(citations: Citations | None, at: str) -> None:
    if citations is not None and citations.enabled:
        raise UnsupportedOptions(
            f"`{at}.citations` is not to be had here: other providers have no such citations. Remove it.",
            param=f"{at}.citations",
        )
