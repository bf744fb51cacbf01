"""The five request forms of spec section 1, told by the fields that a body has, and parsed to one Generation."""

from collections.abc import Iterable
from typing import Annotated, Final, Literal, cast

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from reynard.core.decoding import decode
from reynard.core.errors import InvalidForm, InvalidParam
from reynard.core.generation import MAX_JSON_DEPTH, OPEN_FIELDS, Generation, too_deep
from reynard.core.messages import (
    AudioBlock,
    Block,
    ImageBlock,
    ImageLink,
    Link,
    Message,
    Name,
    SystemMessage,
    TextBlock,
    UserMessage,
    VideoBlock,
)

Form = Literal["text", "vision", "video", "audio", "custom"]

Prompt = Annotated[str, Meta(max_length=100_000)]
Url = Annotated[str, Meta(min_length=1)]
Urls = Annotated[tuple[Url, ...], Meta(min_length=1, max_length=10)]


Seconds = Annotated[float, Meta(ge=0.001, le=86_400)]
Fallbacks = Annotated[tuple[Name, ...], Meta(max_length=8)]


class Options(Struct, frozen=True, kw_only=True):
    """What every form may ask for beside the generation.

    `timeout_s`: how long it may take from now to its end. `fallback_models`: asked in turn when no channel of the model
    answers. `callback_url`: who is told of the end.
    """

    timeout_s: float | None = None
    fallback_models: tuple[str, ...] = ()
    callback_url: str | None = None


NO_OPTIONS: Final = Options()


