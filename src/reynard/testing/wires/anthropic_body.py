"""The body of `POST /v1/messages`, as far as text, media, tools and thinking go.

Written from https://platform.claude.com/docs/en/api/messages and the types of Anthropic's SDK. Server tools, search
results and containers are not served here: they are refused, as an unknown field is.
"""

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

NEWEST: Final = "2026-10-21"
"""The API version that has no sampling parameters: https://platform.claude.com/docs/en/api/versioning."""

Json = dict[str, Any]
ToolName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,128}\Z")]
UsedName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,200}\Z")]
ToolId = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]+\Z")]
Share = Annotated[float, Meta(ge=0, le=1)]


class _Strict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Extra inputs are not permitted."""


class _Tagged(_Strict, frozen=True, kw_only=True, tag_field="type"):
    """Told by its `type`."""


class CacheControl(_Tagged, frozen=True, kw_only=True, tag="ephemeral"):
    """A cache breakpoint."""

    ttl: Literal["5m", "1h"] = "5m"


class Text(_Tagged, frozen=True, kw_only=True, tag="text"):
    """Plain text."""

    text: str
    cache_control: CacheControl | None = None
    citations: list[Json] | None = None


class Base64Image(_Tagged, frozen=True, kw_only=True, tag="base64"):
    """An image's bytes."""

    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: str


class Address(_Tagged, frozen=True, kw_only=True, tag="url"):
    """An image or a PDF to fetch."""

    url: str


class FileId(_Tagged, frozen=True, kw_only=True, tag="file"):
    """An uploaded file."""

    file_id: str


class Image(_Tagged, frozen=True, kw_only=True, tag="image"):
    """One image."""

    source: Base64Image | Address | FileId
    cache_control: CacheControl | None = None


class Base64Pdf(_Tagged, frozen=True, kw_only=True, tag="base64"):
    """A PDF's bytes."""

    media_type: Literal["application/pdf"]
    data: str


class PlainText(_Tagged, frozen=True, kw_only=True, tag="text"):
    """A document that is text."""

    media_type: Literal["text/plain"]
    data: str


class Citations(_Strict, frozen=True, kw_only=True):
    """Whether the answer cites the document."""

    enabled: bool = False


class Document(_Tagged, frozen=True, kw_only=True, tag="document"):
    """One document."""

    source: Base64Pdf | PlainText | Address | FileId
    title: str | None = None
    context: str | None = None
    citations: Citations | None = None
    cache_control: CacheControl | None = None


class Thinking(_Tagged, frozen=True, kw_only=True, tag="thinking"):
    """A thought of an earlier answer."""

    thinking: str
    signature: str


class RedactedThinking(_Tagged, frozen=True, kw_only=True, tag="redacted_thinking"):
    """A thought of an earlier answer that only Anthropic can read."""

    data: str


class ToolUse(_Tagged, frozen=True, kw_only=True, tag="tool_use"):
    """A call of an earlier answer."""

    id: ToolId
    name: UsedName
    input: Json
    cache_control: CacheControl | None = None


class ToolResult(_Tagged, frozen=True, kw_only=True, tag="tool_result"):
    """What a call came to."""

    tool_use_id: ToolId
    content: str | list[Text | Image | Document] = ""
    is_error: bool = False
    cache_control: CacheControl | None = None


Block = Text | Image | Document | Thinking | RedactedThinking | ToolUse | ToolResult


class Turn(_Strict, frozen=True, kw_only=True):
    """One message."""

    role: Literal["user", "assistant"]
    content: str | list[Block]


class Tool(_Strict, frozen=True, kw_only=True):
    """A client's tool."""

    name: ToolName
    input_schema: Json
    description: str | None = None
    type: Literal["custom"] | None = None
    strict: bool | None = None
    eager_input_streaming: bool | None = None
    input_examples: list[Json] | None = None
    cache_control: CacheControl | None = None


class Auto(_Tagged, frozen=True, kw_only=True, tag="auto"):
    """The model decides."""

    disable_parallel_tool_use: bool = False


class AnyTool(_Tagged, frozen=True, kw_only=True, tag="any"):
    """Some tool."""

    disable_parallel_tool_use: bool = False


class OneTool(_Tagged, frozen=True, kw_only=True, tag="tool"):
    """This tool."""

    name: str
    disable_parallel_tool_use: bool = False


class NoTool(_Tagged, frozen=True, kw_only=True, tag="none"):
    """No tool."""


Display = Literal["summarized", "omitted"]


class Enabled(_Tagged, frozen=True, kw_only=True, tag="enabled"):
    """Think, with a budget of tokens."""

    budget_tokens: int
    display: Display | None = None


class Adaptive(_Tagged, frozen=True, kw_only=True, tag="adaptive"):
    """Think as much as it takes."""

    display: Display | None = None


class Disabled(_Tagged, frozen=True, kw_only=True, tag="disabled"):
    """Do not think."""


class SchemaFormat(_Tagged, frozen=True, kw_only=True, tag="json_schema"):
    """JSON that fits a schema."""

    schema: Json


class OutputConfig(_Strict, frozen=True, kw_only=True):
    """Effort and format."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: SchemaFormat | None = None


class Metadata(_Strict, frozen=True, kw_only=True):
    """About the request."""

    user_id: Annotated[str, Meta(max_length=256)] | None = None


class Body(_Strict, frozen=True, kw_only=True):
    """The request, whichever platform it came to."""

    max_tokens: Annotated[int, Meta(ge=0)]
    messages: Annotated[list[Turn], Meta(min_length=1, max_length=100_000)]
    system: str | list[Text] | None = None
    stream: bool = False
    temperature: Share | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    stop_sequences: list[str] | None = None
    tools: list[Tool] | None = None
    tool_choice: Auto | AnyTool | OneTool | NoTool | None = None
    thinking: Enabled | Adaptive | Disabled | None = None
    output_config: OutputConfig | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    cache_control: CacheControl | None = None
    inference_geo: str | None = None


class DirectBody(Body, frozen=True, kw_only=True):
    """To Anthropic itself, where the body names the model."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]


class VertexBody(Body, frozen=True, kw_only=True):
    """To Vertex AI, where the path names the model and the body the version.

    https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai
    """

    anthropic_version: Literal["vertex-2023-10-16", "2026-10-21"]
    anthropic_beta: list[str] | None = None
