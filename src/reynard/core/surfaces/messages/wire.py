"""The Messages API's own words for a request. Unknown fields are refused by name, as everywhere."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from reynard.core.messages import Json, Name

CacheControl = Json | None
"""A hint where a prompt may be cached, passed on as it stands; nothing of the answer depends on it."""

Nothing = Annotated[tuple[Any, ...], Meta(max_length=0)] | None
Filled = Annotated[str, Meta(min_length=1)]
Id = Annotated[str, Meta(min_length=1, max_length=1_024)]
ToolName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.-]{1,128}$")]


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An object without a type."""


class _Typed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """An object, told by its `type`."""


class Base64Source(_Typed, tag="base64", frozen=True, kw_only=True):
    """The bytes themselves."""

    media_type: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9.+-]{1,64}/[a-zA-Z0-9.+-]{1,128}$")]
    data: Filled


class UrlSource(_Typed, tag="url", frozen=True, kw_only=True):
    """A public address."""

    url: Filled


class FileSource(_Typed, tag="file", frozen=True, kw_only=True):
    """The id of an uploaded file."""

    file_id: Id


class TextSource(_Typed, tag="text", frozen=True, kw_only=True):
    """A document in plain text."""

    data: str
    media_type: Literal["text/plain"] = "text/plain"


class Text(_Typed, tag="text", frozen=True, kw_only=True):
    """Plain text. `citations` of an earlier answer cannot be sent back; none are ever given here."""

    text: str
    cache_control: CacheControl = None
    citations: Nothing = None


class OnlyText(_Part, frozen=True, kw_only=True):
    """As `Text`, where nothing else may stand: alone, a tagged struct would do without its `type`."""

    type: Literal["text"]
    text: str
    cache_control: CacheControl = None
    citations: Nothing = None


class Image(_Typed, tag="image", frozen=True, kw_only=True):
    """One image."""

    source: Base64Source | UrlSource | FileSource
    cache_control: CacheControl = None


class ContentSource(_Typed, tag="content", frozen=True, kw_only=True):
    """A document made of blocks."""

    content: str | tuple[Text | Image, ...]


class Citations(_Part, frozen=True, kw_only=True):
    """Whether the answer is to cite the document; no other API has these citations."""

    enabled: bool = False


class Document(_Typed, tag="document", frozen=True, kw_only=True):
    """One document."""

    source: Base64Source | UrlSource | FileSource | TextSource | ContentSource
    title: Annotated[str, Meta(max_length=1_000)] | None = None
    context: str | None = None
    citations: Citations | None = None
    cache_control: CacheControl = None


class SearchResult(_Typed, tag="search_result", frozen=True, kw_only=True):
    """A passage that the client's own search found."""

    source: str
    title: str
    content: tuple[OnlyText, ...]
    citations: Citations | None = None
    cache_control: CacheControl = None


class Thinking(_Typed, tag="thinking", frozen=True, kw_only=True):
    """A thought of an earlier answer; an empty signature is that of a provider who does not sign."""

    thinking: str
    signature: str = ""


class RedactedThinking(_Typed, tag="redacted_thinking", frozen=True, kw_only=True):
    """What only its provider can read."""

    data: str


class ToolUse(_Typed, tag="tool_use", frozen=True, kw_only=True):
    """A call that the model asked for."""

    id: Id
    name: str
    input: Json
    cache_control: CacheControl = None
    caller: Json | None = None
    toolset_name: None = None


Shown = Text | Image | Document | SearchResult


class ToolResult(_Typed, tag="tool_result", frozen=True, kw_only=True):
    """What a call came to."""

    tool_use_id: Id
    content: str | tuple[Shown, ...] | None = None
    is_error: bool | None = None
    cache_control: CacheControl = None
    toolset_name: None = None


class _Turn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="role"):
    """A turn, told by its `role`."""


class UserTurn(_Turn, tag="user", frozen=True, kw_only=True):
    """What the user says and shows, and what tools returned."""

    content: str | tuple[Text | Image | Document | SearchResult | ToolResult, ...]


