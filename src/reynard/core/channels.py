"""A channel: whose base URL, key and limits. A provider is dialect × channel × model; only the dialect is code."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal

from msgspec import Meta, Struct

from reynard.core.circuit import CircuitRule
from reynard.core.formats import Kind
from reynard.core.messages import Json, Name
from reynard.core.reasoning import Thinking
from reynard.core.simulation import Simulation

Dialect = Literal["openai", "anthropic", "gemini", "simulated"]
Auth = Literal["bearer", "x-api-key", "x-goog-api-key", "api-key", "google", "none"]
"""How a channel shows its key: as a bearer token, in a header of that name, by a Google account's token, or not."""

Seconds = Annotated[float, Meta(gt=0)]

Named = Literal["system", "developer", "user", "assistant", "tool"]

ReasoningWord = Literal["effort", "thinking", "template", "object", "switch", "none"]


class Quirks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a server differs from the others of its dialect: data, so that a new relative is a row.

    `limit`: its word for the most tokens to produce. `seed`: its word for the seed. `unsupported`: parameters it does
    not have; `extra`: what every request to it carries beside.

    `reasoning`: how it is told to think first, or not to:
    `effort` → `reasoning_effort` (OpenAI), `thinking` → `thinking: {"type"}` (Moonshot, DeepSeek),
    `template` → `chat_template_kwargs` (vLLM, llama.cpp, NVIDIA), `object` → `reasoning: {"enabled"}`, with the effort
    and the budget inside of it (OpenRouter), `switch` → the same, with the effort beside it (Together);
    `none`: it has no such word, and a request for it is refused.
    `effort`: what "think" means as an effort. `budget`: its word for a number of tokens to think for; without one, the
    number becomes an effort (`effort`, `thinking`) or is refused (`template`, `switch`).

    `takes_reasoning_back`: it wants the thoughts of earlier turns; from the others they are kept away. `thoughts`: its
    word for them. `takes_details`: it reads `reasoning_details` too.
    `developer`: it knows the role of that name; else it is called `system`. `joins_text`: it takes the text of system
    and assistant turns in one piece only. `asks_usage`: a stream has no usage unless `stream_options` asks for it.

    `audio`, `video`: the block in which it takes them. `fetches`: the kinds of media it fetches itself by their
    address; the gateway fetches the rest, and sends the bytes. None is what the dialect's own provider does.
    `cache_control`: it takes that hint on blocks and tools; from the others it is kept away.
    `names`: the roles of the turns on which it knows `name`, a label that no answer depends on; elsewhere it is left
    out. `takes_extras`: it takes `annotations` and `audio` of an earlier answer back; from the others they are kept
    away, and the transcript of the audio stands in for a text that is missing.
    """

    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    seed: Literal["seed", "random_seed"] = "seed"
    unsupported: tuple[str, ...] = ()
    extra: Json = {}
    reasoning: ReasoningWord = "effort"
    effort: str = "medium"
    budget: Literal["", "reasoning_budget", "thinking_token_budget"] = ""
    takes_reasoning_back: bool = True
    thoughts: Literal["reasoning_content", "reasoning"] = "reasoning_content"
    takes_details: bool = False
    developer: bool = True
    joins_text: bool = False
    asks_usage: bool = True
    audio: Literal["input_audio", "audio_url"] = "input_audio"
    video: Literal["video_url", "input_video"] = "video_url"
    fetches: tuple[Kind, ...] | None = None
    cache_control: bool = False
    names: tuple[Named, ...] = ("system", "developer", "user", "assistant", "tool")
    takes_extras: bool = True


class Mapped(Struct, frozen=True, forbid_unknown_fields=True):
    """A model of this gateway, and the upstream's name for it."""

    id: Name
    upstream: Name


class Carried(Mapped, frozen=True):
    """A model on a channel. `thinking`: how it is told to think, where its dialect has several words for that.
    `unsupported`: parameters that it does not have, beside those that the channel does not have."""

    thinking: Thinking = "budget"
    unsupported: tuple[str, ...] = ()


class Retries(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a channel may be asked the same again: for `share` of its requests, and `floor` times a minute."""

    share: Annotated[float, Meta(ge=0, le=1)] = 0.2
    floor: Annotated[int, Meta(ge=0)] = 10


class Rests(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a key is left alone that the provider did not take.

    `limited_s`: after a 429 that does not say how long. `refused_s`: after a 401 or 403. `longest_s`: how much of a
    `Retry-After` is believed; a quota may be raised before it says so.
    """

    limited_s: Seconds = 5.0
    refused_s: Seconds = 60.0
    longest_s: Seconds = 3_600.0


class ChannelTraits(Struct, frozen=True, kw_only=True):
    """What a channel is, whether as an operator writes it or as the engine uses it.

    `base_url` is written as the provider's own SDK has it. `path` takes the place of the dialect's own path where a
    server has another (Azure, Vertex AI): `{model}` in it is the upstream's name, `{verb}` the dialect's word for the
    call. `auth` None is the dialect's own way.

    Lower `priority` goes first; equal ones share by `weight`. `first_byte_timeout_s` and `idle_timeout_s` watch over a
    stream. An answer in one body is silent until it is whole: `answer_timeout_s` is how long that may take.

    `rpm` and `tpm`: requests, and tokens of prompts and answers, in a minute; None is no limit. The tokens are counted
    when an answer is there: while those of the last minute are above the limit, no call is begun.
    `hedge`: another channel is asked, too, when a stream's first token is later than this channel's is 19 times in 20.
    """

    name: Name
    dialect: Dialect
    base_url: str = ""
    path: str = ""
    auth: Auth | None = None
    priority: int = 0
    weight: Annotated[int, Meta(ge=1)] = 1
    concurrency: Annotated[int, Meta(ge=1)] = 64
    rpm: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    tpm: Annotated[int, Meta(ge=1)] | None = None
    circuit: CircuitRule = CircuitRule()
    retries: Retries = Retries()
    rests: Rests = Rests()
    hedge: bool = False
    connect_timeout_s: Seconds = 5
    first_byte_timeout_s: Seconds = 60
    idle_timeout_s: Seconds = 60
    answer_timeout_s: Seconds = 600
    total_timeout_s: Seconds = 1800
    quirks: Quirks = Quirks()
    simulate: Simulation = Simulation()


class Channel(ChannelTraits, frozen=True, kw_only=True, dict=True):
    """One way to reach some models; whose key it uses, only its transport knows."""

    models: tuple[Carried, ...]

    def carried(self, model: str) -> Carried:
        """The model as this channel has it; under its own name if it is not listed."""
        return self._carried.get(model) or Carried(model, model)

    @cached_property
    def _carried(self) -> Mapping[str, Carried]:
        """By its id, of two of one id the first: each call looks for its model some four times, among hundreds."""
        return {carried.id: carried for carried in reversed(self.models)}
