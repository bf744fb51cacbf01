"""The keys of a channel, by number: they take turns, and one that the provider does not take now is left alone."""

NEVER = float("-inf")


class Keyring:
    """`count` keys; which secrets they are, only the transport knows. `now`: seconds on a clock that only goes on."""

    __slots__ = ("_next", "_until")

    def __init__(self, count: int) -> None:
        self._until = [NEVER] * count
        self._next = 0

    def wait_s(self, now: float) -> float:
        """How long until one of them may be used: 0 for now."""
        until = self._until
        first = until[0] if len(until) == 1 else min(until)
        return 0.0 if first <= now else first - now

    def pick(self, now: float) -> int:
        """The next one in turn of those that may be used; if none may, the one that may be first."""
        count = len(self._until)
        if count == 1:
            return 0
        turns = [(self._next + step) % count for step in range(count)]
        found = next((key for key in turns if self._until[key] <= now), None)
        if found is None:
            return min(turns, key=self._until.__getitem__)
        self._next = found + 1
        return found

    def bench(self, key: int, until: float) -> None:
        """Leaves `key` alone until then, or for as long as it was to be left alone already."""
        self._until[key] = max(self._until[key], until)

    def has_other(self, key: int, now: float) -> bool:
        """Whether one beside `key` may be used."""
        return any(until <= now for other, until in enumerate(self._until) if other != key)

    def __len__(self) -> int:
        return len(self._until)
