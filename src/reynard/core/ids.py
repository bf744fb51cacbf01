"""Identifiers, made from arguments alone, so that a test can say what comes out."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from reynard.core.forms import Form

ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
PART_LENGTH: Final = 2
PARTS: Final = len(ALPHABET) ** PART_LENGTH
"""Of a second, that the beginning of a suffix tells apart."""
DRAWN_LENGTH: Final = 6
DRAWN: Final = len(ALPHABET) ** DRAWN_LENGTH

TASK_PREFIX: Final[dict[Form, str]] = {
    "text": "task-llmrouter-",
    "vision": "task-llmrouter-",
    "video": "task-llmrouter-",
    "audio": "task-llm-",
    "custom": "task-llm-",
}
"""Spec section 1, last column of the table of forms."""

Below = Callable[[int], int]
"""A whole number below its argument, at random: `secrets.randbelow` in production."""


def spelled(number: int, alphabet: str, length: int) -> str:
    """`number` in the digits of `alphabet`, `length` of them, the lowest first."""
    pairs = _pairs(alphabet)
    digits = []
    for _ in range(length // 2):
        number, index = divmod(number, len(pairs))
        digits.append(pairs[index])
    if length % 2:
        digits.append(alphabet[number % len(alphabet)])
    return "".join(digits)


@cache
def _pairs(alphabet: str) -> Sequence[str]:
    """All pairs of digits, by their number: half as many divisions."""
    return [low + high for high in alphabet for low in alphabet]


def task_id(form: Form, now: float, below: Below) -> str:
    """`prefix + Unix seconds + "-" + 8 of [a-z0-9]` (spec section 2.1).

    The first two of the eight are the part of the second, the others are drawn: ids of a moment lie side by side in a
    store's index, so that a commit writes one page of it and not one a task.
    """
    seconds = int(now)
    part = int((now - seconds) * PARTS)
    suffix = spelled(part * DRAWN + below(DRAWN), ALPHABET, PART_LENGTH + DRAWN_LENGTH)
    return f"{TASK_PREFIX[form]}{seconds}-{suffix[::-1]}"


def completion_id(task: str) -> str:
    """The id of the ChatCompletion, and of each of its chunks: a function of the task's, so every answer agrees."""
    return f"chatcmpl-{task.removeprefix('task-')}"
