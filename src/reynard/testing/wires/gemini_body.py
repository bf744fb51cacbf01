"""The body of `generateContent`, as far as text, media, functions and thinking go.

Written from https://ai.google.dev/api/generate-content, https://ai.google.dev/api/caching (Content, Part, Schema, Tool)
and the types of Google's SDK. Code execution and server-side tool calls in the contents are not served here.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Json = dict[str, Any]
Type = Literal["STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"]
LowerType = Literal["string", "number", "integer", "boolean", "array", "object", "null"]
Int64 = int | Annotated[str, Meta(pattern=r"^-?\d+\Z")]
FunctionName = Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}\Z")]
Penalty = Annotated[float, Meta(ge=-2, le=2)]


class _Strict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Unknown names are refused."""


class Blob(_Strict, frozen=True, kw_only=True):
    """Media inside of the request."""

    mime_type: str
    data: str
    display_name: str | None = None


class FileData(_Strict, frozen=True, kw_only=True):
    """Media by its address."""

    file_uri: Annotated[str, Meta(min_length=1)]
    mime_type: str | None = None
    display_name: str | None = None


class FunctionCall(_Strict, frozen=True, kw_only=True):
    """A call of an earlier answer."""

    name: FunctionName
    args: Json | None = None
    id: str | None = None


class ResponsePart(_Strict, frozen=True, kw_only=True):
    """Media that a function gave back."""

    inline_data: Blob | None = None
    file_data: FileData | None = None


class FunctionResponse(_Strict, frozen=True, kw_only=True):
    """What a call came to."""

    name: FunctionName
    response: Json
    id: str | None = None
    parts: list[ResponsePart] | None = None
    will_continue: bool | None = None
    scheduling: Literal["SILENT", "WHEN_IDLE", "INTERRUPT"] | None = None


class VideoMetadata(_Strict, frozen=True, kw_only=True):
    """Which part of a video, and how densely."""

    start_offset: Annotated[str, Meta(pattern=r"^\d+(\.\d+)?s\Z")] | None = None
    end_offset: Annotated[str, Meta(pattern=r"^\d+(\.\d+)?s\Z")] | None = None
    fps: Annotated[float, Meta(gt=0, le=24)] | None = None


PartLevel = Literal[
    "MEDIA_RESOLUTION_LOW", "MEDIA_RESOLUTION_MEDIUM", "MEDIA_RESOLUTION_HIGH", "MEDIA_RESOLUTION_ULTRA_HIGH"
]


class PartResolution(_Strict, frozen=True, kw_only=True):
    """How closely to look at one piece of media."""

    level: PartLevel


class Part(_Strict, frozen=True, kw_only=True):
    """One of `text`, `inline_data`, `file_data`, `function_call`, `function_response`, and what is said about it."""

    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    thought: bool = False
    thought_signature: str | None = None
    video_metadata: VideoMetadata | None = None
    media_resolution: PartResolution | None = None


class Content(_Strict, frozen=True, kw_only=True):
    """One turn."""

    parts: list[Part]
    role: Literal["user", "model"] = "user"


class Instruction(_Strict, frozen=True, kw_only=True):
    """The system's turn; its role says nothing."""

    parts: list[Part]
    role: str | None = None


class Schema(_Strict, frozen=True, kw_only=True):
    """The part of OpenAPI 3.0 that Google takes: no `$ref`, no `additionalProperties`."""

    type: Type | LowerType | None = None
    format: str | None = None
    title: str | None = None
    description: str | None = None
    nullable: bool | None = None
    enum: list[str] | None = None
    items: "Schema | None" = None
    max_items: Int64 | None = None
    min_items: Int64 | None = None
    properties: "dict[str, Schema] | None" = None
    required: list[str] | None = None
    min_properties: Int64 | None = None
    max_properties: Int64 | None = None
    minimum: float | None = None
    maximum: float | None = None
    min_length: Int64 | None = None
    max_length: Int64 | None = None
    pattern: str | None = None
    example: Any = None
    default: Any = None
    any_of: "list[Schema] | None" = None
    property_ordering: list[str] | None = None


class FunctionDeclaration(_Strict, frozen=True, kw_only=True):
    """A function, its parameters in Google's schema or in JSON Schema."""

    name: FunctionName
    description: str | None = None
    parameters: Schema | None = None
    parameters_json_schema: Json | None = None
    response: Schema | None = None
    response_json_schema: Json | None = None
    behavior: Literal["BLOCKING", "NON_BLOCKING"] | None = None


class Tool(_Strict, frozen=True, kw_only=True):
    """Functions, or a tool of Google's own."""

    function_declarations: list[FunctionDeclaration] | None = None
    google_search: Json | None = None
    google_search_retrieval: Json | None = None
    google_maps: Json | None = None
    code_execution: Json | None = None
    url_context: Json | None = None


class FunctionCallingConfig(_Strict, frozen=True, kw_only=True):
    """Whether to call, and which."""

    mode: Literal["AUTO", "ANY", "NONE", "VALIDATED"] = "AUTO"
    allowed_function_names: list[str] | None = None


class ToolConfig(_Strict, frozen=True, kw_only=True):
    """About all tools."""

    function_calling_config: FunctionCallingConfig | None = None
    retrieval_config: Json | None = None
    include_server_side_tool_invocations: bool | None = None


class ThinkingConfig(_Strict, frozen=True, kw_only=True):
    """How much to think, and whether to show it."""

    include_thoughts: bool = False
    thinking_budget: int | None = None
    thinking_level: Literal["MINIMAL", "LOW", "MEDIUM", "HIGH", "minimal", "low", "medium", "high"] | None = None


Resolution = Literal["MEDIA_RESOLUTION_LOW", "MEDIA_RESOLUTION_MEDIUM", "MEDIA_RESOLUTION_HIGH"]


class GenerationConfig(_Strict, frozen=True, kw_only=True):
    """How to generate."""

    stop_sequences: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=5)] | None = None
    response_mime_type: Literal["text/plain", "application/json", "text/x.enum"] | None = None
    response_schema: Schema | None = None
    response_json_schema: Any = None
    response_modalities: list[Literal["TEXT", "IMAGE", "AUDIO"]] | None = None
    candidate_count: Annotated[int, Meta(ge=1, le=8)] | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[float, Meta(ge=1)] | None = None
    seed: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    response_logprobs: bool | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    enable_enhanced_civic_answers: bool | None = None
    speech_config: Json | None = None
    image_config: Json | None = None
    thinking_config: ThinkingConfig | None = None
    media_resolution: Resolution | None = None


class SafetySetting(_Strict, frozen=True, kw_only=True):
    """What to block."""

    category: Annotated[str, Meta(pattern="^HARM_CATEGORY_[A-Z_]+\\Z")]
    threshold: Literal["BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF"]


class Body(_Strict, frozen=True, kw_only=True):
    """The request."""

    contents: Annotated[list[Content], Meta(min_length=1)]
    system_instruction: Instruction | None = None
    tools: list[Tool] | None = None
    tool_config: ToolConfig | None = None
    safety_settings: list[SafetySetting] | None = None
    generation_config: GenerationConfig | None = None
    cached_content: str | None = None


class DirectBody(Body, frozen=True, kw_only=True):
    """The request to the Gemini API."""

    service_tier: Literal["unspecified", "standard", "flex", "priority"] | None = None


class VertexBody(Body, frozen=True, kw_only=True):
    """The request to Vertex AI: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference."""

    labels: dict[str, str] | None = None
