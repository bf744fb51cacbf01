"""The turns of a request as `contents` and `systemInstruction`: https://ai.google.dev/api/caching#Content.

Adjacent turns of one role become one. The thoughts of earlier turns are not sent back, as Google advises; their
signatures are, on the parts that they came with: https://ai.google.dev/gemini-api/docs/thought-signatures.
Left out, because nothing is lost by it: the `name` of a message (a label that no answer depends on), `annotations` of
an earlier answer, the name of a file, and `cache_control` (Gemini caches what requests have in common by itself).
A turn of the user that has nothing in it is `.`: Google refuses empty ones. The result of a tool needs the tool's name,
which only an earlier call has, or the result itself: one without is the caller's fault.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from reynard.core.errors import GenerationError
from reynard.core.media import Media, Resolved
from reynard.core.messages import (
    AssistantMessage,
    AudioBlock,
    Block,
    Content,
    DeveloperMessage,
    FileBlock,
    FileLinkBlock,
    FunctionMessage,
    FunctionToolCall,
    ImageBlock,
    InputAudioBlock,
    Message,
    RefusalBlock,
    Said,
    SystemMessage,
    TextBlock,
    ToolMessage,
    UserMessage,
    VideoBlock,
)
from reynard.core.reasoning import GEMINI, own

Json = dict[str, Any]
Parts = list[Json]

NOTHING_SAID: Final[Json] = {"text": "."}
UNSIGNED: Final = "skip_thought_signature_validator"
"""Google's word for "this call has no signature", where a model insists on one: the first call of a
turn, for Gemini 3."""

GOOGLES: Final[dict[str, str]] = {
    "image/jpg": "image/jpeg",
    "audio/mpeg": "audio/mp3",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-aiff": "audio/aiff",
    "audio/x-flac": "audio/flac",
    "audio/x-m4a": "audio/m4a",
    "video/quicktime": "video/mov",
    "video/x-msvideo": "video/avi",
    "video/x-ms-wmv": "video/wmv",
    "application/xml": "text/xml",
    "application/rtf": "text/rtf",
}
"""Google's name of a media type, where it is another:
https://ai.google.dev/gemini-api/docs/video-understanding, audio, document-processing."""

_objects = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Conversation:
    """Add the messages in order; `contents` and `system` are what they come to.

    `insists`: the model wants a signature on every turn's first call (Gemini 3), and takes media inside of a function's
    result; the others find it behind the results. `identifies`: calls and results have ids; without them (Vertex AI
    refuses the field) a result is told by its place, so that results stand in the order of their calls.
    """

    def __init__(self, media: Resolved, *, insists: bool, identifies: bool) -> None:
        self._media = media
        self._insists = insists
        self._identifies = identifies
        self._names: dict[str, str] = {}
        self._places: dict[str, int] = {}
        self._results: list[tuple[int, Json]] = []  # the tool results under way, and their places
        self._contents: list[Json] = []
        self._system: Parts = []
        self._shown: Parts = []  # media of the tool results under way

    @property
    def contents(self) -> list[Json]:
        """The turns. A request of instructions alone asks with them."""
        self._show()
        return self._contents or [{"role": "user", "parts": self._system or [NOTHING_SAID]}]

    @property
    def system(self) -> Parts:
        """The instructions, whatever their place was."""
        return self._system if self._contents else []

    def add(self, message: Message, place: str) -> None:
        """One more message; `place` names it in an error. Raises `GenerationError` for what cannot be sent."""
        if isinstance(message, ToolMessage):
            self._results.append((self._places.get(message.tool_call_id, 0), self._result(message, place)))
            return
        self._show()
        match message:
            case SystemMessage() | DeveloperMessage():
                self._system += self._parts(message.content)
            case UserMessage():
                self._turn("user", self._parts(message.content) or [NOTHING_SAID])
            case AssistantMessage():
                self._turn("model", self._said(message))

    def _turn(self, role: str, parts: Parts) -> None:
        if not parts:
            return
        if self._contents and self._contents[-1]["role"] == role:
            self._contents[-1]["parts"] += parts
        else:
            self._contents.append({"role": role, "parts": parts})

    def _show(self) -> None:
        if not self._identifies:
            self._results.sort(key=_place)
        self._turn("user", [*(result for _, result in self._results), *self._shown])
        self._results, self._shown = [], []

    def _said(self, message: AssistantMessage) -> Parts:
        """An earlier answer: its text, then its calls, each with its own signature."""
        details = [detail for detail in own(message.reasoning_details, GEMINI) if isinstance(detail.get("data"), str)]
        signatures = {detail.get("id"): detail["data"] for detail in details if _is_name(detail.get("id"))}
        parts = [*self._parts(message.content or ""), *_texts(message.refusal)]
        if None in signatures:
            parts = [*parts[:-1], {**(parts[-1] if parts else {"text": ""}), "thoughtSignature": signatures[None]}]
        for position, call in enumerate(message.tool_calls or ()):
            if isinstance(call, FunctionToolCall):
                signature = signatures.get(call.id, UNSIGNED if self._insists and position == 0 else None)
                self._names[call.id], self._places[call.id] = call.function.name, position
                parts.append(self._call(call, signature))
        return parts

    def _id(self, call_id: str) -> Json:
        return {"id": call_id} if self._identifies else {}

    def _call(self, call: FunctionToolCall, signature: str | None) -> Json:
        arguments = _object(call.function.arguments or "{}", "arguments")
        part: Json = {"functionCall": {**self._id(call.id), "name": call.function.name, "args": arguments}}
        return part if signature is None else {**part, "thoughtSignature": signature}

    def _result(self, message: ToolMessage, place: str) -> Json:
        name = self._names.get(message.tool_call_id, message.name)
        if name is None:
            raise GenerationError(
                "invalid_parameters", f"`{place}.tool_call_id` is not the id of a tool call in an earlier turn."
            )
        blocks = message.content if not isinstance(message.content, str) else (TextBlock(text=message.content),)
        text = "".join(block.text for block in blocks if isinstance(block, TextBlock))
        result: Json = {**self._id(message.tool_call_id), "name": name, "response": _object(text, "output")}
        shown = [_part(block, self._media) for block in blocks if not isinstance(block, TextBlock)]
        if shown and self._insists:
            result["parts"] = shown
        else:
            self._shown += shown
        return {"functionResponse": result}

    def _parts(self, content: Content | Said) -> Parts:
        """The parts of a message; Google takes no empty ones."""
        if isinstance(content, str):
            return _texts(content)
        return [part for block in content if (part := _part(block, self._media)) != {"text": ""}]


