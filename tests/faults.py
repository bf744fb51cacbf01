"""What a provider does wrong, and what the caller gets: one table, for the suite and for docs/reliability.md.

Times are scaled down; those of the originals are in the proofs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

STATUS: Final[Mapping[str, int]] = {
    "all_platforms_exhausted": 502,
    "upstream_rate_limited": 503,
    "upstream_auth_failed": 502,
    "generation_timeout": 504,
    "generation_failed_no_content": 502,
    "invalid_parameters": 422,
    "context_length_exceeded": 422,
    "content_policy_violation": 422,
}
"""Of a sync call, before anything was sent: spec section 5."""

SHORT: Final = "first_byte_timeout_s = 1\nidle_timeout_s = 1\nanswer_timeout_s = 1"
RESTS: Final = "rests = { limited_s = 0.1 }"
OF_THE_REQUEST: Final = frozenset({"invalid_parameters", "context_length_exceeded", "content_policy_violation"})


@dataclass(frozen=True)
class Scenario:
    """`behaviour` is that of the failing provider, `channel` what is set for its channel.

    `body` and `stream`: the code with which a call in one body ends that has no other channel, and a stream; None is
    the whole answer. `codes`: other ones, of a dialect, or of its streams alone. `begins`: the dialects in which
    some of a stream came before it failed; what was handed out ends with `BROKEN`, and another channel that gives the
    same continues it. `most`: requests that the failing provider sees for one call, at most. `says`:
    what of the provider's reason is told.
    """

    name: str
    behaviour: Mapping[str, Any]
    body: str | None
    stream: str | None
    most: int = 1
    channel: str = ""
    begins: tuple[str, ...] = ()
    codes: Mapping[str, str] = field(default_factory=dict)
    says: str = ""

    def code(self, dialect: str, *, stream: bool) -> str | None:
        """How it ends with no other channel."""
        code = self.codes.get(dialect, self.stream if stream else self.body)
        return self.codes.get(f"{dialect} stream", code) if stream else code

    def is_rescued(self, dialect: str) -> bool:
        """Whether another channel may give the answer: it would answer a fault of the request the same."""
        return self.code(dialect, stream=True) not in OF_THE_REQUEST


def _fails(name: str, code: str, *, most: int = 1, **fields: Any) -> Scenario:
    own = {name: fields.pop(name) for name in ("channel", "begins", "codes", "says") if name in fields}
    return Scenario(name, fields, code, code, most, **own)


def _passes(name: str, *, most: int = 1, channel: str = "", **behaviour: Any) -> Scenario:
    return Scenario(name, behaviour, None, None, most, channel)


BROKEN: Final = "stream_interrupted"
EACH: Final = ("openai", "anthropic", "gemini")
WHOLE: Final = "whole"
EXHAUSTED: Final = "all_platforms_exhausted"
LIMITED: Final = "upstream_rate_limited"
SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        _fails("429 without `Retry-After`", LIMITED, most=3, channel=RESTS, status=429, rate=1),
        _fails("429 with `Retry-After`", LIMITED, most=3, status=429, rate=1, retry_after_s=1),
        _fails("429 for an hour", LIMITED, status=429, rate=1, retry_after_s=3600),
        _passes("429 once", most=2, channel=RESTS, status=429, rate=1, times=1),
        _passes("500 once", most=2, status=500, rate=1, times=1),
        _fails("503 for ever", EXHAUSTED, most=3, status=503, rate=1),
        _fails("401", "upstream_auth_failed", status=401, rate=1),
        _fails("400", "invalid_parameters", status=400, rate=1, says="simulated failure"),
        _fails(
            "context length",
            "context_length_exceeded",
            codes={"anthropic": "invalid_parameters", "gemini": "invalid_parameters"},
            reason="context_length",
            rate=1,
            says="tokens",
        ),
        _fails(
            "content filter",
            "content_policy_violation",
            reason="content_filter",
            rate=1,
        ),
        _fails("reset before the headers", EXHAUSTED, most=3, reset_rate=1),
        _fails("no answer at all", "generation_timeout", channel=SHORT, first_token_ms=60_000),
        _passes("first token after 20 s", first_token_ms=500),
        _fails("cut after two thirds", EXHAUSTED, begins=EACH, cut_stream_rate=1, after=0.667),
        _fails("a stall in the middle", "generation_timeout", channel=SHORT, begins=EACH, stall_rate=1),
        _fails("invalid JSON in the middle", EXHAUSTED, begins=EACH, garbage_rate=1),
        Scenario("an end in the middle", {"no_end_rate": 1}, None, EXHAUSTED, begins=EACH),
        Scenario(
            "no `[DONE]`",
            {"no_end_rate": 1, "after": 1},
            None,
            None,
            begins=("anthropic",),
            codes={"anthropic stream": EXHAUSTED},
        ),
        _fails(
            "an error event after status 200",
            EXHAUSTED,
            begins=EACH,
            codes={"anthropic stream": LIMITED},
            error_event_rate=1,
        ),
        _fails(
            "nothing in the answer",
            "generation_failed_no_content",
            tokens=0,
        ),
        _passes("a primary that flaps", most=2, status=500, rate=1, every=2),
        Scenario(
            "a content-length too large",
            {"lie_rate": 1, "lie": 0.5},
            "generation_timeout",
            None,
            channel=SHORT,
            begins=("gemini",),
            codes={"gemini stream": "generation_timeout"},
        ),
        _fails("a content-length too small", EXHAUSTED, begins=EACH, lie_rate=1, lie=-0.5),
        _passes("one byte a second", slow_bytes_ms=1, tokens=2),
        _fails(
            "a word at a time, for too long",
            "generation_timeout",
            channel="total_timeout_s = 1.5",
            begins=EACH,
            tokens=100,
            tokens_per_s=15,
        ),
    )
}


def behaviour_of(scenario: Scenario, **more: Any) -> str:
    """Behind a model's name: `tokens=5&fail.rate=1`."""
    own = {"first_token_ms", "tokens", "tokens_per_s"}
    said = {**scenario.behaviour, **more}
    return "&".join(f"{name if name in own else f'fail.{name}'}={value}" for name, value in said.items())


def rows() -> Iterator[str]:
    """The table as docs/reliability.md has it."""
    yield "| the provider | one answer, no other channel | a stream, no other channel | with another channel | asked |"
    yield "|---|---|---|---|---|"
    for scenario in SCENARIOS.values():
        body, stream = (_alone(scenario, stream=stream) for stream in (False, True))
        yield f"| {scenario.name} | {body} | {stream} | {_rescued(scenario)} | {scenario.most} |"


def _alone(scenario: Scenario, *, stream: bool) -> str:
    """The usual end first, then the dialects in which it is another."""
    codes = {dialect: scenario.code(dialect, stream=stream) for dialect in EACH}
    usual = codes["openai"]
    said = [_told(usual)]
    said += [f"{dialect}: {_told(code)}" for dialect, code in codes.items() if code != usual]
    if stream and scenario.begins and BROKEN not in codes.values():
        said.append(f"read: `{BROKEN}`")
    return "; ".join(said)


def _told(code: str | None) -> str:
    return WHOLE if code is None else f"`{code}`"


def _rescued(scenario: Scenario) -> str:
    if not scenario.is_rescued("openai"):
        return "the same"
    return WHOLE