class _PromptForm(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What the four prompt forms share."""

    model: Name
    system_prompt: Annotated[str, Meta(max_length=10_000)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    reasoning: bool | None = None
    sync: bool = False
    stream: bool = False
    timeout_s: Seconds | None = None
    fallback_models: Fallbacks | None = None
    callback_url: Url | None = None


class TextForm(_PromptForm, kw_only=True, frozen=True):
    """A prompt, and nothing else."""

    prompt: Prompt


class VisionForm(_PromptForm, kw_only=True, frozen=True):
    """A prompt about one to ten images."""

    prompt: Prompt
    image_urls: Urls


class VideoForm(_PromptForm, kw_only=True, frozen=True):
    """A prompt about one to ten videos."""

    prompt: Prompt
    video_urls: Urls


class AudioForm(_PromptForm, kw_only=True, frozen=True):
    """One piece of audio, to transcribe or to be asked about."""

    audio_url: Url
    prompt: Prompt = "Please transcribe this audio file"


class CustomForm(Generation, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """OpenAI Chat as it stands: a Generation in the client's own words, and how its answer is wanted."""

    sync: bool = False
    timeout_s: Seconds | None = None
    fallback_models: Fallbacks | None = None
    callback_url: Url | None = None


LONGEST_UNCOUNTED: Final = 1_000_000  # bytes
LONGEST_FLAT: Final = 100_000  # bytes; counting is quick, but no longer for free
MOST_VALUES: Final = 2_000_000  # told by commas and brackets, those inside of texts too
MOST_NESTED: Final = 500_000  # objects and arrays
FEW: Final = 1_000

PromptForm = TextForm | VisionForm | VideoForm | AudioForm
FORMS: Final[dict[Form, type[PromptForm | CustomForm]]] = {
    "text": TextForm,
    "vision": VisionForm,
    "video": VideoForm,
    "audio": AudioForm,
    "custom": CustomForm,
}
SIGN_OF: Final[dict[str, Form]] = {
    "messages": "custom",
    "audio_url": "audio",
    "video_urls": "video",
    "image_urls": "vision",
}
"""The field that tells a form from the others; `prompt` alone is the text form."""


class Submission(Struct, frozen=True):
    """A parsed body: what is asked, in which form, whether the caller waits for it, and what else it wants."""

    form: Form
    generation: Generation
    sync: bool
    options: Options = NO_OPTIONS


class _Signs(Struct):
    """The telling fields alone; the rest of the body is skipped over."""

    prompt: Raw | UnsetType = UNSET
    messages: Raw | UnsetType = UNSET
    audio_url: Raw | UnsetType = UNSET
    video_urls: Raw | UnsetType = UNSET
    image_urls: Raw | UnsetType = UNSET


_signs = msgspec.json.Decoder(_Signs)
_decoders = {form: msgspec.json.Decoder(struct) for form, struct in FORMS.items()}


def parse(body: bytes) -> Submission:
    """The submission in `body`.

    Raises `MalformedBody` (not JSON), `InvalidForm` (no form, or two), `InvalidParam` (naming the field).
    """
    form = tell(body)
    check_count(body)
    asked = decode(_decoders[form], body)
    if isinstance(asked, CustomForm):
        _check(asked, body)
        return Submission("custom", asked, asked.sync, _options(asked))
    return Submission(form, _generation(asked), asked.sync, _options(asked))


def parse_chat(body: bytes) -> Submission:
    """The body of `POST /v1/chat/completions`: the custom form, whose `sync` is settled by the path."""
    check_count(body)
    asked = cast("CustomForm", decode(_decoders["custom"], body))
    _check(asked, body)
    return Submission("custom", asked, sync=True, options=_options(asked))


def _options(asked: PromptForm | CustomForm) -> Options:
    if asked.timeout_s is None and asked.fallback_models is None and asked.callback_url is None:
        return NO_OPTIONS
    models = dict.fromkeys(asked.fallback_models or ())  # each once, in their order
    models.pop(asked.model, None)
    return Options(timeout_s=asked.timeout_s, fallback_models=tuple(models), callback_url=asked.callback_url)


def tell(body: bytes) -> Form:
    """Which of the five forms `body` is."""
    signs = decode(_signs, body)
    seen = [field for field in SIGN_OF if getattr(signs, field) is not UNSET]
    if len(seen) > 1:
        raise InvalidForm(f"The body has the fields of two forms: {_listed(seen)}. Send one of them.", param=seen[1])
    if seen == ["messages"] and signs.prompt is not UNSET:
        raise InvalidForm(
            "The body has the fields of two forms: `messages` and `prompt`. Send one of them.", param="prompt"
        )
    if seen:
        return SIGN_OF[seen[0]]
    if signs.prompt is UNSET:
        raise InvalidForm(
            "The body fits no form: it needs `prompt` (text), `prompt` with `image_urls` (vision) or `video_urls` "
            "(video), `audio_url` (audio), or `messages` (custom).",
            param="prompt",
        )
    return "text"


def _generation(form: PromptForm) -> Generation:
    messages: list[Message] = []
    if form.system_prompt:
        messages.append(SystemMessage(content=form.system_prompt))
    messages.append(UserMessage(content=_content(form)))
    return Generation(
        model=form.model,
        messages=tuple(messages),
        stream=form.stream,
        max_tokens=form.max_tokens,
        temperature=form.temperature,
        reasoning=form.reasoning,
    )


def _content(form: PromptForm) -> str | tuple[Block, ...]:
    text = TextBlock(text=form.prompt)
    match form:
        case VisionForm():
            return (text, *[ImageBlock(image_url=ImageLink(url=url)) for url in form.image_urls])
        case VideoForm():
            return (text, *[VideoBlock(video_url=Link(url=url)) for url in form.video_urls])
        case AudioForm():
            return (text, AudioBlock(audio_url=Link(url=form.audio_url)))
        case _:
            return form.prompt


def _check(generation: Generation, body: bytes) -> None:
    """What the types do not say."""
    if generation.stream_options is not None and not generation.stream:
        raise InvalidParam("`stream_options` needs `stream: true`.", param="stream_options")
    if not _is_flat(body):
        check_depth(generation, OPEN_FIELDS)


def _is_flat(body: bytes) -> bool:
    """Whether `body` has too few brackets to nest too deep, as most have that are short: then nobody need look."""
    return len(body) <= LONGEST_FLAT and body.count(b"{") + body.count(b"[") <= MAX_JSON_DEPTH


def check_depth(asked: Struct, fields: Iterable[str]) -> None:
    """Raises `InvalidParam` for one of `fields` that nests deeper than `MAX_JSON_DEPTH`."""
    for field in fields:
        if too_deep(getattr(asked, field)):
            raise InvalidParam(f"`{field}` nests deeper than {MAX_JSON_DEPTH} levels.", param=field)


def check_count(body: bytes) -> None:
    """Large media is a few long strings; millions of small values are nothing that a model takes, and slow to read."""
    if len(body) > LONGEST_UNCOUNTED and (
        _count(body, b",") > MOST_VALUES or _count(body, b"{") + _count(body, b"[") > MOST_NESTED
    ):
        raise InvalidParam(
            f"The body has too many values: at most {MOST_VALUES}, and {MOST_NESTED} objects and arrays."
        )


def _count(body: bytes, sign: bytes) -> int:
    """As `body.count`: where there are few, as in large media, finding them is ten times faster."""
    place = -1
    for found in range(FEW):
        place = body.find(sign, place + 1)
        if place < 0:
            return found
    return FEW + body.count(sign, place + 1)


def _listed(fields: list[str]) -> str:
    return " and ".join(f"`{field}`" for field in fields)
