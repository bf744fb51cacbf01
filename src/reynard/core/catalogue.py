"""Models, what they can take, and the rules a request is checked against before anything is stored (spec section 3)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, structs

from reynard.core.errors import CapabilityMissing, GenerationError, InvalidParam, ModelNotSupported, RuleViolation
from reynard.core.formats import TYPE_OF_FORMAT, VIDEO_EXTENSIONS, Kind, format_of
from reynard.core.forms import Form
from reynard.core.generation import Generation
from reynard.core.media import MediaSource, check_payload, sources
from reynard.core.media_tokens import MediaTokens
from reynard.core.messages import Name
from reynard.core.reasoning import Thinking

Capability = Literal["text", "vision", "video", "audio", "file"]
CAPABILITY_ORDER: Final[tuple[Capability, ...]] = ("text", "vision", "video", "audio", "file")
CAPABILITY_OF: Final[dict[Kind, Capability]] = {"image": "vision", "video": "video", "audio": "audio", "file": "file"}
MOST_MEDIA: Final = 10
"""Pieces of one kind that a model takes, unless its `max_media` says otherwise."""

Count = Annotated[int, Meta(ge=0)]
Credits = Annotated[float, Meta(ge=0, le=1_000_000)]


class TokenRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`max_tokens`: whether the custom form must say it, the least it may be, and what a prompt form gets.

    Two more for what is reserved (`core.pricing`): `expected`, the tokens of an answer that nothing limits, and
    `thoughts`, those that a codec may let it think on top of a limit that would leave nothing for the answer.
    """

    required: bool = False
    minimum: Annotated[int, Meta(ge=1)] = 1
    default: Annotated[int, Meta(ge=1)] | None = None
    expected: Annotated[int, Meta(ge=1)] = 4_096
    thoughts: Annotated[int, Meta(ge=0)] = 0


