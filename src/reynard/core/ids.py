"""Identifiers, made from arguments alone, so that a test can say what comes out."""

from collections.abc import Callable
from typing import Final

from reynard.core.forms import Form

ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
SUFFIX_LENGTH: Final = 8

TASK_PREFIX: Final[dict[Form, str]] = {
    "text": "task-llmrouter-",
    "vision": "task-llmrouter-",
    "video": "task-llmrouter-",
    "audio": "task-llm-",
    "custom": "task-llm-",
}
"""Spec section 1, last column of the table of forms."""

Choose = Callable[[str], str]
"""One character of the alphabet, at random: `secrets.choice` in production."""


def task_id(form: Form, now: float, choose: Choose) -> str:
    """`prefix + Unix seconds + "-" + 8 of [a-z0-9]` (spec section 2.1)."""
    return f"{TASK_PREFIX[form]}{int(now)}-{''.join([choose(ALPHABET) for _ in range(SUFFIX_LENGTH)])}"


def completion_id(task: str) -> str:
    """The id of the ChatCompletion, and of each of its chunks: a function of the task's, so every answer agrees."""
    return f"chatcmpl-{task.removeprefix('task-')}"
