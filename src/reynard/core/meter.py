"""How much a key has used in the last minute: a sliding window, so that no edge of a minute lets through the double."""

from collections import deque
from math import ceil
from typing import Final

from reynard.core.errors import RateLimited, TooLargeForLimit
from reynard.core.limits import WINDOW_S, Allowance, LimitKind, Limits

SLOT_S: Final = 1.0
PLACE_WAIT_S: Final = 1.0
"""When to ask again for a task's place: nobody knows when one ends."""


class _Slot:
    """What was used from `start` to `last`, less than `SLOT_S` later."""

    __slots__ = ("amount", "last", "start")

    def __init__(self, start: float) -> None:
        self.start = self.last = start
        self.amount = 0


class Window:
    """What was used in the last 60 seconds, in at most 62 slots, however much it was.

    A slot counts until 60 s after the last use in it. So an amount counts for 60 s at least, 61 s at most, and for
    exactly 60 s where uses are a second or more apart. Whoever asks, or adds, has moved it to that time before.
    """

    __slots__ = ("_slots", "used")

    def __init__(self) -> None:
        self.used = 0
        self._slots: deque[_Slot] = deque()

    def move(self, now: float) -> None:
        """Forgets what is no longer in the window."""
        slots = self._slots
        if slots and slots[-1].last > now + WINDOW_S:  # the clock was set back: that time may be far away
            slots.clear()
            self.used = 0
        while slots and slots[0].last + WINDOW_S <= now:
            self.used -= slots.popleft().amount

    def add(self, amount: int, now: float) -> None:
        """`amount` is used now."""
        if not self._slots or now - self._slots[-1].start >= SLOT_S:
            self._slots.append(_Slot(now))
        slot = self._slots[-1]
        slot.last = max(slot.last, now)
        slot.amount += amount
        self.used += amount

    def take_back(self, amount: int, at: float) -> None:
        """Of what was used at `at`, `amount` was not; nothing, if that is no longer in the window."""
        for slot in reversed(self._slots):
            if slot.start <= at:
                back = min(amount, slot.amount)
                slot.amount -= back
                self.used -= back
                return

    def wait_s(self, amount: int, limit: int | None, now: float) -> float:
        """How long until `amount` more, which `limit` has room for, would not exceed it."""
        over = 0 if limit is None else self.used + amount - limit
        if over <= 0:
            return 0.0
        for slot in self._slots:
            over -= slot.amount
            if over <= 0:
                return slot.last + WINDOW_S - now
        return WINDOW_S  # not reached while the limit has room for the amount

    def reset_s(self, now: float) -> float:
        """How long until nothing is used, if nothing more is."""
        for slot in reversed(self._slots):
            if slot.amount:
                return slot.last + WINDOW_S - now
        return 0.0


class Meter:
    """The two windows of one key."""

    __slots__ = ("requests", "tokens")

    def __init__(self) -> None:
        self.requests = Window()
        self.tokens = Window()

    def is_idle(self, now: float) -> bool:
        """Whether a new meter would say the same."""
        self._move(now)
        return not self.requests.used and not self.tokens.used

    def take(self, limits: Limits, tokens: int, running: int, now: float) -> Allowance:
        """One request of about `tokens`, beside `running` tasks. Raises `RateLimited`, and then nothing is taken."""
        self._move(now)
        self._check(limits, tokens, running, now)
        if limits.rpm is not None:
            self.requests.add(1, now)
        if limits.tpm is not None and tokens:
            self.tokens.add(tokens, now)
        return self._allowance(limits, now)

    def correct(self, estimated: int, real: int, at: float, now: float) -> None:
        """What was taken at `at` as `estimated` tokens were `real` ones.

        What was too much is given back where it was taken. What was too little is used now, when it is known: the
        window may have moved on, and the tokens of a long task would count nowhere.
        """
        if real > estimated:
            self.tokens.move(now)
            self.tokens.add(real - estimated, now)
        else:
            self.tokens.take_back(estimated - real, at)

    def give_back(self, limits: Limits, tokens: int, at: float) -> None:
        """The request that was taken at `at` under these `limits` was none."""
        if limits.rpm is not None:
            self.requests.take_back(1, at)
        if limits.tpm is not None:
            self.tokens.take_back(tokens, at)

    def _move(self, now: float) -> None:
        self.requests.move(now)
        self.tokens.move(now)

    def _check(self, limits: Limits, tokens: int, running: int, now: float) -> None:
        if limits.tpm is not None and tokens > limits.tpm:
            raise TooLargeForLimit(
                f"The request is too large for this key: it may use {limits.tpm} tokens a minute, and the request is "
                f"counted as {tokens}. Waiting does not help: shorten it, or lower its `max_tokens`.",
                limit="tokens",
                allowance=self._allowance(limits, now),
            )
        for_request, for_tokens = self.requests.wait_s(1, limits.rpm, now), self.tokens.wait_s(tokens, limits.tpm, now)
        for_place = PLACE_WAIT_S if limits.concurrency is not None and running >= limits.concurrency else 0.0
        if for_request or for_tokens or for_place:
            wait_s, said, limit = max(_waits(limits, for_request, for_tokens, for_place))
            raise RateLimited(
                f"The request is beyond this key's limit of {said}. Come back in {ceil(wait_s)} s.",
                limit=limit,
                allowance=self._allowance(limits, now),
                retry_after_s=wait_s,
            )

    def _allowance(self, limits: Limits, now: float) -> Allowance:
        requests, tokens = self.requests, self.tokens
        return Allowance(
            at=now,
            limit_requests=limits.rpm,
            remaining_requests=None if limits.rpm is None else max(0, limits.rpm - requests.used),
            reset_requests_s=None if limits.rpm is None else requests.reset_s(now),
            limit_tokens=limits.tpm,
            remaining_tokens=None if limits.tpm is None else max(0, limits.tpm - tokens.used),
            reset_tokens_s=None if limits.tpm is None else tokens.reset_s(now),
        )


def _waits(limits: Limits, request_s: float, tokens_s: float, place_s: float) -> list[tuple[float, str, LimitKind]]:
    """How long each limit has the request wait, and what it is called."""
    return [
        (request_s, f"requests a minute, {limits.rpm}", "requests"),
        (tokens_s, f"tokens a minute, {limits.tpm}", "tokens"),
        (place_s, f"tasks at once, {limits.concurrency}", "concurrency"),
    ]