class Price(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Credits for a million tokens. Without a `cached_input`, tokens from a cache cost what the others do."""

    input: Credits = 0.0
    output: Credits = 0.0
    cached_input: Credits | None = None


FREE: Final = Price()


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of the catalogue.

    `max_media`, `formats`, `max_media_bytes` are by kind (image, video, audio, file); what they leave out has no rule.
    `youtube`: a YouTube address is a video to this model. `thinking`: how it is told to think first. `unsupported`:
    parameters that its provider has, and this model has not. `fallbacks`: models to ask in turn when no channel of
    this one answers. `media_tokens`: what its provider counts for media.
    """

    id: Name
    capabilities: Annotated[tuple[Capability, ...], Meta(min_length=1)] = ("text",)
    max_media: dict[Kind, Count] = {}
    max_media_bytes: dict[Kind, Count] = {}
    formats: dict[Kind, tuple[str, ...]] = {}
    youtube: bool = False
    thinking: Thinking = "budget"
    unsupported: tuple[str, ...] = ()
    fallbacks: tuple[Name, ...] = ()
    max_tokens: TokenRule = TokenRule()
    media_tokens: MediaTokens = MediaTokens()
    price: Price = Price()

    @property
    def ordered_capabilities(self) -> list[Capability]:
        """In the documented order: text, vision, video, audio, file."""
        return [capability for capability in CAPABILITY_ORDER if capability in self.capabilities]


class Catalogue:
    """The models by id. A value: an operator's change makes a new one."""

    def __init__(self, models: Iterable[Model]) -> None:
        self._models: Mapping[str, Model] = {model.id: model for model in models}

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def get(self, model_id: str) -> Model | None:
        """The model, or None."""
        return self._models.get(model_id)

    def find(self, model_id: str) -> Model:
        """The model. Raises `ModelNotSupported`."""
        model = self._models.get(model_id)
        if model is None:
            raise ModelNotSupported(
                f"The model `{model_id}` is not supported. "
                "`GET /v1/configs/llm_generations_models` lists those that are.",
                param="model",
            )
        return model


def check(generation: Generation, model: Model, form: Form) -> None:
    """Raises what section 3 of the spec has for a request that `model` cannot take."""
    media = sources(generation)
    if media:
        for source in media:
            check_payload(source)
        _check_capabilities(media, model)
    _check_tokens(generation, model, form)
    if media:
        for kind in CAPABILITY_OF:
            _check_kind(kind, [source for source in media if source.kind == kind], model)


def check_fetched(source: MediaSource, media_type: str, size: int, model: Model) -> None:
    """The model's rules, for what an address turned out to be. Raises `GenerationError`."""
    if source.kind != "file" and not media_type.startswith(f"{source.kind}/"):
        raise GenerationError(
            "media_fetch_failed", f"What `{source.param}` leads to is not {source.kind}. Check the address."
        )
    formats, limit = model.formats.get(source.kind), model.max_media_bytes.get(source.kind)
    if formats is not None and format_of(media_type) not in formats:
        raise GenerationError(
            "media_fetch_failed",
            f"What `{source.param}` leads to is {source.kind} in a format that the model does not take; "
            f"it takes {', '.join(formats)}.",
        )
    if limit is not None and size > limit:
        raise GenerationError(
            "media_too_large", f"What `{source.param}` leads to has {size} bytes; the model takes {limit}."
        )


def with_defaults(generation: Generation, model: Model, form: Form) -> Generation:
    """`generation` with the model's own `max_tokens`, where a prompt form left it out and the model has one."""
    default = model.max_tokens.default
    if default is None or form == "custom" or generation.output_limit is not None:
        return generation
    return structs.replace(generation, max_tokens=default)


def _check_capabilities(media: list[MediaSource], model: Model) -> None:
    missing = {CAPABILITY_OF[source.kind] for source in media} - set(model.capabilities)
    if missing:
        named = ", ".join(capability for capability in CAPABILITY_ORDER if capability in missing)
        first = next(source for source in media if CAPABILITY_OF[source.kind] in missing)
        raise CapabilityMissing(
            f"The model `{model.id}` does not take {named}; it takes {', '.join(model.ordered_capabilities)}.",
            param=first.param,
        )


def _check_tokens(generation: Generation, model: Model, form: Form) -> None:
    rule, limit = model.max_tokens, generation.output_limit
    if limit is None:
        if rule.required and form == "custom":
            raise InvalidParam(f"The model `{model.id}` needs `max_tokens` in this form.", param="max_tokens")
    elif limit < rule.minimum:
        raise InvalidParam(
            f"`max_tokens` must be at least {rule.minimum} for the model `{model.id}`.", param="max_tokens"
        )


def _check_kind(kind: Kind, media: list[MediaSource], model: Model) -> None:
    most = model.max_media.get(kind, MOST_MEDIA)
    if len(media) > most:
        raise RuleViolation(
            f"The model `{model.id}` takes at most {most} {kind}{'s' if most != 1 else ''} in a request; "
            f"this one has {len(media)}.",
            param=media[most].param,
        )
    for source in media:
        _check_format(source, model)
        limit = model.max_media_bytes.get(kind)
        if limit is not None and source.size is not None and source.size > limit:
            raise RuleViolation(
                f"`{source.param}` has {source.size} bytes; the model `{model.id}` takes {limit}.", param=source.param
            )


def _check_format(source: MediaSource, model: Model) -> None:
    if source.origin == "youtube":
        if not model.youtube:
            raise RuleViolation(f"The model `{model.id}` does not take YouTube addresses.", param=source.param)
        return
    if source.kind == "video" and source.origin == "url" and source.format not in VIDEO_EXTENSIONS:
        raise RuleViolation(
            f"`{source.param}` must end in {', '.join('.' + e for e in VIDEO_EXTENSIONS)}.", param=source.param
        )
    formats, found = model.formats.get(source.kind), _format(source)
    if formats is not None and found is not None and found not in formats:
        raise RuleViolation(
            f"The model `{model.id}` does not take {source.kind} in the format `{found}`; "
            f"it takes {', '.join(formats)}.",
            param=source.param,
        )


def _format(source: MediaSource) -> str | None:
    """What the source tells of its format. The address of an image or a file need not end in one: `/image.php` tells
    nothing, and is judged by its content."""
    known = TYPE_OF_FORMAT.get(source.format or "")
    if known is not None:
        return format_of(known)
    return None if source.origin == "url" and source.kind in ("image", "file") else source.format
