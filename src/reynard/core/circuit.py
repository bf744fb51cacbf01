"""A channel's circuit: opens on failures, lets one probe through when its time is over, and closes when that succeeds.

A value: each event makes the next one, and `now` (seconds on any clock that never goes back) is an argument.
"""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

State = Literal["closed", "open", "half-open", "probing"]

PROBE_WAIT_S: Final = 0.5
"""How long to wait before looking again at a circuit whose probe is under way."""


class CircuitRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When it opens: after `failures` in a row, or when of the last `calls` more than `share` failed.

    It stays open for `open_s`; each time that it opens again, twice as long, up to `longest_open_s`. That is forgotten
    after `calls` calls with no further opening: a channel that flaps is not asked more often for every good answer.
    """

    failures: Annotated[int, Meta(ge=1)] = 5
    share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    calls: Annotated[int, Meta(ge=1, le=1_000)] = 20
    open_s: Annotated[float, Meta(gt=0)] = 5.0
    longest_open_s: Annotated[float, Meta(gt=0)] = 60.0


class Circuit(Struct, frozen=True):
    """Where it stands. A call remembers the `era` in which it began: what it comes to later, in another, says nothing.

    `recent`: the last calls of this era as bits, a one for a failure, the newest lowest; `seen` counts them up to the
    rule's `calls`. `openings`: how often it opened, since that was last forgotten. `until`: when it may be probed; None
    while it is closed.
    """

    era: int = 0
    recent: int = 0
    seen: int = 0
    in_a_row: int = 0
    openings: int = 0
    until: float | None = None
    probing: bool = False

    def state(self, now: float) -> State:
        """Its name."""
        if self.until is None:
            return "closed"
        if self.probing:
            return "probing"
        return "open" if now < self.until else "half-open"

    def wait_s(self, now: float) -> float:
        """How long until it may let a call through: 0 for now."""
        if self.until is None:
            return 0.0
        return PROBE_WAIT_S if self.probing else max(0.0, self.until - now)

    def entered(self) -> "Circuit":
        """A call was let through; of an open circuit, the probe."""
        return self if self.until is None else replace(self, probing=True)

    def answered(self, era: int) -> "Circuit":
        """A call that began in `era` begins to be answered: of the probe, that is all that was asked of it. The rest of
        a long answer is a call like any other, in the era that begins with it."""
        if era != self.era or self.until is None:
            return self
        return Circuit(era=self.era + 1, openings=self.openings)

    def succeeded(self, era: int, rule: CircuitRule) -> "Circuit":
        """A call that began in `era` was answered whole."""
        if era != self.era:
            return self
        if self.until is not None:
            return self.answered(era)
        if self.seen == rule.calls and not self.recent and not self.openings:
            return self  # nothing to forget: the usual case
        return self._counted(0, rule)

    def failed(self, era: int, now: float, rule: CircuitRule) -> "Circuit":
        """A call that began in `era` was not."""
        if era != self.era:
            return self
        if self.until is not None:
            return self._opened(now, rule)
        counted = self._counted(1, rule)
        mostly = counted.seen == rule.calls and counted.recent.bit_count() > rule.share * rule.calls
        return self._opened(now, rule) if mostly or counted.in_a_row >= rule.failures else counted

    def let_go(self, era: int) -> "Circuit":
        """A call that began in `era` ended, and said nothing of the provider's health: the next one may probe."""
        return replace(self, probing=False) if self.probing and era == self.era else self

    def _counted(self, failure: int, rule: CircuitRule) -> "Circuit":
        seen = min(self.seen + 1, rule.calls)
        recent = (self.recent << 1 | failure) & ((1 << rule.calls) - 1)
        return replace(
            self,
            recent=recent,
            seen=seen,
            in_a_row=self.in_a_row + 1 if failure else 0,
            openings=0 if seen == rule.calls else self.openings,
        )

    def _opened(self, now: float, rule: CircuitRule) -> "Circuit":
        length_s = min(rule.open_s * 2.0 ** min(self.openings, 32), rule.longest_open_s)
        return Circuit(era=self.era + 1, openings=self.openings + 1, until=now + length_s)
