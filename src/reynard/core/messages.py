"""What a client may say: messages and content blocks, as the OpenAI Chat specification has them, and the documented
media blocks beside them (spec section 1). Unknown fields are refused by name: nothing is dropped in silence.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Json = dict[str, Any]


class _Block(Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True, omit_defaults=True):
    """A content block, told by its `type`."""


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An object inside a block or a message."""


class Link(_Part, frozen=True, kw_only=True):
    """A media source: a public http(s) URL or a base64 data URI."""

    url: Annotated[str, Meta(min_length=1)]


class ImageLink(Link, frozen=True, kw_only=True):
    """An image, and how closely to look at it."""

    detail: Literal["auto", "low", "high"] | None = None


class ImageFile(ImageLink, frozen=True, kw_only=True):
    """An image by the id of an uploaded file, which stands as `url` until `core.file_ids` puts the address there.

    No body decodes to it: the surfaces whose API has such images make it.
    """


class AudioBytes(_Part, frozen=True, kw_only=True):
    """OpenAI's own form of audio: base64 and its format."""

    data: Annotated[str, Meta(min_length=1)]
    format: Annotated[str, Meta(min_length=1, max_length=32)]


class FileBytes(_Part, frozen=True, kw_only=True):
    """OpenAI's own form of a file: base64 (as a data URI) or the id of an uploaded one."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class TextBlock(_Block, tag="text", frozen=True, kw_only=True):
    """Plain text."""

    text: str
    cache_control: Json | None = None


class ImageBlock(_Block, tag="image_url", frozen=True, kw_only=True):
    """One image."""

    image_url: ImageLink
    cache_control: Json | None = None


class VideoBlock(_Block, tag="video_url", frozen=True, kw_only=True):
    """One video."""

    video_url: Link


class AudioBlock(_Block, tag="audio_url", frozen=True, kw_only=True):
    """One piece of audio."""

    audio_url: Link


class FileLinkBlock(_Block, tag="file_url", frozen=True, kw_only=True):
    """One document."""

    file_url: Link
    cache_control: Json | None = None


class InputAudioBlock(_Block, tag="input_audio", frozen=True, kw_only=True):
    """One piece of audio, in OpenAI's own form."""

    input_audio: AudioBytes


class FileBlock(_Block, tag="file", frozen=True, kw_only=True):
    """One document, in OpenAI's own form."""

    file: FileBytes
    cache_control: Json | None = None


class RefusalBlock(_Block, tag="refusal", frozen=True, kw_only=True):
    """What an assistant refused to say, in an earlier turn."""

    refusal: str


Block = TextBlock | ImageBlock | VideoBlock | AudioBlock | FileLinkBlock | InputAudioBlock | FileBlock
Content = str | Annotated[tuple[Block, ...], Meta(min_length=1)]
Said = str | Annotated[tuple[TextBlock | RefusalBlock, ...], Meta(min_length=1)]


class FunctionCall(_Part, frozen=True, kw_only=True):
    """A call the model asked for; `arguments` is the JSON text as the model wrote it, valid or not."""

    name: str
    arguments: str


class CustomCall(_Part, frozen=True, kw_only=True):
    """A call of a free-form tool."""

    name: str
    input: str


class FunctionToolCall(_Block, tag="function", frozen=True, kw_only=True):
    """A function call in an assistant's turn."""

    id: str
    index: int | None = None  # OpenAI's SDK leaves it in what it put together from a stream
    function: FunctionCall


class CustomToolCall(_Block, tag="custom", frozen=True, kw_only=True):
    """A free-form call in an assistant's turn."""

    id: str
    index: int | None = None
    custom: CustomCall


AskedCall = FunctionToolCall | CustomToolCall


class _Message(Struct, frozen=True, kw_only=True, tag_field="role", forbid_unknown_fields=True, omit_defaults=True):
    """A turn, told by its `role`."""


class SystemMessage(_Message, tag="system", frozen=True, kw_only=True):
    """Instructions; several are allowed, anywhere."""

    content: Content
    name: str | None = None


class DeveloperMessage(_Message, tag="developer", frozen=True, kw_only=True):
    """OpenAI's newer word for instructions."""

    content: Content
    name: str | None = None


class UserMessage(_Message, tag="user", frozen=True, kw_only=True):
    """What the user says and shows."""

    content: Content
    name: str | None = None


class AssistantMessage(_Message, tag="assistant", frozen=True, kw_only=True):
    """An earlier answer; whatever an OpenAI client dumps of one can be sent back as it is."""

    content: Said | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: tuple[AskedCall, ...] | None = None
    function_call: FunctionCall | None = None
    reasoning_content: str | None = None
    reasoning_details: list[Json] | None = None
    audio: Json | None = None
    annotations: list[Json] | None = None


class ToolMessage(_Message, tag="tool", frozen=True, kw_only=True):
    """The result of a tool call."""

    content: Content
    tool_call_id: str
    name: str | None = None


class FunctionMessage(_Message, tag="function", frozen=True, kw_only=True):
    """The result of a function call, in OpenAI's oldest form."""

    content: str | None
    name: str


Message = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage


class Function(_Part, frozen=True, kw_only=True):
    """A function that the model may call; `parameters` is a JSON schema."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.-]{1,128}$")]
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None


class FunctionTool(_Block, tag="function", frozen=True, kw_only=True):
    """A tool with a schema."""

    function: Function
    cache_control: Json | None = None


class CustomTool(_Block, tag="custom", frozen=True, kw_only=True):
    """A tool with free-form input."""

    custom: Json


Tool = FunctionTool | CustomTool


class TextFormat(_Block, tag="text", frozen=True, kw_only=True):
    """Plain text, the default."""


class JsonFormat(_Block, tag="json_object", frozen=True, kw_only=True):
    """Any JSON object."""


class SchemaFormat(_Block, tag="json_schema", frozen=True, kw_only=True):
    """JSON that fits a schema: `{"name", "schema", "strict"?, "description"?}`."""

    json_schema: Json


ResponseFormat = TextFormat | JsonFormat | SchemaFormat


class StreamOptions(_Part, frozen=True, kw_only=True):
    """What a stream carries beside the text."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None