def _place(result: tuple[int, Json]) -> int:
    return result[0]


def _texts(text: str | None) -> Parts:
    return [{"text": text}] if text else []


def _part(block: Block | RefusalBlock, media: Resolved) -> Json:
    match block:
        case TextBlock(text=text) | RefusalBlock(refusal=text):
            return {"text": text}
        case ImageBlock(image_url=link) | VideoBlock(video_url=link) | AudioBlock(audio_url=link):
            return _shown(media[link.url])
        case FileLinkBlock(file_url=link):
            return _shown(media[link.url])
        case InputAudioBlock(input_audio=audio):
            return _shown(media[audio.data])
        case FileBlock(file=file):
            return _shown(media[file.file_data or file.file_id or ""])


def _shown(medium: Media) -> Json:
    kind = GOOGLES.get(medium.type, medium.type)
    if medium.url is not None:
        return {"fileData": {"mimeType": kind, "fileUri": medium.url} if kind else {"fileUri": medium.url}}
    if not kind:
        raise GenerationError(
            "invalid_parameters", f"The type of a {medium.kind} cannot be told. Send it as a data URI with its type."
        )
    return {"inlineData": {"mimeType": kind, "data": medium.data}}


def _object(text: str, otherwise: str) -> Any:
    """`text` itself where it is a JSON object, to the letter; else an object that holds it."""
    try:
        _objects.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {otherwise: text}
    return msgspec.Raw(text.encode())


def _is_name(value: Any) -> bool:
    """Whether `value` can be the id of a call, or stands for none."""
    return value is None or isinstance(value, str)


def named(messages: Iterable[Message]) -> str | None:
    """The first field of `messages` that Google has no word for, or None."""
    for index, message in enumerate(messages):
        field = _without_word(message)
        if field is not None:
            return f"messages[{index}].{field}"
    return None


def _without_word(message: Message) -> str | None:
    match message:
        case SystemMessage(content=tuple(blocks)) | DeveloperMessage(content=tuple(blocks)) if any(
            not isinstance(block, TextBlock) for block in blocks
        ):
            return "content"
        case AssistantMessage():
            if any(not isinstance(call, FunctionToolCall) for call in message.tool_calls or ()):
                return "tool_calls"
            return next((field for field in ("function_call", "audio") if getattr(message, field)), None)
        case FunctionMessage():
            return "role"
        case _:
            return None
