"""What there is only so much of, and of which no key may have it all."""

from collections import Counter


class Shares:
    """At most `most` (places, bytes) are held at once, and `of_one_key` by a single key."""

    def __init__(self, most: int, of_one_key: int) -> None:
        self._most = most
        self._of_one_key = of_one_key
        self._held: Counter[str] = Counter()
        self._all = 0

    def has(self, amount: int, key_id: str) -> bool:
        """Whether `amount` more could be taken now."""
        return self._all + amount <= self._most and self._held[key_id] + amount <= self._of_one_key

    def take(self, amount: int, key_id: str) -> bool:
        """Takes `amount`; False, and nothing is taken, if that is too much."""
        if not self.has(amount, key_id):
            return False
        self._all += amount
        self._held[key_id] += amount
        return True

    def give_back(self, amount: int, key_id: str) -> None:
        """What was taken."""
        self._all -= amount
        self._held[key_id] -= amount
        if not self._held[key_id]:
            del self._held[key_id]
