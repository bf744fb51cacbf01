"""The keys of a channel, by number: they take turns, and one that the provider does not take now is left alone; for one
model, or for all."""

from collections.abc import Sequence

NEVER = float("-inf")


class Keyring:
    """`count` keys; which secrets they are, only the transport knows. `now`: seconds on a clock that only goes on."""

    __slots__ = ("_next", "_of_model", "_until")

    def __init__(self, count: int) -> None:
        self._until = [NEVER] * count
        self._of_model: dict[str, list[float]] = {}  # as `_until`, for the models that were ever refused
        self._next = 0

    def wait_s(self, now: float, model: str | None = None) -> float:
        """How long until one of them may be used, for `model` if it is named: 0 for now."""
        until = self._untils(model)
        first = until[0] if len(until) == 1 else min(until)
        return 0.0 if first <= now else first - now

    def pick(self, now: float, model: str | None = None) -> int:
        """The next one in turn of those that may be used; if none may, the one that may be first."""
        until = self._untils(model)
        count = len(until)
        if count == 1:
            return 0
        turns = [(self._next + step) % count for step in range(count)]
        found = next((key for key in turns if until[key] <= now), None)
        if found is None:
            return min(turns, key=until.__getitem__)
        self._next = found + 1
        return found

    def bench(self, key: int, until: float, model: str | None = None) -> None:
        """Leaves `key` alone until then, or for as long as it was to be left alone already; for `model` if it is
        named, else for all."""
        benched = self._until
        if model is not None:
            benched = self._of_model.setdefault(model, [NEVER] * len(self._until))
        benched[key] = max(benched[key], until)

    def has_other(self, key: int, now: float, model: str | None = None) -> bool:
        """Whether one beside `key` may be used."""
        return any(until <= now for other, until in enumerate(self._untils(model)) if other != key)

    def _untils(self, model: str | None) -> Sequence[float]:
        """Until when each is left alone."""
        own = self._of_model.get(model) if self._of_model and model is not None else None
        return self._until if own is None else list(map(max, self._until, own))

    def __len__(self) -> int:
        return len(self._until)