class AssistantTurn(_Turn, tag="assistant", frozen=True, kw_only=True):
    """An earlier answer; the last one, if nothing follows it, is to be continued."""

    content: str | tuple[Text | Thinking | RedactedThinking | ToolUse, ...]


class SystemTurn(_Turn, tag="system", frozen=True, kw_only=True):
    """Instructions in the middle of a conversation."""

    content: str | tuple[OnlyText, ...]


class Tool(_Part, frozen=True, kw_only=True):
    """A tool of the client's own. With `eager_input_streaming` its arguments come as they are written, JSON or not."""

    name: ToolName
    input_schema: Json
    description: str | None = None
    type: Literal["custom"] | None = None
    strict: bool | None = None
    cache_control: CacheControl = None
    eager_input_streaming: bool | None = None
    defer_loading: bool | None = None
    input_examples: tuple[Json, ...] | None = None
    allowed_callers: tuple[str, ...] | None = None


class AutoChoice(_Typed, tag="auto", frozen=True, kw_only=True):
    """The model decides."""

    disable_parallel_tool_use: bool = False


class AnyChoice(_Typed, tag="any", frozen=True, kw_only=True):
    """One tool at least."""

    disable_parallel_tool_use: bool = False


class NamedChoice(_Typed, tag="tool", frozen=True, kw_only=True):
    """This tool."""

    name: ToolName
    disable_parallel_tool_use: bool = False


class NoChoice(_Typed, tag="none", frozen=True, kw_only=True):
    """No tool."""


Display = Literal["summarized", "omitted"]


class ThinkingEnabled(_Typed, tag="enabled", frozen=True, kw_only=True):
    """Think, for at most so many tokens. `display` is taken: thoughts are shown as far as the provider tells them."""

    budget_tokens: Annotated[int, Meta(ge=1_024)]
    display: Display | None = None


class ThinkingAdaptive(_Typed, tag="adaptive", frozen=True, kw_only=True):
    """Think as much as it takes."""

    display: Display | None = None


class ThinkingDisabled(_Typed, tag="disabled", frozen=True, kw_only=True):
    """Do not think first."""


class JsonOutput(_Part, frozen=True, kw_only=True):
    """JSON that fits a schema."""

    type: Literal["json_schema"]
    schema: Json


class OutputConfig(_Part, frozen=True, kw_only=True):
    """How much effort to make, and the format of the answer."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JsonOutput | None = None


class Metadata(_Part, frozen=True, kw_only=True):
    """For whom the call is made."""

    user_id: Annotated[str, Meta(max_length=4_096)] | None = None


class MessagesRequest(_Part, frozen=True, kw_only=True):
    """The body of `POST /v1/messages`. What can only be null has no counterpart in other APIs."""

    model: Name
    messages: Annotated[tuple[UserTurn | AssistantTurn | SystemTurn, ...], Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=1)]
    system: str | tuple[OnlyText, ...] | None = None
    stream: bool = False
    stop_sequences: Annotated[tuple[str, ...], Meta(max_length=16)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    thinking: ThinkingEnabled | ThinkingAdaptive | ThinkingDisabled | None = None
    output_config: OutputConfig | None = None
    tools: tuple[Tool, ...] | None = None
    tool_choice: AutoChoice | AnyChoice | NamedChoice | NoChoice | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    speed: Literal["standard"] | None = None
    cache_control: CacheControl = None
    context_management: Json | None = None
    billing_policy: None = None
    compaction: None = None
    container: None = None
    diagnostics: None = None
    fallback_credit_token: None = None
    fallbacks: Nothing = None
    inference_geo: None = None
    mcp_servers: Nothing = None
    thread: None = None
    user_profile_id: None = None


class CountRequest(MessagesRequest, frozen=True, kw_only=True):
    """The body of `POST /v1/messages/count_tokens`."""

    max_tokens: Annotated[int, Meta(ge=1)] | None = None  # type: ignore[assignment]


OPEN_FIELDS = ("messages", "system", "tools", "output_config", "cache_control", "context_management")
"""Fields that hold JSON of the client's own making, whose nesting is bounded."""
